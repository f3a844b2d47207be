"""Pages: what is read of a log, in one transaction of a connection that only reads.

What its time, or its number, has run out for is not given any more, whether it is deleted yet or not.
"""

import sqlite3
from collections.abc import Callable
from typing import NamedTuple

from courier.backplane import Record, Stretch
from courier.backplane.sqlite.store import rows_of
from courier.schemas.control import GapReason
from courier.schemas.history import Kept
from courier.schemas.position import UNBORN, Moment, Position, Since

PAGE_BYTES = 1024 * 1024
"""How many bytes of events are read at a time, if they are more than one event."""


class Log(NamedTuple):
    """A channel's row, as far as a reader needs it."""

    id: int
    epoch: str
    head: int
    tail: int
    """The offset before the oldest event."""
    floor_ms: int
    """Of anything that arrived up to then it cannot say whether it was there."""
    born_ms: int
    first: int
    """Whether there was no log before it."""


def read_page(
    connection: sqlite3.Connection,
    channel: str,
    since: Since | None,
    limit: int,
    *,
    kept: Kept,
    began_ms: int,
    now_ms: int,
    at_ms: int,
) -> Stretch:
    """As `Backplane.read` says. `began_ms`: since when the file holds logs; `at_ms`: by the clock of ages."""
    connection.execute("BEGIN")
    try:
        log = log_of(connection, channel)
        if log is None:
            return _read_nothing(since, began_ms, now_ms)
        tail = visible_tail(connection, log, kept, at_ms)
        start, gap = _start(connection, log, tail, since, began_ms)
        head = Position(log.epoch, log.head)
        if since is None:
            records = _newest(connection, log, tail, limit)
            start = log.head - len(records)
        else:
            records = _from(connection, log, start, limit)
        return Stretch(Position(log.epoch, start), head, records, gap)
    finally:
        connection.execute("COMMIT")


def log_of(connection: sqlite3.Connection, channel: str) -> Log | None:
    """Where a channel's log stands."""
    row = connection.execute(
        "SELECT id, epoch, head, tail, floor_ms, born_ms, first FROM channels WHERE name = ?", (channel,)
    ).fetchone()
    return None if row is None else Log(*row)


def visible_tail(connection: sqlite3.Connection, log: Log, kept: Kept, at_ms: int) -> int:
    """The offset before the oldest event that is still given."""
    tail = max(log.tail, log.head - kept.events)
    expired_ms = at_ms - kept.milliseconds
    return _bisect(tail, log.head, lambda offset: _time(connection, log, offset, "at_ms") > expired_ms)


def _bisect(low: int, high: int, wanted: Callable[[int], bool]) -> int:
    """The offset before the first one, of those behind `low` up to `high`, from which on all are wanted;
    `high` when none is."""
    while low < high:
        middle = (low + high) // 2
        if wanted(middle + 1):
            high = middle
        else:
            low = middle + 1
    return low


def _time(connection: sqlite3.Connection, log: Log, offset: int, column: str) -> int:
    [row] = rows_of(log.id, 0, offset)[1:]
    found = connection.execute(f"SELECT {column} FROM events WHERE id = ?", (row,)).fetchone()  # noqa: S608
    if found is None:
        raise sqlite3.DatabaseError(f"event {offset} of log {log.id} is missing")
    return int(found[0])


def _start(
    connection: sqlite3.Connection, log: Log, tail: int, since: Since | None, began_ms: int
) -> tuple[int, GapReason | None]:
    match since:
        case None:
            return tail, None
        case Moment(milliseconds):
            floor_ms = log.floor_ms if tail == log.tail else _time(connection, log, tail, "arrived_ms")
            if milliseconds < floor_ms:
                return tail, GapReason.EXPIRED
            return _bisect(
                tail, log.head, lambda offset: _time(connection, log, offset, "arrived_ms") > milliseconds
            ), None
        case Position(epoch, moment_ms) if epoch == UNBORN:
            if not log.first or not began_ms <= moment_ms + 1 <= log.born_ms:
                return tail, GapReason.UNKNOWN_POSITION
            return tail, GapReason.EXPIRED if tail else None
        case Position(epoch, offset):
            if epoch != log.epoch or offset > log.head:
                return tail, GapReason.UNKNOWN_POSITION
            return (tail, GapReason.EXPIRED) if offset < tail else (offset, None)
    raise AssertionError("a since is a position or a moment")


def _from(connection: sqlite3.Connection, log: Log, start: int, limit: int) -> list[Record]:
    rows = connection.execute(
        "SELECT id, arrived_ms, event FROM events WHERE id > ? AND id <= ? ORDER BY id",
        rows_of(log.id, start, min(log.head, start + limit)),
    )
    return _page(log, rows)


def _newest(connection: sqlite3.Connection, log: Log, tail: int, limit: int) -> list[Record]:
    rows = connection.execute(
        "SELECT id, arrived_ms, event FROM events WHERE id > ? AND id <= ? ORDER BY id DESC",
        rows_of(log.id, max(tail, log.head - limit), log.head),
    )
    return _page(log, rows)[::-1]


def _page(log: Log, rows: sqlite3.Cursor) -> list[Record]:
    """Rows as records, as many as a page holds."""
    records: list[Record] = []
    size, before = 0, rows_of(log.id, 0, 0)[0]
    for row, arrived_ms, event in rows:
        size += len(event)
        if records and size > PAGE_BYTES:
            break
        records.append(Record(Position(log.epoch, row - before), arrived_ms, event))
    return records


def _read_nothing(since: Since | None, began_ms: int, now_ms: int) -> Stretch:
    unborn, gap = Position(UNBORN, now_ms - 1), None
    match since:
        case Moment(milliseconds) if milliseconds <= unborn.offset:
            gap = GapReason.EXPIRED
        case Position(epoch, moment_ms) if epoch != UNBORN or moment_ms + 1 < began_ms:
            gap = GapReason.UNKNOWN_POSITION
    return Stretch(unborn, unborn, [], gap)
