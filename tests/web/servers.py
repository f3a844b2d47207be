"""A real server on a free port, and the two ways to talk to it: politely, and by raw bytes."""

import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import h11
import jwt
import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from courier.schemas.registry import Registry, default_registry, registry_for
from courier.settings import Settings, load_settings
from courier.web.server import open_server
from tests.web.messages import checked

SECRET = "a secret of thirty-two bytes or so, for tests"
PATIENCE_SECONDS = 20.0


def settings_for(**overrides: object) -> Settings:
    """Settings that read nothing of the machine's environment, but for which path the tests are to take."""
    desk = os.environ.get("COURIER_TEST_DESK", "on")
    defaults = {"bind": "127.0.0.1:0", "jwt_secret": SECRET, "rate_limit": 0, "desk": desk}
    return load_settings({}, **(defaults | overrides))


def token(user_id: str = "u1", *, secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    """A subscriber's token; a claim that is None is left out."""
    now = int(time.time())
    full = {"user_id": user_id, "wallet_address": "w1", "iat": now, "exp": now + 3600} | claims
    return jwt.encode({k: v for k, v in full.items() if v is not None}, secret, algorithm=algorithm)


def announcement(title: str = "t", **fields: Any) -> dict[str, Any]:
    """A small valid event."""
    event = {"type": "system.announcement", "source": "tests", "message": "m", "severity": "info"}
    return event | {"title": title} | fields


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["detail"]


class TestServer:
    """A served node: its address, and what tests ask of it."""

    __test__ = False

    def __init__(self, url: str, registry: Registry | None = None) -> None:
        """`registry`: what the node knows, if that is not what one without settings does."""
        self.url = url
        self._registry = registry or default_registry()
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self.host, self.port = parts.hostname, parts.port

    async def connect(self) -> trio.SocketStream:
        """A raw connection."""
        return await trio.open_tcp_stream(self.host, self.port)

    async def raw(self, data: bytes) -> bytes:
        """Send bytes, and read until the server closes."""
        async with await self.connect() as stream:
            await stream.send_all(data)
            received = b""
            with trio.fail_after(PATIENCE_SECONDS):
                try:
                    while chunk := await stream.receive_some():
                        received += chunk
                except trio.BrokenResourceError:
                    pass
            return received

    async def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Response:
        """One request on a connection of its own."""
        async with await self.connect() as stream:
            with trio.fail_after(PATIENCE_SECONDS):
                return await exchange(stream, method, path, body, headers)

    async def publish(
        self, channel: str, event: Any, *, service: str | None = "tests", **headers: str
    ) -> Response:
        """POST /publish/{channel}; `event` may be bytes."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        given = {"Content-Type": "application/json"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        if service is not None:
            given["X-Service-Name"] = service
        return await self.request("POST", f"/publish/{channel}", body, given)

    @asynccontextmanager
    async def websocket(self, path: str, **kwargs: Any) -> AsyncIterator[WebSocketConnection]:
        """A WebSocket on a socket of ours: trio-websocket leaves its own open when it is closed.

        Whatever it gets must be a message of the AsyncAPI document.
        """
        async with await self.connect() as stream, trio.open_nursery() as nursery:
            websocket = await wrap_client_stream(
                nursery, stream, f"{self.host}:{self.port}", path, message_queue_size=10_000, **kwargs
            )
            try:
                yield checked(websocket, self._registry)
            finally:
                with trio.move_on_after(1, shield=True):
                    await websocket.aclose()
                nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def subscribe(
        self, channel: str = "user.u1", bearer: str | None = None, query: str = "", **kwargs: Any
    ) -> AsyncIterator[WebSocketConnection]:
        """A subscriber with a good token, unless another is given."""
        async with self.websocket(f"/ws/{channel}?token={bearer or token()}{query}", **kwargs) as websocket:
            yield websocket

    async def refused(self, path: str, **kwargs: Any) -> tuple[int, str | None]:
        """Join, and get the code and the reason of the close."""
        with trio.fail_after(PATIENCE_SECONDS):
            async with self.websocket(path, **kwargs) as websocket:
                return await closed(websocket)


async def exchange(
    stream: trio.SocketStream,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    *,
    whole: bool = True,
) -> Response:
    """One request and its answer on an open connection; not `whole`, the end of the body never comes."""
    connection = h11.Connection(h11.CLIENT)
    given = {"Host": "test"} | (headers or {})
    if body is not None:
        given.setdefault("Content-Length", str(len(body)))
    out = connection.send(h11.Request(method=method, target=path, headers=list(given.items())))
    if body is not None:
        out += connection.send(h11.Data(data=body)) or b""
    if whole:
        out += connection.send(h11.EndOfMessage()) or b""
    await stream.send_all(out)
    return await read_response(stream, connection)


async def read_response(stream: trio.abc.ReceiveStream, connection: h11.Connection) -> Response:
    status, found, body = 0, {}, b""
    while True:
        event = connection.next_event()
        match event:
            case h11.NEED_DATA:
                connection.receive_data(bytes(await stream.receive_some()))
            case h11.Response():
                status = event.status_code
                found = {name.decode().lower(): value.decode() for name, value in event.headers}
            case h11.Data():
                body += event.data
            case h11.EndOfMessage():
                return Response(status, found, body)
            case h11.ConnectionClosed():
                raise AssertionError("the server closed without an answer")


async def closed(websocket: WebSocketConnection) -> tuple[int, str | None]:
    """Read on until the server closes; the code and the reason."""
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            await websocket.get_message()
    assert caught.value.reason is not None
    return caught.value.reason.code, caught.value.reason.reason


async def events(websocket: WebSocketConnection, count: int) -> list[dict[str, Any]]:
    """The next so many events."""
    with trio.fail_after(PATIENCE_SECONDS):
        return [json.loads(await websocket.get_message()) for _ in range(count)]


@asynccontextmanager
async def a_server(
    *, certfile: str | None = None, keyfile: str | None = None, **overrides: object
) -> AsyncIterator[TestServer]:
    """A node served by real sockets for the length of a block, and drained at its end."""
    with trio.fail_after(60):
        settings = settings_for(**overrides)
        async with open_server(settings, certfile=certfile, keyfile=keyfile) as url:
            yield TestServer(url, registry_for(settings.event_modules))
