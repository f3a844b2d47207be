"""SharedLog: what nodes share, in memory: epochs, offsets, records and idempotency keys of every channel."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Protocol

from courier.actors.keys import Keys
from courier.backplane import Appended, Origin, Outcome, Publication, Record, Stretch
from courier.schemas.channels import ChannelName
from courier.schemas.control import GapReason
from courier.schemas.position import Moment, Position, Since, new_epoch

_arrival = attrgetter("arrived_ms")


class Listener(Protocol):
    """A node's connection."""

    def hear(self, channel: ChannelName, records: Sequence[Record]) -> None: ...

    def reconnect(self) -> None: ...


@dataclass
class Stream:
    """One channel's log."""

    position: Position
    arrived_ms: int
    """When the last event arrived, or, before the first, the epoch began."""
    floor_ms: int
    """Of anything that arrived up to then it cannot say whether it was there."""
    records: list[Record] = field(default_factory=list)

    @property
    def tail(self) -> Position:
        """The position before the oldest record."""
        return Position(self.position.epoch, self.position.offset - len(self.records))

    def trim(self, keep: int) -> None:
        gone = len(self.records) - keep
        if gone > 0:
            self.floor_ms = self.records[gone - 1].arrived_ms
            del self.records[:gone]


Memory = tuple[int, dict[str, Stream], Keys]
"""All that a shared log had at some moment."""


class SharedLog:
    """The logs of all channels; each call is one step, as it is one script in Redis.

    `keep` records of a channel are kept, and at most `page` are read at a time.
    """

    def __init__(self, clock: Callable[[], int], *, keep: int = 10_000, page: int = 500) -> None:
        self.listeners: list[Listener] = []
        self.reads = 0
        """How often it was read."""
        self._clock = clock
        self._keep = keep
        self._page = page
        self._started_ms = clock()
        self._streams: dict[str, Stream] = {}
        self._keys = Keys(100_000)

    def origin(self, channel: ChannelName, known: Position | None) -> Origin:
        stream = self._stream(channel, known)
        return Origin(stream.position, stream.arrived_ms)

    def publish(
        self, channel: ChannelName, publications: Sequence[Publication], known: Position | None, reached: int
    ) -> list[Outcome]:
        stream = self._stream(channel, known)
        arrived_ms = max(self._clock(), stream.arrived_ms)
        outcomes: list[Outcome] = []
        records: list[Record] = []
        for publication in publications:
            outcome = self._keys.find(channel.name, publication, arrived_ms) if publication.key else None
            if outcome is None:
                position = Position(stream.position.epoch, stream.position.offset + 1)
                outcome = Appended(position, arrived_ms, reached)
                stream.position, stream.arrived_ms = position, arrived_ms
                records.append(Record(position, arrived_ms, publication.event))
                if publication.key:
                    self._keys.keep(channel.name, publication, outcome, arrived_ms)
            outcomes.append(outcome)
        if records:
            stream.records += records
            stream.trim(self._keep)
            self._tell(channel, records)
        return outcomes

    def read(self, channel: ChannelName, since: Since | None, limit: int) -> Stretch:
        self.reads += 1
        stream, limit = self._stream(channel, None), min(limit, self._page)
        records, (epoch, tail) = stream.records, stream.tail
        gap = None
        first = 0
        match since:
            case None:
                first = max(0, len(records) - limit)
            case Moment(milliseconds):
                if milliseconds < stream.floor_ms:
                    gap = GapReason.EXPIRED
                else:
                    first = bisect_right(records, milliseconds, key=_arrival)
            case Position():
                if since.epoch != epoch or since.offset > stream.position.offset:
                    gap = GapReason.UNKNOWN_POSITION
                elif since.offset < tail:
                    gap = GapReason.EXPIRED
                else:
                    first = since.offset - tail
        return Stretch(Position(epoch, tail + first), stream.position, records[first : first + limit], gap)

    def _stream(self, channel: ChannelName, known: Position | None) -> Stream:
        """The channel's log; a new epoch where there is none, or where it is behind what a node has of it."""
        stream = self._streams.get(channel.name)
        if stream is None:
            floor_ms = self._started_ms
        elif known is not None and known.epoch == stream.position.epoch and known > stream.position:
            floor_ms = max(stream.arrived_ms, self._clock())
        else:
            return stream
        position = Position(new_epoch(), 0)
        renewed = self._streams[channel.name] = Stream(position, floor_ms, floor_ms)
        if known is not None:
            self._tell(channel, ())
        return renewed

    def _tell(self, channel: ChannelName, records: Sequence[Record]) -> None:
        for listener in self.listeners:
            listener.hear(channel, records)

    # Faults

    def forget(self, channel: ChannelName, keep: int = 0) -> None:
        """All but the newest records of a channel have become too old."""
        self._streams[channel.name].trim(keep)

    def empty(self) -> None:
        """It starts anew, with nothing."""
        self.go_back((self._clock(), {}, Keys(100_000)))

    def remember(self) -> Memory:
        """What `go_back` takes: all as it is now."""
        return deepcopy((self._started_ms, self._streams, self._keys))

    def go_back(self, memory: Memory) -> None:
        """It starts anew, with what it had when that was remembered. Nobody stays connected."""
        self._started_ms, self._streams, self._keys = deepcopy(memory)
        for listener in self.listeners:
            listener.reconnect()
