"""Schema: the tables of the file, what is wrong with a file, and its connections."""

import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from courier.backplane.errors import DataUnusable
from courier.backplane.sqlite.options import SqliteOptions
from courier.schemas.position import new_epoch

APPLICATION_ID = 0x436F7572
"""`Cour`: says whose file it is (https://www.sqlite.org/fileformat2.html, 1.3.17)."""

LOG_BITS = 36
"""An event's row id is its log's number, and so many bits of its offset: a log lies together in the file."""

CACHE_KIB = 16 * 1024

MIGRATIONS: Sequence[str] = (
    """
    CREATE TABLE facts (name TEXT PRIMARY KEY, fact) WITHOUT ROWID;
    CREATE TABLE channels (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
        epoch TEXT NOT NULL, head INTEGER NOT NULL, tail INTEGER NOT NULL,
        arrived_ms INTEGER NOT NULL, floor_ms INTEGER NOT NULL, born_ms INTEGER NOT NULL,
        first INTEGER NOT NULL, bytes INTEGER NOT NULL, at_ms INTEGER NOT NULL
    );
    CREATE TABLE events (
        id INTEGER PRIMARY KEY, arrived_ms INTEGER NOT NULL, at_ms INTEGER NOT NULL, event BLOB NOT NULL
    );
    CREATE TABLE keys (
        channel INTEGER NOT NULL, key TEXT NOT NULL, digest BLOB NOT NULL, epoch TEXT NOT NULL,
        offset INTEGER NOT NULL, arrived_ms INTEGER NOT NULL, reached INTEGER NOT NULL,
        at_ms INTEGER NOT NULL, PRIMARY KEY (channel, key)
    ) WITHOUT ROWID;
    CREATE INDEX keys_by_age ON keys (at_ms);
    CREATE TABLE windows (
        service TEXT NOT NULL, second INTEGER NOT NULL, events INTEGER NOT NULL, PRIMARY KEY (service, second)
    ) WITHOUT ROWID;
    CREATE TABLE revocations (id TEXT PRIMARY KEY, entry TEXT NOT NULL, expires_at INTEGER NOT NULL)
        WITHOUT ROWID;
    """,
)
"""What makes a schema of each version from the one before it; the first makes version 1."""


def open_writer(options: SqliteOptions) -> sqlite3.Connection:
    """The connection that writes; a file that is missing is made.

    Raises DataUnusable, and what SQLite raises where the disk takes or gives nothing now.
    """
    file = options.file
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = not file.exists() or not file.stat().st_size
        connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=0)
    except (OSError, sqlite3.Error) as error:
        raise DataUnusable(f"{file.parent} cannot be used: {_said(error)}") from None
    try:
        if fresh:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        _check(connection, file, fresh=fresh)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if options.fsync == 'always' else 'NORMAL'}")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        _migrate(connection)
        _renew_epochs(connection, options)
    except BaseException:
        connection.close()
        raise
    return connection


def inspect(options: SqliteOptions) -> None:
    """Return when the folder can be a node's: it is one, or can be made, and what is in it is Courier's.

    Raises DataUnusable. Whether another process holds it is not looked at.
    """
    folder, file = options.folder, options.file
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise DataUnusable(f"{folder} cannot be used: Permission denied")
        if not file.exists() or not file.stat().st_size:
            return
    except OSError as error:
        raise DataUnusable(f"{folder} cannot be used: {_said(error)}") from None
    try:
        with closing(open_reader(file)) as connection:
            _check(connection, file, fresh=False)
    except sqlite3.Error:
        return  # a disk that gives nothing now is waited for


def open_reader(file: Path) -> sqlite3.Connection:
    """A connection that only reads."""
    connection = sqlite3.connect(
        f"{file.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA query_only = ON")
    return connection


def close_cleanly(connection: sqlite3.Connection) -> None:
    """Note that nothing is unwritten, and close."""
    with suppress(sqlite3.Error):  # a full or read-only disk: the next start takes it for an unclean end
        _set(connection, "clean", 1)
    connection.close()


