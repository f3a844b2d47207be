"""Tape: what one channel delivered, written down once and compared with what every subscriber got."""

from dataclasses import dataclass, fields
from typing import NamedTuple, Self

from benchmarks.errors import LoadError

SERVICE = "benchmark"
"""Who publishes, by its header, its token and its events."""


class Mark(NamedTuple):
    """An event's name, whatever the server adds: who published it, and how many on its channel before."""

    publisher: int
    number: int

    def __bytes__(self) -> bytes:
        return b"%d-%d" % self


@dataclass
class Faults:
    """What went wrong on the way; all zero when every subscriber got every event once and in one order."""

    lost: int = 0
    late: int = 0
    repeated: int = 0
    altered: int = 0
    misnumbered: int = 0
    unordered: int = 0
    gaps: int = 0
    closed: int = 0

    def __add__(self, other: Self) -> "Faults":
        return Faults(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    def __str__(self) -> str:
        found = [f"{field.name} {getattr(self, field.name)}" for field in fields(self)]
        return ", ".join(text for text in found if not text.endswith(" 0")) or "none"


class Tape:
    """The events of one channel in the order in which they first appeared, as the frames that they came in.

    Whichever subscriber is ahead writes it, and each new frame is judged then: the offset in its `id` must
    count up by one within one epoch, its `channel` be the channel's, and the number that its publisher gave
    it follow the one before. All others need only have the same bytes.
    """

    __slots__ = (
        "_address",
        "_id",
        "_numbers",
        "_ordinals",
        "channel",
        "data",
        "ends",
        "faults",
        "marks",
        "numbered",
    )

    def __init__(self, channel: str) -> None:
        self.data = bytearray()
        self.ends: list[int] = []
        """Where in `data` each frame ends."""
        self.marks: list[Mark] = []
        self.faults = Faults()
        self.numbered = 0
        """How many frames bore an `id` of the form `<epoch>-<offset>`."""
        self.channel = channel
        self._address = b'"channel":"%b"' % channel.encode()
        self._id: tuple[bytes, int] | None = None
        self._numbers: dict[int, int] = {}
        self._ordinals: dict[Mark, int] = {}

    def place(self, frame: bytes) -> int:
        """The ordinal of the event that `frame` bears, 0 the first; written down when it is new."""
        mark = _mark(frame)
        ordinal = self._ordinals.setdefault(mark, len(self.ends))
        if ordinal < len(self.ends):
            start = self.ends[ordinal - 1] if ordinal else 0
            self.faults.altered += self.data[start : self.ends[ordinal]] != frame
            return ordinal
        self._judge(frame, mark)
        self.data += frame
        self.ends.append(len(self.data))
        self.marks.append(mark)
        return ordinal

    @property
    def position(self) -> str | None:
        """The `id` of the last event, when it has one."""
        return None if self._id is None else f"{self._id[0].decode()}-{self._id[1]}"

    def after(self, since: str) -> int:
        """The ordinal of the event after the position `since`: that of the last event here, or none."""
        return len(self.ends) if since == self.position else 0

    def _judge(self, frame: bytes, mark: Mark) -> None:
        follows = self._numbers.get(mark.publisher, -1) + 1
        self.faults.unordered += mark.number != follows
        self._numbers[mark.publisher] = mark.number
        epoch, dash, offset = _value(frame, b'"id":"').rpartition(b"-")
        if dash and offset.isdigit():
            self.numbered += 1
            number = int(offset)
            right = self._id in (None, (epoch, number - 1)) and self._address in frame
            self.faults.misnumbered += not right
            self._id = (epoch, number)


def event(mark: Mark, size: int) -> bytes:
    """An event of `size` bytes of JSON (about 150 at least) that bears `mark`."""
    text = (
        b'{"type":"prophet.message_chunk","source":"%b","timestamp":"2026-01-01T00:00:00Z",'
        b'"trace_id":"%b","conversation_id":"c","chunk":"%%b","is_final":false}'
        % (SERVICE.encode(), bytes(mark))
    )
    return text % (b"x" * (size - len(text) + len(b"%b")))


def _mark(frame: bytes) -> Mark:
    publisher, _, number = _value(frame, b'"trace_id":"').partition(b"-")
    if not (publisher.isdigit() and number.isdigit()):
        raise LoadError(f"a frame that bears no event of ours: {frame[:200]!r}")
    return Mark(int(publisher), int(number))


def _value(frame: bytes, key: bytes) -> bytes:
    start = frame.find(key)
    if start < 0:
        return b""
    start += len(key)
    return frame[start : frame.index(b'"', start)]
