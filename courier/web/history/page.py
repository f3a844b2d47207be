"""Page: a piece of a channel's history, as it is answered."""

from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

from courier.backplane import Record, Stretch
from courier.schemas.control import GapReason
from courier.schemas.position import Position, Since
from courier.web.history.request import Wanted

PAGE_BYTES = 1024 * 1024
"""How many bytes of events one answer has at most, if it has more than one event."""

Read = Callable[[Since | None, int], Awaitable[Stretch]]
"""Reads at most so many records of a log, as `Hub.read` does."""


class Page(NamedTuple):
    """Events of a log, in the order of the answer."""

    position: Position
    """Where to go on: the next `since`, or the next `before`."""
    records: Sequence[Record]
    complete: bool
    """No event that was asked for has left the log."""
    more: bool
    """The log holds others, further on."""


async def read_page(read: Read, wanted: Wanted, most_bytes: int = PAGE_BYTES) -> Page:
    """The page that was asked for, of at most so many bytes of events, or of one event; raises what `read`
    does."""
    if not wanted.limit:
        return Page((await read(None, 1)).head, [], True, False)
    if wanted.newest_first:
        return await _newest_first(read, wanted.before, wanted.limit, most_bytes)
    stretch = await read(wanted.since, wanted.limit)
    return _page_of(stretch, most_bytes, newest=wanted.since is None)


def _page_of(stretch: Stretch, most_bytes: int, *, newest: bool) -> Page:
    """The stretch as a page, oldest first: its first events, or its newest."""
    records = list(stretch.records)
    epoch, offset = stretch.start
    count = _count(records, most_bytes, newest=newest)
    if newest:
        offset, records = offset + len(records) - count, records[len(records) - count :]
    else:
        records = records[:count]
    end = Position(epoch, offset + len(records))
    return Page(end, records, stretch.gap is None, end.offset < stretch.head.offset)


async def _newest_first(read: Read, before: Position | None, limit: int, most_bytes: int) -> Page:
    """Go back from `before`. A position that the log does not know is an incomplete answer, as with `since`:
    it then goes back from the newest event."""
    known = True
    if before is not None:
        records, complete, known = await _before(read, before, limit)
    if before is None or not known:
        stretch = await read(None, limit)
        records, complete = list(stretch.records), known
        before = Position(stretch.start.epoch, stretch.start.offset + len(records) + 1)
    count = _count(records, most_bytes, newest=True)
    records = records[len(records) - count :]
    if not records:
        return Page(before, [], complete, False)
    oldest = records[0].position
    return Page(oldest, records[::-1], complete, await _is_held(read, oldest))


async def _before(read: Read, before: Position, limit: int) -> tuple[list[Record], bool, bool]:
    """The events before a position, oldest first; whether they stand right before it; whether it is known.

    A log is read forwards, and gives what is large in part: then less of it is asked for.
    """
    epoch, offset = before
    count = min(limit, max(1, offset - 1))
    while True:
        stretch = await read(Position(epoch, max(0, offset - 1 - count)), count)
        if stretch.gap is GapReason.UNKNOWN_POSITION or _is_ahead(before, stretch.head):
            return [], False, False
        records = [each for each in stretch.records if each.position < before and each.position[0] == epoch]
        adjacent = offset <= 1 or (bool(records) and records[-1].position.offset == offset - 1)
        if adjacent or count == 1 or (stretch.gap is not None and not records):
            return records, adjacent, True
        count = max(1, count // 2)


def _is_ahead(before: Position, head: Position) -> bool:
    return before.epoch == head.epoch and before.offset > head.offset + 1


async def _is_held(read: Read, position: Position) -> bool:
    """Whether the log holds the event before the one at a position."""
    epoch, offset = position
    if offset <= 1:
        return False
    stretch = await read(Position(epoch, offset - 2), 1)
    return stretch.gap is None and bool(stretch.records)


def _count(records: Sequence[Record], most_bytes: int, *, newest: bool) -> int:
    """How many records so many bytes hold, of the first or of the newest; at least one."""
    sizes = accumulate(len(each.event) for each in (reversed(records) if newest else records))
    return sum(1 for place, size in enumerate(sizes) if not place or size <= most_bytes)
