"""Request: what of a channel's history is asked for."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from courier.schemas.position import Position, Since
from courier.web.errors import HttpError
from courier.web.reader import read_since

LIMIT = 100
LARGEST_LIMIT = 1000

LONGEST_WAIT = 60.0
"""Seconds for which a request may wait for the next event."""

_SECONDS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,9})?")


class Wanted(NamedTuple):
    """A piece of a log."""

    limit: int
    """At most so many events; 0: none, but where the log stands."""
    since: Since | None = None
    """Those after this, oldest first; None: the newest."""
    newest_first: bool = False
    before: Position | None = None
    """Newest first: those before this; None: from the newest on."""
    wait_seconds: float | None = None
    """When there are none yet: wait for one, so long; None: do not wait."""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Wanted":
        """What a query asks for; raises 400 for what cannot be read, or does not go together."""
        since, limit = read_since(query.get("since")), read_limit(query.get("limit"))
        newest_first = read_order(query.get("order"))
        before, wait_seconds = read_before(query.get("before")), read_wait(query.get("wait"))
        if before is not None and not newest_first:
            raise HttpError(400, "Query parameter before goes with order=desc only")
        if since is not None and newest_first:
            raise HttpError(400, "Query parameter since does not go with order=desc; use before")
        if wait_seconds is not None and (newest_first or not limit):
            raise HttpError(400, "Query parameter wait does not go with order=desc or limit=0")
        return cls(limit, since, newest_first, before, wait_seconds)


def read_limit(text: str | None) -> int:
    """How many events at most; raises 400 for what is no such number."""
    if text is None:
        return LIMIT
    if not (text.isascii() and text.isdigit() and int(text[:10]) <= LARGEST_LIMIT):
        raise HttpError(400, f"Unreadable limit: expected a whole number from 0 to {LARGEST_LIMIT}")
    return int(text)


def read_order(text: str | None) -> bool:
    """Whether the newest come first; raises 400 for what is no order."""
    if text not in (None, "asc", "desc"):
        raise HttpError(400, "Unreadable order: expected asc or desc")
    return text == "desc"


def read_before(text: str | None) -> Position | None:
    """Where to go back from; raises 400 for what is no position."""
    try:
        return None if text is None else Position.parse(text)
    except ValueError as error:
        raise HttpError(400, f"Unreadable before: {error}") from None


def read_wait(text: str | None) -> float | None:
    """Seconds to wait; raises 400 for what is no such number."""
    if text is None:
        return None
    if _SECONDS.fullmatch(text) is None or float(text) > LONGEST_WAIT:
        raise HttpError(400, f"Unreadable wait: expected seconds from 0 to {LONGEST_WAIT:g}")
    return float(text)
