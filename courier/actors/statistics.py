"""Statistics: what a channel and a subscriber are like at one moment."""

from enum import StrEnum
from typing import NamedTuple

from courier.schemas.channels import ChannelName
from courier.schemas.position import Position


class State(StrEnum):
    """Where a subscriber is in its life."""

    JOINING = "joining"
    """It has no wire yet."""
    CURRENT = "current"
    BEHIND = "behind"
    """Its wire takes less than the channel has."""
    CLOSING = "closing"
    """It has ended, and its goodbye is being said."""
    LEFT = "left"
    ABORTED = "aborted"
    """It has left, and its goodbye could not be said."""


class SubscriberStatistics(NamedTuple):
    """One subscriber."""

    id: str
    owner: str
    channel: str
    state: State
    position: Position | None
    """The place just before its next event; None while it joins."""
    lag: int
    """Events of the log that its wire has not been given yet."""
    held_bytes: int
    """The rest of the one frame that was cut."""


class ChannelStatistics(NamedTuple):
    """One channel, as this node has it."""

    name: ChannelName
    subscribers: int
    position: Position
    """Its last event's."""
    events: int
    bytes: int
    oldest_ms: int | None
    newest_ms: int | None
    """When the oldest and the newest event held arrived, in Unix milliseconds; None when none is held."""
    lag: int
    """The largest of its subscribers'."""
    waiting: int
    """Messages in its inbox."""
