"""Trimmer: deletes what is not given any more, in steps so small that no publish waits for long.

It looks at a few channels at a time, round and round. A step deletes some hundred rows in a transaction of
its own, and gives some of the file's free pages back.
"""

import sqlite3
from collections.abc import Callable

from courier.backplane.sqlite.pages import Log, visible_tail
from courier.backplane.sqlite.store import KEPT_MS, rows_of
from courier.schemas.history import Kept

STEP_ROWS = 400
"""How many events a step deletes."""

LOOK_CHANNELS = 64
"""At how many channels a step looks."""

PAGES_AT_ONCE = 256
"""How many free pages a step gives back."""

SPARE_PAGES = 1024
"""Free pages that the file keeps for what comes next."""

QUIET_MS = 7 * 86_400_000
"""How long the position of a channel is kept that has no events any more."""

_COLUMNS = "id, epoch, head, tail, floor_ms, born_ms, first"


class Trimmer:
    """Called by the writer between its transactions."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        kept: Callable[[str], Kept],
        limit_bytes: int,
        most_keys: int,
        window_seconds: int,
        aging_clock: Callable[[], int],
    ) -> None:
        self._connection = connection
        self._kept = kept
        self._limit_bytes = limit_bytes
        self._most_keys = most_keys
        self._window_seconds = window_seconds
        self._aging_clock = aging_clock
        self._next = 0
        """The channel from which on the next step looks."""
        self._looked = 0
        """How many were looked at in this round without anything to delete."""
        [self._page_bytes] = connection.execute("PRAGMA page_size").fetchone()

    @property
    def used_bytes(self) -> int:
        """Of the file, less its free pages."""
        [pages] = self._connection.execute("PRAGMA page_count").fetchone()
        [free] = self._connection.execute("PRAGMA freelist_count").fetchone()
        return (int(pages) - int(free)) * int(self._page_bytes)

    def step(self) -> bool:
        """Delete a little; whether there is more to delete at once."""
        connection, at_ms = self._connection, self._aging_clock()
        connection.execute("BEGIN IMMEDIATE")
        try:
            more = self._trim_largest() if self.used_bytes > self._limit_bytes else self._trim_some(at_ms)
            self._forget_keys(at_ms)
            self._connection.execute(
                "DELETE FROM windows WHERE second < ?", (at_ms // 1000 - self._window_seconds,)
            )
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return more or self._shrink()

    def _trim_some(self, at_ms: int) -> bool:
        """Delete of the next channels what has run out of time or number."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS}, kind, at_ms FROM channels WHERE id > ? ORDER BY id LIMIT ?",  # noqa: S608
            (self._next, LOOK_CHANNELS),
        ).fetchall()
        for *columns, kind, quiet_since_ms in rows:
            log = Log(*columns)
            kept = self._kept(kind)
            tail = visible_tail(self._connection, log, kept, at_ms)
            if tail > log.tail:
                self._trim(log, min(tail, log.tail + STEP_ROWS))
                if tail > log.tail + STEP_ROWS:
                    return True
            elif log.tail == log.head and quiet_since_ms + kept.milliseconds + QUIET_MS < at_ms:
                self._connection.execute("DELETE FROM channels WHERE id = ?", (log.id,))
            self._next = log.id
        if not rows:
            self._next = 0
        return len(rows) == LOOK_CHANNELS

    def _trim_largest(self) -> bool:
        """The file is as large as it may be: the largest log's oldest events go."""
        row = self._connection.execute(
            f"SELECT {_COLUMNS} FROM channels WHERE head > tail ORDER BY bytes DESC LIMIT 1"  # noqa: S608
        ).fetchone()
        if row is None:
            return False
        log = Log(*row)
        self._trim(log, min(log.head, log.tail + STEP_ROWS))
        return True

    def _trim(self, log: Log, tail: int) -> None:
        """Delete what stands up to `tail`; of anything that arrived up to then the log knows no more."""
        rows = rows_of(log.id, log.tail, tail)
        gone, floor_ms = self._connection.execute(
            "SELECT total(length(event)), max(arrived_ms) FROM events WHERE id > ? AND id <= ?", rows
        ).fetchone()
        self._connection.execute("DELETE FROM events WHERE id > ? AND id <= ?", rows)
        self._connection.execute(
            "UPDATE channels SET tail = ?, floor_ms = max(floor_ms, ?), bytes = max(0, bytes - ?)"
            " WHERE id = ?",
            (tail, floor_ms or 0, int(gone), log.id),
        )

    def _forget_keys(self, at_ms: int) -> None:
        """The oldest keys go, in the order of their age."""
        self._connection.execute(
            "DELETE FROM keys WHERE (channel, key) IN"
            " (SELECT channel, key FROM keys WHERE at_ms <= ? ORDER BY at_ms LIMIT ?)",
            (at_ms - KEPT_MS, STEP_ROWS),
        )
        [count] = self._connection.execute("SELECT count(*) FROM keys").fetchone()
        if count > self._most_keys:
            self._connection.execute(
                "DELETE FROM keys WHERE (channel, key) IN"
                " (SELECT channel, key FROM keys ORDER BY at_ms LIMIT ?)",
                (min(STEP_ROWS, count - self._most_keys),),
            )

    def _shrink(self) -> bool:
        """Give free pages back to the file system; whether there are more."""
        [free] = self._connection.execute("PRAGMA freelist_count").fetchone()
        if free <= SPARE_PAGES:
            return False
        self._connection.execute(
            f"PRAGMA incremental_vacuum({min(PAGES_AT_ONCE, free - SPARE_PAGES)})"
        ).fetchall()
        return bool(free - SPARE_PAGES > PAGES_AT_ONCE)
