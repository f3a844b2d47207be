"""Wires for tests: honest stand-ins for a socket that takes as many bytes as it is told to."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from courier.actors.errors import WireClosed, WireStalled
from courier.actors.frames import Page, payload_of, text_frame


class FakeWire:
    """A socket of so many bytes of room. What it has received is kept, whole frames and the rest."""

    def __init__(self, room: float = math.inf) -> None:
        self.received = bytearray()
        self.closed = False
        self.stalled = False
        self.error: Exception | None = None
        self._room = room
        self._rest = b""
        self.holding = False
        self._changed = trio.Event()
        self._flushing = trio.Lock()

    # What a subscriber calls

    @property
    def held_bytes(self) -> int:
        return len(self._rest)

    def write_nowait(self, page: Page) -> int:
        if self.error is not None:
            raise self.error
        if self.closed:
            raise WireClosed
        if self._rest:
            return 0
        sent = self._take(page.data)
        end = count = 0
        for frame in page.frames:
            if end >= sent:
                break
            end += len(frame)
            count += 1
        self._hold(page.data[sent:end])
        return count

    async def flush(self) -> None:
        async with self._flushing:
            while True:
                if self.stalled:
                    raise WireStalled
                if self.closed:
                    raise WireClosed
                self._hold(self._rest[self._take(self._rest) :])
                if not self._rest and self._room > 0:
                    return
                self._changed = trio.Event()
                await self._changed.wait()

    def _hold(self, rest: bytes) -> None:
        self._rest = rest
        self.holding = bool(rest)

    def _take(self, data: bytes) -> int:
        count = int(min(len(data), self._room))
        self._room -= count
        self.received += data[:count]
        return count

    # What a WebSocket's own task calls

    async def say(self, text: bytes) -> None:
        """Write one message of its own, in its turn."""
        await self._empty()
        if self.closed:
            raise WireClosed
        frame = text_frame(text)
        self._hold(frame[self._take(frame) :])
        await self._empty()

    async def _empty(self) -> None:
        while self._rest:
            await self.flush()

    # What the test does

    def take(self, room: float) -> None:
        """Give it room for so many bytes more."""
        self._room += room
        self._changed.set()

    def leave_room(self, room: float) -> None:
        """Have room for just so many bytes from here on."""
        self._room = room

    def stall(self) -> None:
        self.stalled = True
        self._changed.set()

    def close(self) -> None:
        self.closed = True
        self._changed.set()

    @contextmanager
    def raising(self, error: Exception) -> Iterator[None]:
        """Within the block, every write raises `error`."""
        self.error = error
        try:
            yield
        finally:
            self.error = None

    @property
    def payloads(self) -> list[bytes]:
        """The text of each whole frame received."""
        payloads, rest = [], bytes(self.received)
        while len(rest) > 1:
            header, size = 2, rest[1]
            if size >= 126:
                width = 2 if size == 126 else 8
                size = int.from_bytes(rest[2 : 2 + width], "big")
                header += width
            if len(rest) < header + size:
                break
            payloads.append(payload_of(rest[: header + size]))
            rest = rest[header + size :]
        return payloads
