"""Kept: how many events a channel's log keeps, and how long."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from courier.schemas.channels import ChannelKind


class Kept(NamedTuple):
    """The youngest so many events, each for so long."""

    events: int
    seconds: float

    @property
    def milliseconds(self) -> int:
        return round(self.seconds * 1000)


def declared(kinds: Iterable[ChannelKind], events: int, seconds: float) -> Mapping[str, Kept]:
    """What is kept by kinds that say so, by name; `events` and `seconds` count for what they leave open."""
    return {
        kind.name: Kept(kind.history_events or events, kind.history_seconds or seconds)
        for kind in kinds
        if kind.history_events is not None or kind.history_seconds is not None
    }
