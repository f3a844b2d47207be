"""Session: what Courier says on one connection, and what must be said to it. No I/O, and no clock but
`now`."""

import json
import math
from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any, Generic, TypeVar

from courier_client.event import Event, Gap

HEARTBEAT_SECONDS = 30.0
"""Until Courier has said what its own is."""

REFRESH_AGAIN_SECONDS = 5.0
"""Courier says nothing of a new token that it cannot judge at the moment: it is sent again."""


class Silent(Exception):
    """A ping was left unanswered: the connection is dead, whatever the network says."""


Item = TypeVar("Item", covariant=True)


class Session(ABC, Generic[Item]):
    """One connection by `courier.v1`.

    Half a heartbeat after this side has last said or heard something it says `ping`, and when half a
    heartbeat later nothing has come at all, the connection is dead. Whether it is, is asked only where there
    is nothing to read: so a reader that is slow itself takes nobody for dead.
    """

    def __init__(self, now: float) -> None:
        self.joined = False
        self.slot_seconds: float | None = None
        """When the node leaves: how long to wait before coming back."""
        self.refresh_at = math.inf
        """When a new token is to be sent."""
        self.token_ends = math.inf
        self.new_token: str | None = None
        """Sent, or about to be, and not confirmed."""
        self._half_beat = HEARTBEAT_SECONDS / 2
        self._heard = self._said = now
        self._pinged: float | None = None

    def hear(self, text: str, now: float) -> Item | None:
        """What a message comes to for the loop, if anything. ValueError, KeyError or TypeError for one that
        is none."""
        self._heard, self._pinged = now, None
        if text in ("ping", "pong"):
            return None
        said: dict[str, Any] = json.loads(text)
        kind: str = said.pop("type")
        match kind:
            case "courier.drain":
                self.slot_seconds = said["reconnect_in_ms"] / 1000
            case "courier.token_expiring":
                self.refresh_at, self.token_ends = now, now + said["seconds_left"]
                self.new_token = None
            case "courier.refreshed":
                self.refresh_at = math.inf
            case _:
                return self._hear(kind, said, now)
        return None

    @abstractmethod
    def _hear(self, kind: str, said: dict[str, Any], now: float) -> Item | None:
        """What a message of a channel comes to."""

    @abstractmethod
    def taken(self, item: Any) -> None:
        """The loop has it: a position moves behind it."""

    def to_say(self, now: float) -> str | None:
        """What is to be said now, beside the heartbeat and tokens; `has_said` once it was."""
        return None

    def has_said(self, now: float) -> None:
        """The text of `to_say` was sent."""

    # The heartbeat

    def said(self, now: float) -> None:
        """This side has said something."""
        self._said = now

    def ping_due(self, now: float) -> bool:
        """Whether to say `ping`; it counts as said."""
        if self._pinged is not None or now < min(self._heard, self._said) + self._half_beat:
            return False
        self._pinged = self._said = now
        return True

    def nothing_came(self, now: float) -> None:
        """There is nothing to read: Silent when that is so for too long after a ping."""
        if self._pinged is not None and now >= self._pinged + self._half_beat:
            raise Silent

    @property
    def next_at(self) -> float:
        """Until when there is nothing to do but to read."""
        beat = min(self._heard, self._said) if self._pinged is None else self._pinged
        return min(beat + self._half_beat, self.refresh_at)

    def _joined(self, heartbeat_seconds: float) -> None:
        self.joined = True
        self._half_beat = heartbeat_seconds / 2


class ChannelSession(Session[Event | Gap]):
    """A connection for one channel."""

    def __init__(self, since: str | None, now: float) -> None:
        super().__init__(now)
        self.position = since
        """Where the next connection goes on from: it moves when the loop takes an event or a gap."""

    def _hear(self, kind: str, said: dict[str, Any], now: float) -> Event | Gap | None:
        if kind == "courier.joined":
            self._joined(said["heartbeat_seconds"])
            if self.position is None or said["recovered"]:
                self.position = said["position"]
            # Otherwise a gap comes next, and until the loop has it, it must come again next time.
            return None
        return event_or_gap(kind, said)

    def taken(self, item: Event | Gap) -> None:
        self.position = item.id if isinstance(item, Event) else item.resumed_from


def event_or_gap(kind: str, said: dict[str, Any]) -> Event | Gap | None:
    """What a channel has said; None for what a later Courier may say."""
    if not kind.startswith("courier."):
        return _event(kind, said)
    if kind == "courier.gap":
        return Gap(said["channel"], said["requested"], said["resumed_from"], said["reason"])
    return None


def _event(kind: str, said: dict[str, Any]) -> Event:
    """What is left of the message when Courier's fields are taken out is the event's own."""
    return Event(
        said.pop("id"),
        said.pop("channel"),
        kind,
        said.pop("source"),
        datetime.fromisoformat(said.pop("timestamp")),
        said.pop("trace_id", None),
        said,
    )
