"""Log: a channel's ring of ready frames, oldest first. Pure: no clock, no I/O, no trio."""

import math
from bisect import bisect_right
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from courier.actors.frames import Page
from courier.backplane import Origin
from courier.metrics.traffic import GAP
from courier.schemas.control import GapReason
from courier.schemas.position import UNBORN, Moment, Position, Since

ENTRY_OVERHEAD_BYTES = 200
"""What an entry costs beside its frame's bytes: object headers, two integers, its place in the list."""

SEGMENTS_KEPT = 16
"""Gaps are rare. So many are remembered when their entries are gone; what was before them only the backplane
can say."""

_COMPACT_AFTER = 64
_arrival = attrgetter("arrived_ms")


class Entry(NamedTuple):
    """One event as the log keeps it."""

    offset: int
    arrived_ms: int
    """Unix milliseconds; never smaller than the entry's before it."""
    frame: bytes
    event_type: str
    """`GAP` and the reason, of an entry that is no event."""
    at: float = 0.0
    """When it was appended, on the monotonic clock: its age, whatever the wall clock is set to."""

    @property
    def cost(self) -> int:
        return len(self.frame) + ENTRY_OVERHEAD_BYTES


class Segment(NamedTuple):
    """A run of entries whose positions count up: the entry at `cursor` follows `position`, and so on."""

    cursor: int
    position: Position


class Replay(NamedTuple):
    """Where a subscriber starts, and why that is not where it asked to."""

    cursor: int
    gap: GapReason | None


@dataclass(slots=True)
class Budget:
    """The bytes that all logs of a node may hold together."""

    limit_bytes: int
    used_bytes: int = 0

    @property
    def excess_bytes(self) -> int:
        return max(0, self.used_bytes - self.limit_bytes)


