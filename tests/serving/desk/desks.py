"""A desk with a small service of its own, for tests: it echoes what it is sent."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from courier.serving.desk.connection import Connection
from courier.serving.desk.desk import Desk
from courier.serving.desk.http import Http
from courier.serving.desk.lingering import Lingering
from courier.serving.desk.messages import Messages
from courier.serving.desk.websocket import Opcode, frame
from courier.serving.peer import Closed, Endpoint, Loss, Opening, Peer
from courier.serving.requests import Head
from courier.serving.service import Route, Service

SECONDS = 20.0
STALL_SECONDS = 0.6
MAX_MESSAGE_BYTES = 64 * 1024

HANDSHAKE = (
    b"GET /echo HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Echo:
    """Says what it hears, and notes how it ended."""

    def __init__(self, peer: Peer, ends: "Ends") -> None:
        self.peer = peer
        self._ends = ends

    def heard(self, message: str | bytes) -> None:
        if message == "fault":
            raise RuntimeError("A fault of the endpoint")
        if message == "close":
            self.peer.close(4001, "As you wish", trio.current_time() + 1)
        elif message == "abort":
            self.peer.abort()
        elif isinstance(message, str):
            self.peer.put(frame(Opcode.TEXT, message.encode()))
        else:
            self.peer.put(frame(Opcode.BINARY, message))

    def writable(self) -> None:
        self._ends.writable += 1

    def due(self, now: float) -> None:
        self.peer.put(frame(Opcode.TEXT, b"due"))

    def ended(self, how: Closed | Loss, code: int | None, reason: str) -> None:
        self._ends.add(how, code, reason)


class Ends:
    """How the endpoints ended, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[Closed | Loss, int | None, str]] = []
        self.writable = 0
        self._changed = trio.Event()

    def add(self, how: Closed | Loss, code: int | None, reason: str) -> None:
        self.told.append((how, code, reason))
        self._changed.set()
        self._changed = trio.Event()

    async def next(self) -> tuple[Closed | Loss, int | None, str]:
        while not self.told:
            await self._changed.wait()
        return self.told.pop(0)


TOO_LATE = b"HTTP/1.1 408 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
"""What a peer is told whose request does not come whole."""


class Patient:
    """A route that waits for a body as long as any other."""

    max_body_bytes = 1000

    def too_late(self) -> bytes:
        return TOO_LATE.replace(b"connection: close\r\n", b"")


@dataclass
class Late(Patient):
    """A route whose answers are given by the test."""

    waiting: list[Callable[[bytes], None]] = field(default_factory=list)

    def answer(self, body: bytes, respond: Callable[[bytes], None]) -> bytes | None:
        self.waiting.append(respond)
        return None


class AtOnce(Patient):
    """A route that answers with the body it is sent."""

    def answer(self, body: bytes, respond: Callable[[bytes], None]) -> bytes | None:
        if body == b"fault":
            raise RuntimeError("A fault of the route")
        return answer(body)


def answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 \r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


class EchoDesk:
    """The desk, and what it did."""

    def __init__(self, max_connections: int = 1000, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self.ends = Ends()
        self.late = Late()
        self.endpoints: list[Echo] = []
        self.openings: list[Opening] = []
        self.handed_over: list[tuple[socket.socket, bytes]] = []
        self.faults: list[BaseException] = []
        self.closed = False
        self.service = Service(
            route=self._route,
            exchange=lambda head, exchange: False,
            join=self._join,
            closed=lambda: self.closed,
            fault=self.faults.append,
            max_connections=max_connections,
            max_message_bytes=max_message_bytes,
            stall_seconds=STALL_SECONDS,
            once_headers=frozenset(),
            desk=True,
        )
        self.desk = Desk(self.service, self._newcomers, elsewhere=lambda: len(self.handed_over))
        self.port = 0
        self.clients: list[trio.socket.SocketType] = []

    def _newcomers(self, desk: Desk) -> Http:
        lingering = Lingering(desk)
        messages = Messages(desk, lingering, self.service.max_message_bytes)

        def hand_over(row: Connection, data: bytes) -> None:
            self.handed_over.append((desk.remove(row), data))

        return Http(desk, self.service, messages, lingering, hand_over=hand_over, date=lambda: b"")

    def _route(self, head: Head, address: str | None) -> Route | None:
        routes: dict[str, Route] = {"/echo": AtOnce(), "/late": self.late}
        return routes.get(head.path)

    def _join(self, head: Head, opening: Opening) -> bool:
        match head.path:
            case "/echo":
                opening.accept(None, self.echo)
            case "/refused":
                opening.refuse("plain", 1008, "No")
            case "/late":
                self.openings.append(opening)
            case _:
                return False
        return True

    def drop_handed_over(self) -> None:
        """Close what is for the general path."""
        while self.handed_over:
            self.handed_over.pop()[0].close()

    def echo(self, peer: Peer) -> Endpoint:
        self.endpoints.append(Echo(peer, self.ends))
        return self.endpoints[-1]

    async def connect(self) -> trio.SocketStream:
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        self.clients.append(stream.socket)
        return stream

    async def open(self, path: bytes = b"/echo") -> trio.SocketStream:
        """A connection that has its 101."""
        stream = await self.connect()
        await stream.send_all(HANDSHAKE.replace(b"/echo", path, 1))
        assert (await until(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        return stream


async def until(stream: trio.SocketStream, end: bytes) -> bytes:
    """What comes, up to `end`, which must be the last thing that has come."""
    data = b""
    while not data.endswith(end):
        more = await stream.receive_some()
        assert more, data
        data += more
    return data


async def rest(stream: trio.SocketStream) -> bytes:
    """All that comes until the peer's end."""
    data = b""
    while more := await stream.receive_some():
        data += more
    return data


@asynccontextmanager
async def an_echo_desk(
    max_connections: int = 1000, max_message_bytes: int = MAX_MESSAGE_BYTES, seconds: float = SECONDS
) -> AsyncIterator[EchoDesk]:
    """A desk that listens, for the length of a block."""
    echo = EchoDesk(max_connections, max_message_bytes)
    with trio.fail_after(seconds), socket.create_server(("127.0.0.1", 0), backlog=1000) as listener:
        echo.port = listener.getsockname()[1]
        echo.desk.listen(listener)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(echo.desk.run)
                try:
                    yield echo
                finally:
                    nursery.cancel_scope.cancel()
        finally:
            echo.drop_handed_over()
            for client in echo.clients:
                client.close()
