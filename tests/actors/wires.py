"""Wires for tests: honest stand-ins for a socket that takes as many bytes as it is given room for."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from courier.actors.frames import payload_of
from courier.actors.subscriber import Beginning, Subscriber
from courier.schemas.closing import CloseReason
from courier.serving.peer import Closed, Endpoint, Loss

CLOSE = 0x88
"""How a close frame begins (RFC 6455, 5.2)."""


class FakeWire:
    """A `courier.serving.peer.Peer` with so many bytes of room. What it has received is kept, cut or whole.

    Like a server, it lets its endpoint act in a turn of its own, and never from within a call.
    """

    def __init__(self, room: float = math.inf) -> None:
        self.address: str | None = None
        self.endpoint: Endpoint | None = None
        self.beginning: Beginning | None = None
        """Where the subscription began."""
        self.received = bytearray()
        self.at_a_time: float = math.inf
        self.error: Exception | None = None
        self.taken = 0
        """What the peer is said to have acknowledged."""
        self.loss: Loss | None = None
        self.goodbye: tuple[int, str] | None = None
        self.deadline = math.inf
        self.over_at = math.inf
        """When it ended."""
        self._room = room
        self._rest = b""
        self._corked: list[bytes] | None = None
        self.sends = 0
        """How often something was written to the socket, but for what was put."""
        self._waiting = False
        self._ended = False
        self._clock: trio.CancelScope | None = None

    # What an endpoint calls

    @property
    def holding(self) -> bool:
        return bool(self._rest)

    @property
    def held_bytes(self) -> int:
        return len(self._rest)

    def write(self, data: bytes) -> int:
        if self.error is not None:
            raise self.error
        if self._rest or self.goodbye is not None or self.loss is not None:
            self._waiting = True
            return 0
        if self._corked is not None:
            self._corked.append(data)
            return len(data)
        self.sends += 1
        sent = self._take(data)
        self._waiting = self._waiting or sent < len(data)
        return sent

    def hold(self, rest: bytes) -> None:
        self._rest += rest

    def put(self, data: bytes) -> None:
        if self.goodbye is None and self.loss is None:
            self.hold(data[0 if self._rest else self._take(data) :])

    def cork(self) -> bool:
        if self._corked is not None:
            return False
        self._corked = []
        return True

    def uncork(self) -> None:
        gathered, self._corked = self._corked, None
        data = b"".join(gathered or ())
        self.sends += bool(data)
        self.hold(data[self._take(data) :])

    def await_room(self) -> None:
        self._waiting = True
        self._soon()

    def taken_bytes(self) -> int | None:
        return self.taken

    def unsent_bytes(self) -> int | None:
        return None

    def close(self, code: int, reason: str, by: float) -> None:
        self.put(bytes([CLOSE, 2 + len(reason)]) + code.to_bytes(2, "big") + reason.encode())
        self.goodbye = self.goodbye or (code, reason)
        self.call_at(by)
        self._soon()

    def abort(self) -> None:
        self.lose(Loss.ABORTED)

    def call_at(self, deadline: float) -> None:
        self.deadline = deadline
        if self._clock is None:
            self._clock = trio.CancelScope()
            trio.lowlevel.spawn_system_task(self._watch_clock)
        self._clock.deadline = deadline

    async def _watch_clock(self) -> None:
        while not self._ended:
            with trio.CancelScope(deadline=self.deadline) as self._clock:
                await trio.sleep_forever()
            if trio.current_time() >= self.deadline:
                self.deadline = math.inf
                if self.goodbye is not None:
                    self.abort()
                elif self.endpoint is not None:
                    self.endpoint.due(trio.current_time())

    def _stop_clock(self) -> None:
        self.over_at = min(self.over_at, trio.current_time())
        if self._clock is not None:
            self._clock.cancel()

    # What the test does

    def take(self, room: float = math.inf) -> None:
        """Give it room for so many bytes more."""
        self._room += room
        self._soon()

    def leave_room(self, room: float) -> None:
        """Have room for just so many bytes from here on."""
        self._room = room

    def hear(self, message: str | bytes) -> None:
        """The peer says something."""
        assert self.endpoint is not None
        self.endpoint.heard(message)

    def lose(self, loss: Loss) -> None:
        """The socket is closed by force."""
        if self.loss is None:
            self.loss = loss
            self._soon()

    def leave(self) -> None:
        """The peer closes."""
        assert self.endpoint is not None
        self._ended = True
        self.endpoint.ended(Closed.BY_PEER, 1000, "")
        self._stop_clock()

    @contextmanager
    def raising(self, error: Exception) -> Iterator[None]:
        """Within the block, every write raises `error`."""
        self.error = error
        try:
            yield
        finally:
            self.error = None

    @property
    def frames(self) -> list[bytes]:
        """The whole frames received."""
        frames, rest = [], bytes(self.received)
        while len(rest) > 1:
            header, size = 2, rest[1]
            if size >= 126:
                width = 2 if size == 126 else 8
                size = int.from_bytes(rest[2 : 2 + width], "big")
                header += width
            if len(rest) < header + size:
                break
            frames.append(rest[: header + size])
            rest = rest[header + size :]
        return frames

    @property
    def payloads(self) -> list[bytes]:
        """The text of each whole text frame received."""
        return [payload_of(frame) for frame in self.frames if frame[0] != CLOSE]

    # How it moves

    def _take(self, data: bytes) -> int:
        count = int(min(len(data), self._room, self.at_a_time))
        self._room -= count
        self.received += data[:count]
        return count

    def _soon(self) -> None:
        trio.lowlevel.current_trio_token().run_sync_soon(self._turn, idempotent=False)

    def _turn(self) -> None:
        endpoint = self.endpoint
        if endpoint is None or self._ended:
            return
        if self.loss is not None:
            self._ended = True
            endpoint.ended(self.loss, None, "")
            self._stop_clock()
            return
        while self._rest and (sent := self._take(self._rest)):
            self._rest = self._rest[sent:]
        if self._rest:
            return
        if self.goodbye is not None:
            self._ended = True
            endpoint.ended(Closed.BY_US, None, "")
            self._stop_clock()
        elif self._waiting and self._room > 0:
            self._waiting = False
            endpoint.writable()


class Held:
    """Holds a subscription as a session does, but for what a session says of its own."""

    def __init__(self, subscriber: Subscriber, wire: FakeWire) -> None:
        self.subscriber = subscriber
        self.wire = wire
        self.left_at = math.nan
        self.over = trio.Event()
        """It has left."""
        wire.endpoint = self
        wire.beginning = subscriber.beginning

    def open(self) -> None:
        self.subscriber.open(self.wire, self)
        if self.wire.loss is not None:
            self.wire._soon()

    def end(self, reason: CloseReason, by: float) -> None:
        self.wire.close(reason.code, reason.reason, by)

    def heard(self, message: str | bytes) -> None:
        """Nothing is asked of it."""

    def due(self, now: float) -> None:
        """It asked for no moment."""

    def writable(self) -> None:
        self.subscriber.writable()

    def ended(self, how: Closed | Loss, code: int | None, reason: str) -> None:
        if how is Loss.STALLED:
            self.subscriber.evict("stalled")
        self._leave(aborted=isinstance(how, Loss) and self.subscriber.reason is not None)

    def _leave(self, *, aborted: bool = False) -> None:
        if not self.subscriber.left:
            self.left_at = trio.current_time()
            self.subscriber.close(aborted=aborted)
            self.over.set()
