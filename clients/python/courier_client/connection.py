"""Connection: many channels on one socket."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from courier_client.address import Address
from courier_client.backoff import Backoff
from courier_client.closing import CLOSE_REASONS, Closed, ComeBack
from courier_client.event import Ended, Event, Gap
from courier_client.reading import Reading
from courier_client.session import Session, event_or_gap
from courier_client.tokens import TokenSource

BACKOFF = Backoff(base_seconds=0.5, cap_seconds=30.0)
"""How long to wait before a channel that ended for now is subscribed again."""


@dataclass(slots=True)
class Wanted:
    """A channel that is subscribed, or is to be."""

    channel: str
    position: str | None
    """Where it goes on: it moves when the loop takes an event or a gap."""
    ref: int | None = None
    """Of the subscription on this connection, from when it is asked for."""
    begun: bool = False
    """Courier has said that it is subscribed: what comes from now on is of this subscription."""
    again_at: float = -math.inf
    """When it may be asked for."""
    failures: int = 0
    """Subscriptions in a row that brought nothing."""


class ConnectionSession(Session[Event | Gap | Ended]):
    """A connection for many channels."""

    def __init__(self, now: float, wanted: dict[str, Wanted]) -> None:
        super().__init__(now)
        self._ref = -1
        """The last one that was given."""
        self._wanted = wanted
        self._by_ref: dict[int, Wanted] = {}
        self._saying: Wanted | None = None
        """Whose `courier.subscribe` is on its way."""
        self.to_end: list[int] = []
        """The subscriptions that nobody wants any more."""

    @property
    def next_at(self) -> float:
        waiting = (each.again_at for each in self._wanted.values() if each.ref is None)
        return min(super().next_at, min(waiting, default=math.inf)) if self.joined else super().next_at

    def to_say(self, now: float) -> str | None:
        self._saying = None
        if not self.joined:
            return None
        if self.to_end:
            return json.dumps({"type": "courier.unsubscribe", "ref": self.to_end[0]})
        waiting = (each for each in self._wanted.values() if each.ref is None and now >= each.again_at)
        self._saying = wanted = next(waiting, None)
        if wanted is None:
            return None
        said = {"type": "courier.subscribe", "ref": self._ref + 1, "channel": wanted.channel}
        return json.dumps(said if wanted.position is None else said | {"since": wanted.position})

    def has_said(self, now: float) -> None:
        self.said(now)
        wanted, self._saying = self._saying, None
        if wanted is None:
            self.to_end.pop(0)
            return
        self._ref += 1
        wanted.ref = self._ref
        self._by_ref[self._ref] = wanted
        if self._wanted.get(wanted.channel) is not wanted:  # meanwhile nobody wants it any more
            self.to_end.append(self._ref)

    def _hear(self, kind: str, said: dict[str, Any], now: float) -> Event | Gap | Ended | None:
        match kind:
            case "courier.connected":
                self._joined(said["heartbeat_seconds"])
            case "courier.subscribed":
                wanted = self._by_ref[said["ref"]]
                wanted.begun = True
                if wanted.position is None or said["recovered"]:
                    wanted.position = said["position"]
            case "courier.ended":
                return self._end(said, now)
            case _:
                item = event_or_gap(kind, said)
                wanted_now = None if item is None else self._wanted.get(item.channel)
                if wanted_now is None or not wanted_now.begun:
                    return None  # of a subscription that nobody wants any more
                wanted_now.failures = 0
                return item
        return None

    def _end(self, said: dict[str, Any], now: float) -> Ended | None:
        wanted = self._by_ref.pop(said["ref"])
        if self._wanted.get(wanted.channel) is not wanted:
            return None  # nobody wants it any more
        closed = Closed(said["code"], said["reason"])
        wanted.ref, wanted.begun = None, False
        if CLOSE_REASONS.get(closed, ComeBack.BACKING_OFF) in (ComeBack.NO, ComeBack.WITH_NEW_TOKEN):
            del self._wanted[wanted.channel]
            # What came before it has not been taken by the loop yet, and will have been when this is.
            return Ended(wanted.channel, closed.code, closed.reason, said.get("position", wanted.position))
        wanted.again_at = now + BACKOFF.seconds(wanted.failures)
        wanted.failures += 1
        return None

    def taken(self, item: Event | Gap | Ended) -> None:
        wanted = self._wanted.get(item.channel)
        if wanted is not None and not isinstance(item, Ended):
            wanted.position = item.id if isinstance(item, Event) else item.resumed_from


class Connection(Reading[Event | Gap | Ended, ConnectionSession]):
    """Many channels on one socket, each event once and in the order of its channel, or a Gap where some are
    missing; an Ended where a channel does not come back.

    `async with courier.connect(…) as events:` is connected when its block begins, and `async for` goes over
    what comes of all channels. `subscribe` and `unsubscribe` may be called at any time, by any task; before
    the block, too. It comes back for ever, each channel where it was; SubscriptionRefused when Courier does
    not want the connection, TokenFailed when no token can be had.

    It starts no task, and is to be read, as a `Subscription`.
    """

    def __init__(self, address: Address, token: TokenSource) -> None:
        self._wanted: dict[str, Wanted] = {}
        super().__init__(address, token, ConnectionSession(0.0, self._wanted), "Connection")

    def __repr__(self) -> str:
        return f"Connection(positions={dict(self.positions)!r})"

    @property
    def positions(self) -> Mapping[str, str | None]:
        """Of each channel the place behind the event or gap that the loop got last, which is the `since` to
        go on from; None before it has begun."""
        return {each.channel: each.position for each in self._wanted.values()}

    def subscribe(self, channel: str, *, since: str | datetime | None = None) -> None:
        """Have the events of one more channel come, after `since`, a position or a time, if given. ValueError
        for a channel that is subscribed already."""
        if channel in self._wanted:
            raise ValueError(f"{channel} is subscribed already")
        start = since.isoformat() if isinstance(since, datetime) else since
        self._wanted[channel] = Wanted(channel, start)
        self._look()

    def unsubscribe(self, channel: str) -> None:
        """Have no more events of a channel come, not even those that have arrived. For a channel that is
        not subscribed it does nothing."""
        wanted = self._wanted.pop(channel, None)
        if wanted is None:
            return
        self._ready = type(self._ready)(item for item in self._ready if item.channel != channel)
        if wanted.ref is not None:
            self._session.to_end.append(wanted.ref)
        self._look()

    def _look(self) -> None:
        """Have whoever waits for what comes see what there is to say."""
        if self._listening is not None:
            self._listening.cancel()

    def _target(self) -> str:
        return "/ws"

    def _next_session(self, now: float) -> ConnectionSession:
        for wanted in self._wanted.values():
            wanted.ref, wanted.begun, wanted.again_at = None, False, -math.inf
        return ConnectionSession(now, self._wanted)
