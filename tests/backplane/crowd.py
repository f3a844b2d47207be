"""Crowd: somebody with one connection for many channels, who comes back with the last positions seen."""

import math
import random

import trio

from courier.actors.subscriber import Subscriber
from courier.schemas.channels import ChannelName
from courier.schemas.closing import CloseReason
from courier.schemas.position import UNBORN, Position, Since
from courier.serving.peer import Closed, Loss
from tests.actors.many import Many, Stream
from tests.actors.wires import FakeWire
from tests.backplane.ordeal import Nodes, Place
from tests.backplane.witness import Subscription, Witness

REFUSALS = {
    each.code for each in (CloseReason.TRY_AGAIN_LATER, CloseReason.CHANNEL_FAILED, CloseReason.SHUTTING_DOWN)
}
"""How a subscription that has not begun may end."""


class Visit(Many):
    """One connection of a crowd: what its subscriptions are judged by."""

    def __init__(self, place: Place, crowd: "Crowd", room: float) -> None:
        assert place.node is not None
        self.witness = crowd.witness
        self.over = trio.Event()
        self.subscriptions: dict[int, Subscription] = {}
        """By `ref`, those that have begun."""
        names = [channel.name for channel in crowd.channels]
        super().__init__(place.node.site, f"u{crowd.number}", names, FakeWire(room))

    def opening(self, stream: Stream, subscriber: Subscriber) -> None:
        assert subscriber.beginning is not None
        channel, start = subscriber.channel, subscriber.beginning.position
        self.subscriptions[stream.ref] = Subscription(
            channel, stream.since, stream, start, self.witness.head(channel)
        )

    def ended(self, how: Closed | Loss, code: int | None, reason: str) -> None:
        super().ended(how, code, reason)
        self.over.set()


class Crowd:
    """Subscribes and unsubscribes at random. A subscription is judged as if it had its own socket."""

    def __init__(self, number: int, channels: tuple[ChannelName, ...], nodes: Nodes) -> None:
        self.number = number
        self.channels = channels
        self.nodes = nodes
        self.witness: Witness = nodes.witness
        self.random: random.Random = nodes.random
        self.last: dict[str, Position] = {}
        """By channel."""
        self.here: Visit | None = None
        self.subscriptions: list[Subscription] = []
        """Of this visit."""

    async def come(self, place: Place, room: float) -> None:
        """Come to a node, unless it is at one."""
        if self.here is None and place.node is not None and place.tasks is not None:
            self.nodes.say(f"crowd {self.number} comes to node {place.number}, {room=}")
            self.here = Visit(place, self, room)
            place.tasks.start_soon(self.stay, self.here)

    async def stay(self, visit: Visit) -> None:
        """As long as its node and its socket live."""
        try:
            await visit.over.wait()
            self.nodes.say(f"crowd {self.number} is told {visit.connection.reason}")
            assert visit.connection.reason in (None, CloseReason.SHUTTING_DOWN)
        finally:
            visit.wire.leave()
            self.judge()
            self.note()
            self.here = None

    def toggle(self, channel: ChannelName, *, off: bool = True) -> None:
        """Subscribe to a channel; or, when it is subscribed to and is to be `off`, unsubscribe."""
        visit, name = self.here, channel.name
        assert visit is not None
        if name not in visit.live:
            self.note()
            since: Since | None = self.last.get(name) if self.random.random() < 0.9 else None
            self.nodes.say(f"crowd {self.number} subscribes to {name} since {since}")
            visit.subscribe(name, since)
        elif off:
            self.nodes.say(f"crowd {self.number} unsubscribes from {name}")
            visit.unsubscribe(name)

    def note(self) -> None:
        """Note where it stands in each channel: where it was told that a subscription ended, and what it has
        seen of others."""
        assert self.here is not None
        for ref, subscription in self.here.subscriptions.items():
            stream = self.here.streams[ref]
            if stream.ended is not None:
                self.last[stream.channel] = Position.parse(stream.ended["position"])
            elif stream.begun is not None:
                self.last[stream.channel] = subscription.last

    def judge(self) -> list[Subscription]:
        """Judge what has come; the subscriptions that have begun."""
        if self.here is None:
            return []
        self.here.sort()
        for stream in self.here.streams:
            if stream.ended is not None:
                self.judge_end(stream)
        begun = [one for ref, one in self.here.subscriptions.items() if self.here.streams[ref].begun]
        for subscription in begun:
            subscription.judge(self.witness)
        return begun

    def judge_end(self, stream: Stream) -> None:
        assert stream.ended is not None
        code = stream.ended["code"]
        if code == CloseReason.TOO_SLOW.code:
            assert not self.nodes.calm, "too slow, and everything was there to be read"
        elif stream.begun is None:
            assert code in REFUSALS | {CloseReason.UNSUBSCRIBED.code}
        elif code == CloseReason.CHANNEL_FAILED.code:
            assert self.nodes.crashed >= 5, "a channel was given up too early"
        else:
            assert code == CloseReason.UNSUBSCRIBED.code, "nobody told it why"

    def judge_whole(self) -> None:
        """It must have all of all its channels."""
        assert self.here is not None, f"crowd {self.number} could not come back"
        self.judge()
        assert len(self.here.live) == len(self.channels), f"crowd {self.number} could not subscribe again"
        for name, stream in self.here.live.items():
            subscription = self.here.subscriptions[stream.ref]
            head = self.witness.head(subscription.channel)
            unborn = subscription.last.epoch == UNBORN and head.offset == 0
            assert subscription.last == head or unborn, (
                f"crowd {self.number} has all of {name} up to {subscription.last} of {head}"
            )

    async def rest(self, place: Place) -> None:
        """Be here, at ease, with all channels."""
        await self.come(place, math.inf)
        if self.here is not None:
            self.here.wire.take(math.inf)
            await trio.sleep(0)
            if self.here is not None:
                self.here.sort()
                for channel in self.channels:
                    self.toggle(channel, off=False)
