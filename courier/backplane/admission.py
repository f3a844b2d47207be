"""Admission: what a rate limit that all nodes share says of one request."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol


class Admission(NamedTuple):
    """The bare figures, as of the moment that it was decided."""

    admitted: bool
    remaining: int
    """Events that would still be admitted."""
    reset_seconds: float
    """Seconds until a refused request would be admitted, or until an admitted one makes `remaining` grow."""
    at_microseconds: int
    """The moment, by the clock that all nodes share."""


class Ledger(Protocol):
    """Where a node that counts for itself keeps what it has counted over a restart."""

    async def admitted(self) -> list[tuple[str, float, int]]:
        """What services had published before the start: who, how many seconds ago, how many events.

        The oldest first. Waits until that is known.
        """

    async def count(self, admitted: Iterable[tuple[str, float, int]]) -> None:
        """Remember what services have published. Raises `BackplaneAway` when that cannot be done now."""


class Windows(Protocol):
    """Where each service's window is kept for all nodes."""

    async def admit(self, service: str, events: int, limit: int, window_seconds: int) -> Admission:
        """Count `events` if the service has no more than `limit` within the window with them, on all nodes
        together; otherwise count none. Raises `BackplaneAway` when that cannot be known now."""
