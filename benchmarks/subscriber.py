"""Subscriber: one WebSocket of the load client, read as fast as Python can."""

import socket
from bisect import bisect_right
from collections.abc import Callable, Iterator
from time import perf_counter_ns

from benchmarks import frames
from benchmarks.errors import LoadError
from benchmarks.tape import Faults, Mark, Tape

_BUFFER = memoryview(bytearray(256 * 1024))
"""One for all subscribers: what it holds is judged before the next read."""


class Subscriber:
    """A cursor on its channel's tape.

    As long as what comes is what the tape says, a read costs one `recv` and one comparison of bytes, however
    its frames are cut. Everything else, the head of the tape included, is taken apart frame by frame.
    """

    __slots__ = (
        "_arrivals",
        "_missing",
        "_receive",
        "_recorded",
        "_rest",
        "_sock",
        "first",
        "gaps",
        "is_open",
        "late",
        "position",
        "repeated",
        "tape",
    )

    def __init__(self, sock: socket.socket, tape: Tape, first: int | None = None) -> None:
        self.tape = tape
        self.first = len(tape.ends) if first is None else first
        """The ordinal of the first event that this subscriber must get."""
        self.position = tape.ends[self.first - 1] if self.first else 0
        """How much of the tape has come."""
        self.is_open = True
        self.late = self.repeated = self.gaps = 0
        self._arrivals: list[tuple[int, int]] | None = None
        """While it is a list: for each read the time in nanoseconds, and `position` after it."""
        self._recorded = 0
        self._missing: set[int] = set()
        self._rest = b""
        self._sock = sock
        self._receive = sock.recv_into

    @property
    def received(self) -> int:
        """How many different events have come."""
        return self._next - self.first - len(self._missing)

    @property
    def complete(self) -> bool:
        """Everything on the tape has come, or the connection is gone."""
        return not self.is_open or (self.position == len(self.tape.data) and not self._missing)

    @property
    def faults(self) -> Faults:
        """What this subscriber has to complain of so far; what is on its way still counts as lost."""
        lost = len(self.tape.ends) - self._next + len(self._missing)
        return Faults(lost, self.late, self.repeated, gaps=self.gaps, closed=int(not self.is_open))

    def record(self) -> None:
        """From now on, keep the time at which each event comes."""
        self._arrivals = []
        self._recorded = self._next

    def latencies(self, intended: Callable[[Mark], int]) -> Iterator[int]:
        """For each event recorded, the nanoseconds since the time at which it was meant to be sent."""
        ends, marks = self.tape.ends, self.tape.marks
        ordinal = self._recorded
        for now, position in self._arrivals or ():
            while ordinal < len(ends) and ends[ordinal] <= position:
                yield now - intended(marks[ordinal])
                ordinal += 1

    def on_readable(self) -> None:
        """Take what has come, at most one buffer of it."""
        try:
            size = self._receive(_BUFFER)
        except ConnectionError:
            size = 0
        if size:
            self.take(_BUFFER[:size])
        else:
            self.is_open = False
            self._sock.close()
        if self._arrivals is not None:
            self._arrivals.append((perf_counter_ns(), self.position))

    def close(self) -> None:
        """Leave, as one whose connection breaks."""
        self._sock.close()

    def take(self, data: bytes | memoryview) -> None:
        """Judge `data`, the next bytes of this WebSocket: frame by frame, unless the tape says the same."""
        tape = self.tape
        if not self._rest and tape.data.startswith(data, self.position):
            self.position += len(data)
            return
        whole = self._next
        start = tape.ends[whole - 1] if whole else 0
        data = bytes(tape.data[start : self.position]) + self._rest + bytes(data)
        self.position = start
        end = 0
        for frame in frames.split(data):
            end = frame.end
            self._judge(frame, data[frame.start : end])
        self._rest = data[end:]
        if tape.data.startswith(self._rest, self.position):
            self.position += len(self._rest)
            self._rest = b""

    def _judge(self, frame: frames.Frame, data: bytes) -> None:
        payload = data[frame.payload - frame.start :]
        if (pong := frames.pong(frame.opcode, payload)) is not None:
            self._sock.send(pong)
        elif frame.opcode == frames.CLOSE:
            self.is_open = False
        elif frame.opcode != frames.TEXT:
            raise LoadError(f"an unexpected frame with opcode {frame.opcode}")
        elif payload.startswith(b'{"type":"courier.'):
            self.gaps += 1
        else:
            self._deliver(self.tape.place(data))

    def _deliver(self, ordinal: int) -> None:
        following = self._next
        if ordinal >= following:
            self._missing.update(range(following, ordinal))
            self.position = self.tape.ends[ordinal]
        elif ordinal in self._missing:
            self._missing.remove(ordinal)
            self.late += 1
        else:
            self.repeated += 1

    @property
    def _next(self) -> int:
        """The ordinal of the next event: how many whole frames of the tape lie before `position`."""
        return bisect_right(self.tape.ends, self.position)
