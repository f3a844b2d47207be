"""A connection for many channels on a wire of the test's, and what came on it, sorted by subscription."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

from courier.actors.frames import payload_of
from courier.actors.hub import Hub
from courier.actors.subscriber import Subscriber
from courier.node import Node
from courier.schemas.claims import SubscriberClaims
from courier.schemas.closing import CloseReason
from courier.schemas.position import UNBORN, Position, Since
from courier.schemas.registry import default_registry
from courier.settings import Settings
from courier.web.auth import Identity, Verifier
from courier.web.grants import Grants
from courier.web.many import Line, ManySession
from courier.web.rate_limit import RateLimiter
from courier.web.site import Site
from tests.actors.wires import CLOSE, FakeWire
from tests.names import PLAIN_RULES
from tests.web.servers import settings_for

A_DAY = 86_400


@cache
def _settings() -> Settings:
    return settings_for(heartbeat_seconds=3600)


def a_site(hub: Hub) -> Site:
    """What sessions need of a node: its hub. Nothing of it wakes up by itself."""
    settings = _settings()
    node = cast(Node, SimpleNamespace(settings=settings, hub=hub, metrics=hub.metrics))
    site = Site(node, default_registry(), Verifier(settings), RateLimiter(0, 60, {}, 10), PLAIN_RULES)
    hub.supervisor.spawn(site.walker.run)
    return site


@dataclass
class Stream:
    """What came of one subscription, by its `ref`."""

    ref: int
    channel: str
    since: Since | None
    payloads: list[bytes] = field(default_factory=list)
    """Its gaps and events."""
    begun: dict[str, Any] | None = None
    """`courier.subscribed`."""
    ended: dict[str, Any] | None = None
    """`courier.ended`."""

    @property
    def place(self) -> str | None:
        """Where its reader stands; None before it has begun."""
        if not self.payloads and self.begun is not None:
            owed = not self.begun["recovered"] and isinstance(self.since, Position)
            return str(self.since if owed else self.begun["position"])
        if not self.payloads:
            return None
        last = json.loads(self.payloads[-1])
        return str(last.get("resumed_from") or last["id"])

    def stands_at(self, position: str) -> bool:
        """Whether its reader stands there. Of a channel without a log that is the moment at which it was seen
        to have none, by a clock that may be set; and its first event gives that place another name."""
        place, said = Position.parse(self.place or ""), Position.parse(position)
        if place.epoch != UNBORN:
            return said == place
        return said.epoch == UNBORN or said.offset == 0


class Many(ManySession):
    """A connection for many channels, as its peer sees it: which subscription each message belongs to.

    AssertionError when a message belongs to none: an event after the end, or before the beginning.
    """

    def __init__(self, site: Site, owner: str, channels: Iterable[str], wire: FakeWire) -> None:
        now = int(time.time())
        claims = SubscriberClaims(user_id=owner, iat=now, exp=now + A_DAY)
        identity = Identity(claims, Grants(list(channels)), {})
        super().__init__(site, site.node.hub.connect(owner), {}, identity, wire)
        self.wire = wire
        self.streams: list[Stream] = []
        """By `ref`."""
        self.live: dict[str, Stream] = {}
        """What the peer wants, by channel."""
        self._coming: dict[str, Stream] = {}
        """By channel, the subscription that has begun and has not ended, by what has come."""
        self._sorted = 0
        wire.endpoint = self
        self.start()

    # What the peer does

    def subscribe(self, channel: str, since: Since | None = None) -> Stream:
        stream = self.live[channel] = Stream(len(self.streams), channel, since)
        self.streams.append(stream)
        said = {"type": "courier.subscribe", "ref": stream.ref, "channel": channel}
        self.heard(json.dumps(said if since is None else said | {"since": str(since)}))
        return stream

    def unsubscribe(self, channel: str) -> None:
        ref = self.live.pop(channel).ref
        self.heard(json.dumps({"type": "courier.unsubscribe", "ref": ref}))

    def sort(self) -> None:
        """Give each message that has come whole to its subscription."""
        frames = self.wire.frames
        for frame in frames[self._sorted :]:
            if frame[0] != CLOSE:
                self._take(payload_of(frame))
        self._sorted = len(frames)

    def _take(self, payload: bytes) -> None:
        said = json.loads(payload)
        match said.get("type"):
            case "courier.connected" | "courier.drain":
                pass
            case "courier.subscribed":
                stream = self.streams[said["ref"]]
                assert said["channel"] == stream.channel
                assert stream.begun is stream.ended is None, "a subscription begins once"
                assert stream.channel not in self._coming, "two subscriptions of one channel"
                stream.begun = said
                self._coming[stream.channel] = stream
            case "courier.ended":
                stream = self.streams[said["ref"]]
                assert said["channel"] == stream.channel
                assert stream.ended is None, "a subscription ends once"
                assert ("position" in said) == (stream.begun is not None)
                stream.ended = said
                if stream.begun is not None:
                    assert self._coming.pop(stream.channel) is stream
                    assert stream.stands_at(said["position"]), f"{said}, and it stood at {stream.place}"
                if stream in self.live.values():
                    del self.live[stream.channel]
            case _:
                assert said["channel"] in self._coming, f"{said} belongs to no subscription"
                self._coming[said["channel"]].payloads.append(payload)

    # What simulations hear of it

    def _open(self, line: Line, subscriber: Subscriber) -> None:
        self.opening(self.streams[line.ref], subscriber)
        super()._open(line, subscriber)

    def _refuse_line(self, line: Line, error: Exception, found: dict[str, str] | None = None) -> None:
        if not line.over:
            self.refusing(self.streams[line.ref], error)
        super()._refuse_line(line, error, found)

    def end_line(self, line: Line, reason: CloseReason) -> None:
        if not line.over:
            self.ending(self.streams[line.ref])
        super().end_line(line, reason)

    def opening(self, stream: Stream, subscriber: Subscriber) -> None:
        """A subscription begins."""

    def refusing(self, stream: Stream, error: Exception) -> None:
        """A subscription is refused."""

    def ending(self, stream: Stream) -> None:
        """A subscription ends."""
