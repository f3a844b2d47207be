"""Peer: what an endpoint speaks on, on the general path: a WebSocket of Quart's, or an event stream by ASGI.

It costs more than the desk: a message passes through the server's queues, and a connection has tasks of its
own.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import trio

from courier.actors.frames import first_frame, payload_of
from courier.logs import get_logger
from courier.serving.peer import MAX_REPLIES_BYTES, REFUSED_SECONDS, Closed, Endpoint, Loss, Peer
from courier.serving.transport import CONNECTION_EXTENSION, Server, UnknownServer

ABNORMAL = 1006
"""The code of a WebSocket that broke without a close (RFC 6455, 7.1.5)."""

logger = get_logger(__name__)


class Disconnected(NamedTuple):
    """The connection has ended."""

    code: int | None
    """What the close said; None without a code."""
    by_server: bool
    """The server closed because the peer broke the protocol, or answered our close."""


class Socket(Protocol):
    """What messages go through: Quart's `Websocket`, or what stands for one."""

    @property
    def scope(self) -> Mapping[str, Any]: ...

    async def accept(self, *, subprotocol: str | None) -> None:
        """Begin."""

    async def send(self, data: str) -> None:
        """Send one message."""

    async def close(self, code: int, reason: str) -> None:
        """End, and say why."""

    async def receive(self) -> Any:
        """What the peer says: a text, bytes, or `Disconnected`."""