class Log:
    """A bounded log of one channel.

    Entries are counted from the log's birth and the count never starts again: `first` is the oldest one
    held, `head` the one that will come next. A cursor is such a number. `append` never drops anything;
    `trim` does, so that its caller can first show what is new to everyone who is up to date.

    Where the positions do not count up, because the log is a copy that has missed something or began a new
    epoch, stands an entry that is no event: the frame that tells of the gap. A cursor meets it in its turn.
    """

    __slots__ = (
        "_entries",
        "_skip",
        "budget",
        "bytes",
        "epoch",
        "first",
        "floor_ms",
        "forked",
        "last_ms",
        "offset",
        "segments",
    )

    def __init__(self, origin: Origin, budget: Budget) -> None:
        self.epoch, self.offset = origin.position
        self.floor_ms = self.last_ms = origin.floor_ms
        self.first = 0
        self.bytes = 0
        self.forked = False
        """The log that this one is a copy of has given positions of this epoch to other events."""
        self.budget = budget
        self._entries: list[Entry] = []
        self._skip = 0  # dropped entries that still stand at the list's start
        self.segments = [Segment(0, origin.position)]
        """Oldest first: those of what is held, and some before. The first may begin below what was held."""

    def __len__(self) -> int:
        return len(self._entries) - self._skip

    @property
    def head(self) -> int:
        """The number of the entry that will come next: the cursor of a subscriber that is up to date."""
        return self.first + len(self._entries) - self._skip

    @property
    def position(self) -> Position:
        """The last event appended; offset 0 when there was none yet."""
        return Position(self.epoch, self.offset)

    @property
    def next_position(self) -> Position:
        """What the next event will be called."""
        return Position(self.epoch, self.offset + 1)

    @property
    def oldest_ms(self) -> int | None:
        """When the oldest entry held arrived; None when the log is empty."""
        return self._entries[self._skip].arrived_ms if len(self) else None

    @property
    def oldest_at(self) -> float:
        """When the oldest entry held was appended, on the monotonic clock; infinity when the log is empty."""
        return self._entries[self._skip].at if len(self) else math.inf

    @property
    def origin(self) -> Origin:
        """What to keep when the entries are given up: nothing of them can be replayed from it."""
        return Origin(self.position, self.last_ms)

    def append(self, frame: bytes, arrived_ms: int, event_type: str = "", at: float = 0.0) -> Entry:
        """Append one event's frame as the next position; a wall clock set back counts as standing still.

        `at` is now, in seconds of the monotonic clock.
        """
        self.offset += 1
        self.last_ms = max(arrived_ms, self.last_ms)
        entry = Entry(self.offset, self.last_ms, frame, event_type, at)
        self._entries.append(entry)
        cost = entry.cost
        self.bytes += cost
        self.budget.used_bytes += cost
        return entry

    def jump(
        self,
        to: Position,
        frame: bytes,
        arrived_ms: int,
        reason: GapReason = GapReason.UNKNOWN_POSITION,
        at: float = 0.0,
    ) -> None:
        """Go on after `to`, whatever that is; `frame` tells of it, in the place of what is missing."""
        self.offset -= 1  # the entry is no event
        self.append(frame, arrived_ms, GAP + reason, at)
        self.forked = self.forked and to.epoch == self.epoch
        self.epoch, self.offset = to
        self.segments.append(Segment(self.head, to))

    @property
    def unborn(self) -> bool:
        """The log that this one is a copy of did not exist when that was last asked."""
        return self.epoch == UNBORN

    def be_born(self, at: Position) -> None:
        """Go on after `at`, before which there was nothing; the log must be `unborn`, and may stay so."""
        self.epoch, self.offset = at
        self.segments[-1] = Segment(self.head, at)
        if not len(self):
            self.last_ms = 0  # a clock that went back since then is none of this log's

    def has_left(self, epoch: str) -> bool:
        """Whether the log was in that epoch, and has gone on to another."""
        return epoch != UNBORN and any(
            segment.position.epoch == epoch != self.epoch for segment in self.segments
        )

    def position_before(self, cursor: int) -> Position:
        """The position just before what a cursor will read next: safe to keep, and to come back with.

        The cursor may be below `first`, and even below zero: this log never held what it then reads next.
        """
        for number in range(len(self.segments) - 1, -1, -1):
            start, position = self.segments[number]
            if start <= cursor or number == 0:
                return Position(position.epoch, max(0, position.offset + cursor - start))
        raise AssertionError("A log has a segment")

    def cursor_after(self, position: Position) -> int | None:
        """The cursor that reads next what follows `position`; below `first` when that is not held.

        None when the log knows no such position: another epoch, ahead of the head, within a gap, or not held
        and before one. What is not held is read elsewhere, and there is nothing left there of before a gap;
        what comes back of it is not what this log had.
        """
        if position.epoch == UNBORN:
            return self.head if self.unborn else None
        end, last = self.head, len(self.segments) - 1
        for number in range(last, -1, -1):
            start, (epoch, offset) = self.segments[number]
            cursor = start + position.offset - offset
            if epoch == position.epoch and cursor <= end and (start <= cursor or number == 0):
                return cursor if cursor >= self.first or number == last else None
            end = start - 1  # at which the gap's own entry stands
        return None

    def holds(self, position: Position, frame: bytes) -> bool | None:
        """Whether `frame` is what stands at `position`; None when that is not held."""
        cursor = self.cursor_after(position)
        if cursor is None or not self.first < cursor <= self.head:
            return None
        if any(segment.cursor == cursor for segment in self.segments):
            return None  # what stands before it is a gap
        return self._entries[self._skip + cursor - 1 - self.first].frame == frame

    def events(self, cursor: int, limit: int) -> list[tuple[Position, Entry]]:
        """At most `limit` events from `cursor` on, which must be held, up to the next gap."""
        start = self._skip + cursor - self.first
        gaps = (segment.cursor - 1 for segment in self.segments if segment.cursor > cursor)
        entries = self._entries[start : start + min(limit, next(gaps, self.head) - cursor)]
        epoch = self.position_before(cursor).epoch
        return [(Position(epoch, entry.offset), entry) for entry in entries]

    def entries(self, cursor: int, count: int) -> list[Entry]:
        """So many entries from `cursor` on, which must be held."""
        start = self._skip + cursor - self.first
        return self._entries[start : start + count]

    def page(self, cursor: int, limit_bytes: int | None = None) -> Page:
        """The frames from `cursor` on, at least one, and as many as fit in `limit_bytes` (None: all).

        `cursor` must be held: from `first` up to, not including, `head`.
        """
        start = self._skip + cursor - self.first
        if cursor == self.head - 1:  # an event alone, as most are
            frame = self._entries[start].frame
            return Page(frame, [frame])
        if limit_bytes is None:
            return Page.of(entry.frame for entry in self._entries[start:])
        stop, size = start, 0
        while stop < len(self._entries):
            size += len(self._entries[stop].frame)
            if size > limit_bytes and stop > start:
                break
            stop += 1
        return Page.of(entry.frame for entry in self._entries[start:stop])

    def since(self, since: Since | None) -> Replay:
        """Where a reader starts that has everything up to `since`; None: with what comes next.

        What cannot be replayed becomes a gap, and the cursor stands at the oldest entry held: a
        subscriber then gets everything that there still is.
        """
        if since is None:
            return Replay(self.head, None)
        if isinstance(since, Moment):
            if since.milliseconds < self.floor_ms:
                return Replay(self.first, GapReason.EXPIRED)
            later = bisect_right(self._entries, since.milliseconds, lo=self._skip, key=_arrival)
            return Replay(self.first + later - self._skip, None)
        cursor = self.cursor_after(since)
        if cursor is None or (self.unborn and since.offset < self.floor_ms):
            return Replay(self.first, GapReason.UNKNOWN_POSITION)
        if cursor < self.first:
            return Replay(self.first, GapReason.EXPIRED)
        return Replay(cursor, None)

    def trim(self, *, keep: int | None = None, before: float = -math.inf, free_bytes: int = 0) -> int:
        """Drop the oldest entries: all but `keep`, all that were appended `before` then, and then as many
        as it takes to free `free_bytes` in all. Returns how many went."""
        excess = len(self) - keep if keep is not None else 0
        dropped = freed = 0
        while len(self) and (dropped < excess or freed < free_bytes or self._entries[self._skip].at < before):
            oldest = self._entries[self._skip]
            self.floor_ms = oldest.arrived_ms
            self._entries[self._skip] = _DROPPED
            self._skip += 1
            freed += oldest.cost
            dropped += 1
        self.first += dropped
        while len(self.segments) > SEGMENTS_KEPT and self.segments[1].cursor <= self.first:
            del self.segments[0]
        self.bytes -= freed
        self.budget.used_bytes -= freed
        if self._skip > _COMPACT_AFTER and self._skip * 2 > len(self._entries):
            del self._entries[: self._skip]  # half of the list at a time: constant cost an entry
            self._skip = 0
        return dropped


_DROPPED = Entry(0, 0, b"", "")
