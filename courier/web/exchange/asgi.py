"""ASGI: an exchange on the general path."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import trio

from courier.serving.peer import Closed, Endpoint, Loss, Peer
from courier.web.answer import Answer
from courier.web.asgi import send_answer
from courier.web.exchange import EVENT_STREAM
from courier.web.exchange.text import EventText, closed_text
from courier.web.peer import ABNORMAL, AsgiPeer, Disconnected


class OverAsgi:
    """A `courier.web.exchange.Exchange`; `run` serves it to its end."""

    def __init__(self, scope: Any, receive: Any, send: Any, fault: Callable[[Exception], None]) -> None:
        client = scope.get("client")
        self.address: str | None = client[0] if client else None
        self._scope, self._receive, self._send, self._fault = scope, receive, send, fault
        self._endpoint: Endpoint | None = None
        self._answer: tuple[Answer, str] | None = None
        self._answered = trio.Event()
        self._peer: AsgiPeer | None = None
        self._sleep = trio.CancelScope()
        self._deadline = math.inf

    def wait(self, make: Callable[[Peer], Endpoint]) -> None:
        peer: Any = self  # as far as an endpoint that waits needs it
        self._endpoint = make(peer)

    def call_at(self, deadline: float) -> None:
        self._deadline = self._sleep.deadline = deadline

    def answer(self, answer: Answer, content_type: str = "application/json") -> None:
        self._answer = answer, content_type
        self._answered.set()

    def stream(self, headers: dict[str, str], text: EventText, make: Callable[[Peer], Endpoint]) -> None:
        socket = _EventStream(self._scope, self._receive, self._send, headers, text)
        self._peer = AsgiPeer(socket, self._fault)
        self._peer.accept(None, make)

    async def run(self) -> None:
        """Wait for what is to be answered, and write it."""
        if self._peer is not None:
            await self._peer.run()
            return
        how: Closed | Loss = Loss.ABORTED
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_clock)
                nursery.start_soon(self._until_gone, nursery.cancel_scope)
                await self._answered.wait()
                nursery.cancel_scope.cancel()
            how = Closed.BY_US if self._answer is not None else Loss.BROKEN
        finally:
            endpoint, self._endpoint = self._endpoint, None
            if endpoint is not None:
                endpoint.ended(how, None, "")
        if self._answer is not None:
            answer, content_type = self._answer
            answer.headers["content-type"] = content_type
            await send_answer(self._send, answer)

    async def _watch_clock(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._deadline) as self._sleep:
                await trio.sleep_forever()
            self._deadline = math.inf
            if self._endpoint is not None:
                self._endpoint.due(trio.current_time())

    async def _until_gone(self, serving: trio.CancelScope) -> None:
        await until_gone(self._receive)
        serving.cancel()


async def until_gone(receive: Any) -> None:
    """Return when the peer has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


class _EventStream:
    """A `courier.web.peer.Socket` that writes what it is given as server-sent events."""

    def __init__(
        self, scope: Mapping[str, Any], receive: Any, send: Any, headers: dict[str, str], text: EventText
    ) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self._headers = {"content-type": EVENT_STREAM, **headers, "connection": "close"}
        self._text = text

    async def accept(self, *, subprotocol: str | None) -> None:
        headers = [(name.lower().encode(), value.encode()) for name, value in self._headers.items()]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def send(self, data: str) -> None:
        await self._write(self._text.of(data.encode()))

    async def close(self, code: int, reason: str) -> None:
        await self._write(closed_text(code, reason))
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def receive(self) -> Any:
        await until_gone(self._receive)
        return Disconnected(ABNORMAL, by_server=False)

    async def _write(self, text: bytes) -> None:
        await self._send({"type": "http.response.body", "body": text, "more_body": True})
