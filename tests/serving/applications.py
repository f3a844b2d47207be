"""An application of the server that is not Courier: it echoes what it hears."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.utils import wrap_app

from courier.serving.hypercorn.worker import worker_serve
from courier.serving.requests import Head
from courier.serving.service import Route, Service
from tests.web.servers import TestServer


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """ASGI 3: says what it hears."""
    kind = scope["type"]
    while kind == "lifespan":
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return
    if kind == "http":
        body, more = b"", True
        while more:
            event = await receive()
            body += event.get("body", b"")
            more = event.get("more_body", False)
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})


class Short:
    """A route of `/short`, which the echo would answer in another way."""

    max_body_bytes = 100

    def too_late(self) -> bytes:
        raise AssertionError("Every request here comes whole")

    def answer(self, body: bytes, respond: Callable[[bytes], None]) -> bytes | None:
        return b"HTTP/1.1 203 \r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def no_route(head: Head, address: str | None) -> Route | None:
    return None


@dataclass
class Echo:
    """A `courier.serving.service.Application`."""

    service: Service
    said: list[str] = field(default_factory=list)
    """What the server has asked it, in order."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await echo(scope, receive, send)

    def prepare(self, config: Config) -> Service:
        self.said.append("prepare")
        return self.service

    def reload(self) -> None:
        self.said.append("reload")

    def status(self) -> str:
        return "Echoing"

    async def leave(self) -> None:
        self.said.append("leave")

    async def drain(self) -> None:
        self.said.append("drain")

    async def failed(self) -> None:
        await trio.sleep_forever()

    def raise_if_failed(self) -> None:
        self.said.append("raise_if_failed")


SERVICE = Service(
    stall_seconds=5,
    max_connections=100,
    max_message_bytes=1000,
    once_headers=frozenset({b"x-once"}),
    fault=lambda error: None,
    desk=True,
    route=no_route,
    exchange=lambda head, exchange: False,
    join=lambda head, opening: False,
    closed=lambda: False,
)


def a_service(**values: Any) -> Service:
    return replace(SERVICE, **values)


@asynccontextmanager
async def served(app: Any, *also: str) -> AsyncIterator[TestServer]:
    """A server of `app` for the length of a block; it listens at `also`, too."""
    config, stop = Config(), trio.Event()
    config.bind = ["127.0.0.1:0", *also]

    async def serve(task_status: trio.TaskStatus[list[str]]) -> None:
        wrapped = wrap_app(app, config.wsgi_max_body_size, "asgi")
        await worker_serve(wrapped, config, shutdown_trigger=stop.wait, task_status=task_status)

    async with trio.open_nursery() as nursery:
        url, *_ = await nursery.start(serve)
        try:
            yield TestServer(url)
        finally:
            stop.set()
