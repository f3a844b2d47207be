"""Refusals: the last requests that were refused, each with its cause, for operators."""

import time
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from courier.logs import masked

KEPT = 500
"""How many are kept; then the oldest goes."""

LONGEST_CAUSE = 500
"""Characters of a cause that are kept."""


class Refusal(NamedTuple):
    """One refused request. What was not known yet when it was refused is None."""

    number: int
    """Counts up from 1, over all that were refused since the node started."""
    at: float
    """Unix seconds."""
    action: str
    """`publish`, `batch`, `join`, `refresh` or `history`."""
    status: int
    """The answer's HTTP status, or the code of the close."""
    error: str
    """The answer's sentence, or the reason of the close."""
    cause: str | None
    """The claim, the limit or the field."""
    channel: str | None = None
    event_type: str | None = None
    user_id: str | None = None
    source: str | None = None
    """The service, as it calls itself."""
    address: str | None = None
    request_id: str | None = None


class Refusals:
    """Keeps the last ones, without tokens."""

    def __init__(self) -> None:
        self.total = 0
        """How many there were since the node started."""
        self._kept = deque[Refusal](maxlen=KEPT)

    def __iter__(self) -> Iterator[Refusal]:
        return iter(self._kept)

    def note(
        self, action: str, status: int, error: str, cause: str, address: str | None, told: dict[str, Any]
    ) -> None:
        """Keep one; `told` is what the log's line tells of it."""
        self.total += 1
        facts = {
            name: told.get(name) for name in ("channel", "event_type", "user_id", "source", "request_id")
        }
        shown = masked(cause[:LONGEST_CAUSE]) or None
        self._kept.append(
            Refusal(self.total, time.time(), action, status, masked(error), shown, address=address, **facts)
        )
