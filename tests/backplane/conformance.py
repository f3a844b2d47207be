"""What the conformance suite does with a hub. What must come is waited for, on any clock."""

import json
import math
from datetime import UTC, datetime
from typing import Protocol

import trio

from courier.actors.hub import Hub
from courier.actors.messages import Trim
from courier.actors.subscriber import Beginning, Subscriber
from courier.backplane import Appended, Outcome, Publication, Stretch
from courier.schemas.channels import ChannelName
from courier.schemas.closing import CloseReason
from courier.schemas.position import Moment, Position, Since
from tests.actors.many import Many, Stream, a_site
from tests.actors.wires import Held
from tests.backplane.worlds import PATIENCE_SECONDS, Ear
from tests.names import channel_name

CHANNEL = channel_name("user.u1")
OTHER = channel_name("user.u2")


def event(number: int) -> bytes:
    return b'{"n":%d}' % number


def moment(milliseconds: int) -> Moment:
    """As a subscriber would write it."""
    return Moment(milliseconds, datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat())


async def publish_all(hub: Hub, *publications: Publication, channel: ChannelName = CHANNEL) -> list[Outcome]:
    with trio.fail_after(PATIENCE_SECONDS):
        return await hub.publish(channel, publications, math.inf)


async def publish(hub: Hub, *numbers: int, channel: ChannelName = CHANNEL) -> list[Appended]:
    outcomes = await publish_all(hub, *(Publication(event(number)) for number in numbers), channel=channel)
    return [outcome for outcome in outcomes if isinstance(outcome, Appended)]


async def published_after(moment_ms: int, hub: Hub, number: int) -> Appended:
    """Publish an event when the clock has passed a moment, until which other channels are published to."""
    with trio.fail_after(PATIENCE_SECONDS):
        while (await publish(hub, 0, channel=OTHER))[0].arrived_ms <= moment_ms + 1:
            await trio.sleep(0.001)
    [receipt] = await publish(hub, number)
    return receipt


class Subscribed(Protocol):
    """What a case does with a subscription."""

    @property
    def reason(self) -> CloseReason | None:
        """Why it, or its connection, has ended."""

    def close(self) -> None:
        """Leave."""


class Hearing(Protocol):
    """What a case hears of a subscription."""

    @property
    def beginning(self) -> Beginning | None: ...

    @property
    def payloads(self) -> list[bytes]:
        """Its gaps and events."""

    async def hears(self, count: int) -> None:
        """Return when so many have come."""


class Join(Protocol):
    """One of the ways in which a subscriber comes."""

    async def __call__(
        self, hub: Hub, since: Since | None = None, *, channel: ChannelName = CHANNEL
    ) -> tuple[Subscribed, Hearing]: ...


async def join_alone(
    hub: Hub, since: Since | None = None, *, channel: ChannelName = CHANNEL
) -> tuple[Subscriber, Ear]:
    """A connection of its own."""
    ear = Ear()
    with trio.fail_after(PATIENCE_SECONDS):
        subscriber = await hub.join(channel, "u1", since)
    Held(subscriber, ear).open()
    return subscriber, ear


class OneOfTen(Many):
    """A connection for ten channels, of which one is heard."""

    def __init__(self, hub: Hub, since: Since | None, channel: ChannelName) -> None:
        self.ear = Ear()
        self.beginning: Beginning | None = None
        self.heard_of = channel.name
        self.opened = 0
        self.open = trio.Event()
        others = [f"user.s{number}" for number in range(9)]
        super().__init__(a_site(hub), "u1", [channel.name, *others], self.ear)
        for other in others[:5]:
            self.subscribe(other)
        self.stream = self.subscribe(channel.name, since)
        for other in others[5:]:
            self.subscribe(other)

    def opening(self, stream: Stream, subscriber: Subscriber) -> None:
        if stream.channel == self.heard_of:
            self.beginning = subscriber.beginning
        self.opened += 1
        if self.opened == 10:
            self.open.set()

    @property
    def payloads(self) -> list[bytes]:
        self.sort()
        assert not any(stream.ended for stream in self.streams)
        return self.stream.payloads

    async def hears(self, count: int) -> None:
        with trio.fail_after(PATIENCE_SECONDS):
            while len(self.payloads) < count:
                await self.ear.next_write()

    @property
    def reason(self) -> CloseReason | None:
        return self.connection.reason

    def close(self) -> None:
        self.ear.leave()


async def join_with_nine_others(
    hub: Hub, since: Since | None = None, *, channel: ChannelName = CHANNEL
) -> tuple[OneOfTen, OneOfTen]:
    """A connection for ten channels."""
    line = OneOfTen(hub, since, channel)
    with trio.fail_after(PATIENCE_SECONDS):
        await line.open.wait()
    return line, line


async def heard(ear: Hearing, messages: int) -> list[object]:
    """The first so many messages, and all that came with them: numbers of events, reasons of gaps."""
    await ear.hears(messages)
    return [message.get("n", message.get("reason")) for message in map(json.loads, ear.payloads)]


async def read(hub: Hub, since: Since | None, limit: int = 100) -> Stretch:
    with trio.fail_after(PATIENCE_SECONDS):
        return await hub.read(CHANNEL, since, limit)


def numbers_of(stretch: Stretch) -> list[int]:
    for place, record in enumerate(stretch.records, start=stretch.start.offset + 1):
        assert record.position == Position(stretch.start.epoch, place)
    return [json.loads(record.event)["n"] for record in stretch.records]


async def retire(hub: Hub) -> None:
    """As if the channel had been idle for so long that all its node holds of it is too old."""
    channel = hub.supervisor.running(CHANNEL)
    assert channel is not None
    with trio.fail_after(PATIENCE_SECONDS):
        await hub.supervisor.repairs.catch_up(CHANNEL)
        trim = Trim(before=math.inf)
        channel.inbox.put(trim)
        await trim.reply.wait()
        while not channel.idle:
            await trio.lowlevel.checkpoint()
    hub.supervisor.retire(channel)
