"""Event and Gap: what a subscription yields."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the channel."""

    id: str
    """Its position in the channel's log: safe to keep as the next `since` once it is handled."""
    channel: str
    type: str
    source: str
    """The service that published it."""
    timestamp: datetime
    trace_id: str | None
    data: Mapping[str, Any]
    """Its own fields. `courier_client.events` has a TypedDict for each type."""


GapReason = Literal["expired", "unknown_position", "overrun"]


@dataclass(frozen=True, slots=True)
class Gap:
    """Events are missing here, and this is all that is known of them."""

    channel: str
    requested: str
    """The position or the time that the subscription came from."""
    resumed_from: str
    """The position just before the next event."""
    reason: GapReason
    """`expired`: the log has dropped them. `unknown_position`: the log is another one. `overrun`: the
    subscription fell behind so far that the log dropped them."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A channel of a connection has ended, and does not come back by itself."""

    channel: str
    code: int
    """As of a close."""
    reason: str
    position: str | None
    """Behind the last event or gap that the loop got; None when it had none."""
