"""Connections for ten channels each that join while events are published, on every backplane."""

import json
import math
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator

import pytest
import trio

from courier.actors.hub import Hub
from courier.backplane import Publication
from tests.actors.many import Many, a_site
from tests.actors.wires import FakeWire
from tests.backplane.worlds import BACKPLANES, PATIENCE_SECONDS, world
from tests.names import channel_name

CHANNELS = [f"user.s{number}" for number in range(10)]
CONNECTIONS = 30
EVENTS = 900
PUBLISHERS = 9
"""So many that what is committed to a disk is committed together."""


@pytest.fixture(params=BACKPLANES)
async def hub(request: pytest.FixtureRequest) -> AsyncIterator[Hub]:
    async with world(request) as opener, opener() as hub:
        yield hub


def events(wire: FakeWire) -> dict[str, list[str]]:
    """The positions of what has come, by channel: where each began, and its events."""
    found: dict[str, list[str]] = defaultdict(list)
    for payload in wire.payloads:
        said = json.loads(payload)
        if said.get("type") == "courier.subscribed":
            found[said["channel"]].append(said["position"])
        elif "id" in said:
            found[said["channel"]].append(said["id"])
        else:
            assert said["type"] == "courier.connected"
    return found


async def test_joins_of_ten_channels_each_have_no_hole_and_no_repeat(hub: Hub) -> None:
    site, chance = a_site(hub), random.Random(1)
    published: Counter[str] = Counter()
    wires: list[FakeWire] = []

    async def publisher(count: int) -> None:
        for number in range(count):
            channel = chance.choice(CHANNELS)
            event = Publication(b'{"type":"t","n":%d}' % number)
            await hub.publish(channel_name(channel), [event], math.inf)
            published[channel] += 1

    async def connect(after: int) -> None:
        while published.total() < after:
            await trio.lowlevel.checkpoint()
        session = Many(site, "u1", CHANNELS, FakeWire())
        wires.append(session.wire)
        for channel in chance.sample(CHANNELS, len(CHANNELS)):
            session.subscribe(channel)

    for channel in CHANNELS:  # so that each has a log, and positions that can be counted
        await hub.publish(channel_name(channel), [Publication(b'{"type":"t","n":0}')], math.inf)
    async with trio.open_nursery() as nursery:
        for _ in range(PUBLISHERS):
            nursery.start_soon(publisher, EVENTS // PUBLISHERS)
        for number in range(CONNECTIONS):
            nursery.start_soon(connect, number * EVENTS // CONNECTIONS)
    assert published.total() == EVENTS
    with trio.fail_after(PATIENCE_SECONDS):
        for wire in wires:
            while any(
                int(positions[-1].split("-")[1]) < published[channel] + 1 or len(events(wire)) < len(CHANNELS)
                for channel, positions in events(wire).items()
            ) or not events(wire):
                await trio.sleep(0.01)
            for channel, positions in events(wire).items():
                offsets = [int(position.split("-")[1]) for position in positions]
                assert offsets == list(range(offsets[0], published[channel] + 2))
                assert len({position.split("-")[0] for position in positions}) == 1
    for wire in wires:
        wire.leave()
    assert hub.connections == 0
