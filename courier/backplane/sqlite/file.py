"""File: the open log on disk: what writes it, what reads it, and the clock of its ages."""

import sqlite3
import time
from collections import deque
from collections.abc import Callable

from courier.backplane import Stretch
from courier.backplane.sqlite.options import SqliteOptions
from courier.backplane.sqlite.pages import read_page
from courier.backplane.sqlite.requests import Request
from courier.backplane.sqlite.schema import began_ms, close_cleanly, open_reader, open_writer
from courier.backplane.sqlite.store import Store
from courier.backplane.sqlite.trimmer import Trimmer
from courier.backplane.sqlite.writer import Commit, Writer
from courier.schemas.channels import ChannelName
from courier.schemas.position import Since

READERS = 4
"""How many pages are read at once; more wait their turn."""


class LogFile:
    """Made, read and closed in threads; `put` and `now_ms` may be called anywhere."""

    def __init__(self, options: SqliteOptions, tell: Callable[[Commit], None]) -> None:
        """`tell` is called in the writer's thread, after each transaction.

        Raises DataUnusable, and what SQLite raises where the disk gives or takes nothing now.
        """
        self._options = options
        self._connection = open_writer(options)
        self._readers: deque[sqlite3.Connection] = deque()
        try:
            self._began_ms = began_ms(self._connection)
            self._age_ms = _latest(self._connection) - time.monotonic_ns() // 1_000_000
            """The clock of ages, less the monotonic clock."""
            self.revocations = self._read_revocations()
            """Those whose time is not over, as JSON."""
            self.admitted: list[tuple[str, int, int]] = self._connection.execute(
                "SELECT service, second, events FROM windows ORDER BY second"
            ).fetchall()
            """What services had published: who, in which second of the clock of ages, how many events."""
            trimmer = Trimmer(
                self._connection,
                options.kept,
                options.limit_bytes,
                options.idempotency_keys,
                options.window_seconds,
                self.now_ms,
            )
            store = Store(self._connection, wall_ms, self.now_ms)
            self._writer = Writer(self._connection, store, trimmer, tell)
            self._readers.extend(open_reader(options.file) for _ in range(READERS))
        except BaseException:
            self._close_connections()
            raise
        self._writer.start()

    def put(self, request: Request) -> None:
        """Have it answered. Never waits."""
        self._writer.put(request)

    def read(self, channel: ChannelName, since: Since | None, limit: int) -> Stretch:
        """A page, by one of the readers; there must not be more calls at a time than readers."""
        connection = self._readers.popleft()
        try:
            return read_page(
                connection,
                channel.name,
                since,
                limit,
                kept=self._options.kept(channel.kind),
                began_ms=self._began_ms,
                now_ms=wall_ms(),
                at_ms=self.now_ms(),
            )
        finally:
            self._readers.append(connection)

    def close(self) -> None:
        """Answer all that was put, and close."""
        self._writer.end()
        while self._readers:
            self._readers.pop().close()
        close_cleanly(self._connection)

    def now_ms(self) -> int:
        """The clock of ages: the wall clock of the start, which goes on evenly, over restarts too."""
        return self._age_ms + time.monotonic_ns() // 1_000_000

    def pass_time(self, milliseconds: int) -> None:
        """Let everything be so much older."""
        self._age_ms += milliseconds

    def _read_revocations(self) -> list[str]:
        self._connection.execute("DELETE FROM revocations WHERE expires_at <= ?", (int(time.time()),))
        return [entry for (entry,) in self._connection.execute("SELECT entry FROM revocations")]

    def _close_connections(self) -> None:
        while self._readers:
            self._readers.pop().close()
        self._connection.close()


def wall_ms() -> int:
    """Unix milliseconds, rounded up: an arrival is never before a time that was rounded down."""
    return -(-time.time_ns() // 1_000_000)


def _latest(connection: sqlite3.Connection) -> int:
    """The wall clock, or the latest age that the file has, if the clock was set back since."""
    [latest] = connection.execute("SELECT max(at_ms) FROM channels").fetchone()
    return max(wall_ms(), latest or 0)
