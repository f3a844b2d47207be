"""SharedLog: what nodes share, in memory: epochs, offsets, records and idempotency keys of every channel."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Literal, Protocol

import trio

from courier.actors.keys import Keys
from courier.backplane import Appended, BackplaneRefused, Origin, Outcome, Publication, Record, Stretch
from courier.backplane.revocations import Revocations
from courier.schemas.channels import ChannelName
from courier.schemas.control import GapReason
from courier.schemas.position import UNBORN, Moment, Position, Since, new_epoch

_arrival = attrgetter("arrived_ms")


class Listener(Protocol):
    """A node's connection."""

    revocations: Revocations

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
    born_ms: int
    first: bool
    """There was no log before it, as far as the nodes have seen."""
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
        self.failing: Literal["", "at first", "at last"] = ""
        """Where the next script that appends fails: it takes all back, or only does not tell the feeds."""

    def origin(self, channel: ChannelName, known: Sequence[Position] = ()) -> Origin:
        stream = self._stream(channel, known)
        if stream is None:
            unborn = self._unborn()
            return Origin(unborn, unborn.offset)
        return Origin(stream.position, stream.arrived_ms)

    def publish(
        self,
        channel: ChannelName,
        publications: Sequence[Publication],
        known: Sequence[Position],
        reached: int,
    ) -> list[Outcome]:
        stream = self._stream(channel, known)
        if stream is None:
            now_ms = self._clock()
            stream = Stream(Position(new_epoch(), 0), now_ms, now_ms, now_ms, first=True)
        arrived_ms = max(self._clock(), stream.arrived_ms)
        now = trio.current_time()
        failing, self.failing = self.failing, ""
        if failing == "at first":
            raise BackplaneRefused("a script failed half-way")
        outcomes: list[Outcome] = []
        records: list[Record] = []
        for publication in publications:
            outcome = self._keys.find(channel.name, publication, now) if publication.key else None
            if outcome is None:
                position = Position(stream.position.epoch, stream.position.offset + 1)
                outcome = Appended(position, arrived_ms, reached)
                stream.position, stream.arrived_ms = position, arrived_ms
                records.append(Record(position, arrived_ms, publication.event))
                if publication.key:
                    self._keys.keep(channel.name, publication, outcome, now)
            outcomes.append(outcome)
        if records:
            self._streams[channel.name] = stream
            stream.records += records
            stream.trim(self._keep)
        self._note(channel, publications, outcomes)
        if records:
            if failing:
                raise BackplaneRefused("a script failed half-way")
            self._tell(channel, records)
        return outcomes

    def _note(
        self, channel: ChannelName, publications: Sequence[Publication], outcomes: Sequence[Outcome]
    ) -> None:
        """What became of these, before anybody is told."""

    def read(
        self, channel: ChannelName, since: Since | None, limit: int, known: Sequence[Position] = ()
    ) -> Stretch:
        self.reads += 1
        stream, limit = self._stream(channel, known), min(limit, self._page)
        if stream is None:
            return self._read_nothing(since)
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
            case Position(since_epoch, moment_ms) if since_epoch == UNBORN:
                if not stream.first or not self._started_ms <= moment_ms + 1 <= stream.born_ms:
                    gap = GapReason.UNKNOWN_POSITION
                elif tail:
                    gap = GapReason.EXPIRED
            case Position():
                if since.epoch != epoch or since.offset > stream.position.offset:
                    gap = GapReason.UNKNOWN_POSITION
                elif since.offset < tail:
                    gap = GapReason.EXPIRED
                else:
                    first = since.offset - tail
        return Stretch(Position(epoch, tail + first), stream.position, records[first : first + limit], gap)

    def _read_nothing(self, since: Since | None) -> Stretch:
        unborn, gap = self._unborn(), None
        match since:
            case Moment(milliseconds) if milliseconds <= unborn.offset:
                gap = GapReason.EXPIRED
            case Position(epoch, moment_ms) if epoch != UNBORN or moment_ms + 1 < self._started_ms:
                gap = GapReason.UNKNOWN_POSITION
        return Stretch(unborn, unborn, [], gap)

    def _unborn(self) -> Position:
        return Position(UNBORN, self._clock() - 1)

    def _stream(self, channel: ChannelName, known: Sequence[Position]) -> Stream | None:
        """The channel's log; a new epoch where it is behind what a node has seen, or gone."""
        stream = self._streams.get(channel.name)
        others = [position for position in known if stream is None or position.epoch != stream.position.epoch]
        if stream is None and not others:
            return None
        if stream is not None and all(
            position in others or position.offset <= stream.position.offset for position in known
        ):
            stream.first = stream.first and not others
            return stream
        renewed = self.begin(channel, stream.arrived_ms if stream else 0)
        self._tell(channel, ())
        return renewed

    def begin(self, channel: ChannelName, arrived_ms: int = 0) -> Stream:
        """A new epoch, after events that arrived up to then."""
        now_ms = max(arrived_ms, self._clock())
        begun = Stream(Position(new_epoch(), 0), now_ms, now_ms, now_ms, first=False)
        self._streams[channel.name] = begun
        return begun

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
