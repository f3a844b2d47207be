"""What the conformance suite does with a hub. What must come is waited for, on any clock."""

import json
import math

import trio

from courier.actors.hub import Hub
from courier.actors.messages import Trim
from courier.actors.subscriber import Subscriber
from courier.backplane import Appended, Outcome, Publication, Stretch
from courier.schemas.channels import ChannelName
from courier.schemas.position import Position, Since
from tests.actors.wires import Held
from tests.backplane.worlds import PATIENCE_SECONDS, Ear
from tests.names import channel_name

CHANNEL = channel_name("user.u1")
OTHER = channel_name("user.u2")


def event(number: int) -> bytes:
    return b'{"n":%d}' % number


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


async def join(
    hub: Hub, since: Since | None = None, *, channel: ChannelName = CHANNEL
) -> tuple[Subscriber, Ear]:
    ear = Ear()
    with trio.fail_after(PATIENCE_SECONDS):
        subscriber = await hub.join(channel, "u1", since)
    Held(subscriber, ear).open()
    return subscriber, ear


async def heard(ear: Ear, messages: int) -> list[object]:
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