def began_ms(connection: sqlite3.Connection) -> int:
    """Since when the file has held logs, in Unix milliseconds."""
    began: int = _fact(connection, "began_ms")
    return began


def back_up(file: Path, to: Path) -> None:
    """Copy a file, also one that is being written. When the copy is opened, every channel begins a new epoch:
    others may have gone on from the same positions. Raises DataUnusable."""
    try:
        with closing(open_reader(file)) as source, closing(sqlite3.connect(to)) as target:
            _check(source, file, fresh=False)
            source.backup(target)
            _set(target, "backup", 1)
            target.commit()
    except sqlite3.Error as error:
        raise DataUnusable(f"{file} cannot be copied to {to}: {_said(error)}") from None


def check(file: Path) -> list[str]:
    """What is wrong with a file, in SQLite's words; empty when nothing is. Raises DataUnusable."""
    try:
        with closing(open_reader(file)) as connection:
            _check(connection, file, fresh=False)
            found = [text for (text,) in connection.execute("PRAGMA integrity_check")]
            lost = connection.execute(
                "SELECT name FROM channels WHERE head > tail AND NOT EXISTS"
                " (SELECT 1 FROM events WHERE events.id = (channels.id << ?) + channels.head)",
                (LOG_BITS,),
            )
            found += [f"channel {name} lacks its last event" for (name,) in lost]
    except sqlite3.Error as error:
        raise DataUnusable(f"{file} cannot be read: {_said(error)}") from None
    return [text for text in found if text != "ok"]


def _check(connection: sqlite3.Connection, file: Path, *, fresh: bool) -> None:
    if fresh:
        return
    try:
        [application] = connection.execute("PRAGMA application_id").fetchone()
        [version] = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise DataUnusable(f"{file} cannot be read as Courier's: {_said(error)}") from None
    if application != APPLICATION_ID:
        raise DataUnusable(f"{file} is another program's file; name another folder in COURIER_DATA")
    if version > len(MIGRATIONS):
        raise DataUnusable(
            f"{file} was written by a newer Courier (its schema has version {version}, this one knows"
            f" {len(MIGRATIONS)}); start that one, or name another folder in COURIER_DATA"
        )


def _migrate(connection: sqlite3.Connection) -> None:
    [version] = connection.execute("PRAGMA user_version").fetchone()
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")
    if not version:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        _set(connection, "began_ms", time.time_ns() // 1_000_000)
        _set(connection, "clean", 1)


def _renew_epochs(connection: sqlite3.Connection, options: SqliteOptions) -> None:
    """Begin new epochs where positions may have been given that are not in the file.

    That is a copy that others may have gone on from, and a machine that ended while nothing was flushed.
    """
    boot = boot_id()
    unclean = not _fact(connection, "clean", 1) and _fact(connection, "fsync") == "never"
    connection.execute("BEGIN IMMEDIATE")
    if _fact(connection, "backup") or (unclean and _fact(connection, "boot") != boot):
        renewed = [(new_epoch(), number) for (number,) in connection.execute("SELECT id FROM channels")]
        connection.executemany("UPDATE channels SET epoch = ?, first = 0 WHERE id = ?", renewed)
        connection.execute("DELETE FROM keys")
    for name, fact in (("backup", 0), ("clean", 0), ("boot", boot), ("fsync", options.fsync)):
        _set(connection, name, fact)
    connection.execute("COMMIT")


def boot_id() -> str:
    """Names this run of the machine (random(4)); empty where the kernel does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _fact(connection: sqlite3.Connection, name: str, default: object = None) -> Any:
    row = connection.execute("SELECT fact FROM facts WHERE name = ?", (name,)).fetchone()
    return default if row is None else row[0]


def _set(connection: sqlite3.Connection, name: str, fact: object) -> None:
    connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, fact))


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error)
