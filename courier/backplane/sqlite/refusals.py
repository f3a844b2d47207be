"""Refusals: what SQLite's errors mean to those who run the node."""

import sqlite3

from courier.backplane.errors import DiskRefused

_WORDS = {
    "SQLITE_FULL": "disk is full",
    "SQLITE_READONLY": "file is read-only",
    "SQLITE_IOERR": "disk gave an error",
    "SQLITE_CORRUPT": "file is damaged",
    "SQLITE_NOTADB": "file is damaged",
    "SQLITE_CANTOPEN": "file cannot be opened",
    "SQLITE_PERM": "file may not be written",
    "SQLITE_BUSY": "another program holds the file",
}
"""By the beginning of the name (https://www.sqlite.org/rescode.html)."""


def refusal_of(error: Exception) -> DiskRefused:
    """What callers get for an error of SQLite."""
    name = getattr(error, "sqlite_errorname", "") or ""
    word = next((word for begin, word in _WORDS.items() if name.startswith(begin)), None)
    if word is None and isinstance(error, sqlite3.DatabaseError):
        word = "file is damaged" if "malformed" in str(error) or "missing" in str(error) else str(error)
    return DiskRefused(word or f"{type(error).__name__}: {error}")