class AsgiPeer:
    """A handshake (`courier.serving.peer.Opening`), and the peer once that is answered.

    What an endpoint writes waits here, one frame of an event at a time, until Quart has sent it.
    """

    def __init__(self, socket: Socket, fault: Callable[[Exception], None]) -> None:
        client = socket.scope.get("client")
        self.address: str | None = client[0] if client else None
        self._socket = socket
        extensions: Any = socket.scope.get("extensions") or {}
        self._server: Server = extensions.get(CONNECTION_EXTENSION) or UnknownServer()
        self._fault = fault
        self._endpoint: Endpoint | None = None
        self._subprotocol: str | None = None
        self._frames = deque[bytes]()
        self._replies_bytes = 0
        self._replied = trio.Event()
        self._wants_room = False
        self._goodbye: tuple[int, str] | None = None
        self._disconnected: Disconnected | None = None
        self._closed = False
        """Our close has been written."""
        self._loss: Loss | None = None
        self._open = False
        """The handshake has been answered."""
        self._wake = trio.Event()
        self._deadline = math.inf
        self._sleep = trio.CancelScope()

    # The handshake: `courier.serving.peer.Opening`

    def accept(self, subprotocol: str | None, make: Callable[[Peer], Endpoint]) -> None:
        self._subprotocol = subprotocol
        try:
            self._endpoint = make(self)
        except Exception as error:  # noqa: BLE001 - as in `_step`
            self._fail(error)

    def refuse(self, subprotocol: str | None, code: int, reason: str) -> None:
        self._subprotocol = subprotocol
        self.close(code, reason, trio.current_time() + REFUSED_SECONDS)

    # What the endpoint does: `courier.serving.peer.Peer`

    @property
    def holding(self) -> bool:
        return bool(self._frames)

    @property
    def held_bytes(self) -> int:
        return sum(map(len, self._frames))

    def write(self, data: bytes) -> int:
        if self._frames or self._ending:
            self.await_room()
            return 0
        frame = first_frame(data)
        self._frames.append(frame)
        self.await_room()
        return len(frame)

    def hold(self, rest: bytes) -> None:
        assert not rest, "a frame is never cut here"

    def put(self, data: bytes) -> None:
        if self._ending:
            return
        if self._frames and self._replies_bytes + len(data) > MAX_REPLIES_BYTES:
            self._lose(Loss.STALLED)
            return
        self._frames.append(data)
        self._replies_bytes += len(data)
        self.await_room()

    def cork(self) -> bool:
        return False  # Quart is given a message at a time

    def uncork(self) -> None:
        """Nothing is ever gathered."""

    def await_room(self) -> None:
        self._wants_room = True
        self._wake.set()

    def taken_bytes(self) -> int | None:
        return self._server.taken_bytes()

    def unsent_bytes(self) -> int | None:
        return self._server.unsent_bytes()

    def close(self, code: int, reason: str, by: float) -> None:
        if self._goodbye is None:
            self._goodbye = code, reason
            self._wake.set()
        self.call_at(by)

    def abort(self) -> None:
        self._lose(Loss.ABORTED)

    def call_at(self, deadline: float) -> None:
        self._deadline = self._sleep.deadline = deadline

    @property
    def _ending(self) -> bool:
        return self._goodbye is not None or self._loss is not None

    def _lose(self, loss: Loss) -> None:
        """Close the socket by force. The server then says that the WebSocket has ended."""
        if self._loss is None:
            self._loss = loss
            if self._open:
                self._server.abort()

    # What the WebSocket's own task does

    async def run(self) -> None:
        """Answer the handshake, and let the endpoint speak until the WebSocket has ended."""
        try:
            await self._socket.accept(subprotocol=self._subprotocol)
            self._open = True
            if self._loss is not None:  # already
                self._server.abort()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_clock)
                nursery.start_soon(self._read, nursery.cancel_scope)
                await self._write()
                nursery.cancel_scope.cancel()  # the server waits for what the peer answers
        finally:
            endpoint, self._endpoint = self._endpoint, None
            if endpoint is not None:
                endpoint.ended(*self._how(), "")

    async def _read(self, serving: trio.CancelScope) -> None:
        """Let the endpoint hear what comes, but nothing while replies of ours wait: a peer that does not read
        cannot have us answer without end."""
        while True:
            while self._replies_bytes and not self._ending:
                self._replied = trio.Event()
                await self._replied.wait()
            message: Any = await self._socket.receive()
            if isinstance(message, Disconnected):
                self._disconnected = message
                serving.cancel()
                return
            if self._endpoint is not None and not self._ending:
                self._step(self._endpoint.heard, message)

    async def _write(self) -> None:
        """Send what waits, and let the endpoint write more, until our close has been written."""
        while True:
            while self._frames:
                await self._socket.send(payload_of(self._frames[0]).decode())
                self._frames.popleft()
            self._replies_bytes = 0
            self._replied.set()
            if self._goodbye is not None:
                await self._socket.close(*self._goodbye)
                self._closed = True
                return
            if self._wants_room:
                self._wants_room = False
                await trio.lowlevel.checkpoint()
                if self._endpoint is not None:
                    self._step(self._endpoint.writable)
            else:
                self._wake = trio.Event()
                await self._wake.wait()

    async def _watch_clock(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._deadline) as self._sleep:
                await trio.sleep_forever()
            self._deadline = math.inf
            if self._goodbye is not None:
                self._lose(Loss.ABORTED)
            elif self._endpoint is not None:
                self._step(self._endpoint.due, trio.current_time())

    def _step(self, step: Callable[..., None], *args: object) -> None:
        """Let the endpoint take a step; what that raises ends this connection only."""
        try:
            step(*args)
        except Exception as error:  # noqa: BLE001 - counted, and a line
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._fault(error)
        logger.error("Connection failed", exc_info=error)
        self._lose(Loss.ABORTED)

    def _how(self) -> tuple[Closed | Loss, int | None]:
        """How it has ended, and by which code of the peer's."""
        end = self._disconnected
        if self._server.stalled:
            return Loss.STALLED, None
        if self._loss is not None:
            return self._loss, None
        if end is None:
            return Closed.BY_US if self._closed else Loss.ABORTED, None
        if end.code == ABNORMAL:
            return Loss.BROKEN, None
        return Closed.BY_VIOLATION if end.by_server else Closed.BY_PEER, end.code
