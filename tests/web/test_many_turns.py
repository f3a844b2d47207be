"""Many channels on a socket that takes little: who is behind takes turns, and no frame is torn."""

import json
import math
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from courier.actors.subscriber import PAGE_BYTES
from courier.backplane import Publication
from courier.node import Node, open_node
from courier.schemas.claims import SubscriberClaims
from courier.schemas.closing import CloseReason
from courier.schemas.registry import default_registry
from courier.web.auth import Identity, Verifier
from courier.web.grants import NOTHING
from courier.web.many import ManySession
from courier.web.rate_limit import RateLimiter
from courier.web.site import Site
from tests.actors.wires import FakeWire
from tests.names import PLAIN_RULES, channel_name
from tests.web.servers import settings_for
from tests.web.test_many_at_random import CHANNELS, Reader

EVENT = '{{"type":"system.announcement","source":"s","title":"{}","message":"m","severity":"info",'
EVENT += '"timestamp":"2026-12-01T12:00:00Z"}}'


class Stage:
    """A connection for many channels whose socket is the test's."""

    def __init__(self, node: Node, site: Site, wire: FakeWire) -> None:
        self.node = node
        self.wire = wire
        now = int(time.time())
        identity = Identity(SubscriberClaims(user_id="u1", iat=now, exp=now + 3600), NOTHING, {})
        self.connection = node.hub.connect("u1")
        wire.endpoint = ManySession(site, self.connection, {}, identity, wire)
        wire.endpoint.start()

    async def subscribe(self, *channels: str) -> None:
        for ref, channel in enumerate(channels):
            self.wire.hear(json.dumps({"type": "courier.subscribe", "ref": ref, "channel": channel}))
        await wait_all_tasks_blocked()

    async def publish(self, channel: str, *sizes: int) -> None:
        publications = [Publication(EVENT.format("x" * size).encode()) for size in sizes]
        await self.node.hub.publish(channel_name(channel), publications, math.inf)
        await wait_all_tasks_blocked()

    @property
    def said(self) -> list[dict[str, str]]:
        return [json.loads(payload) for payload in self.wire.payloads]


@asynccontextmanager
async def a_stage(room: float = math.inf) -> AsyncIterator[Stage]:
    settings, registry = settings_for(), default_registry()
    async with open_node(settings, registry.types, registry.kinds) as node:
        site = Site(node, registry, Verifier(settings), RateLimiter(0, 60, {}, 10), PLAIN_RULES)
        node.hub.supervisor.spawn(site.walker.run)
        yield Stage(node, site, FakeWire(room))


async def test_a_calm_channel_waits_for_what_a_busy_one_has_begun_and_no_longer() -> None:
    async with a_stage() as stage:
        await stage.subscribe("global", "user.u1")
        stage.wire.leave_room(100_000)
        await stage.publish("global", *[50_000] * 40)
        await stage.publish("user.u1", 1)
        before = len(stage.wire.received)
        while b'"channel":"user.u1","type":"system' not in stage.wire.received:
            stage.wire.take(4096)
            await wait_all_tasks_blocked()
        frame = 51_000  # what was begun is finished first
        assert len(stage.wire.received) - before <= frame + 8192
        stage.wire.take()
        await wait_all_tasks_blocked()
        assert len([said for said in stage.said if "id" in said]) == 41


async def test_two_that_are_behind_take_turns() -> None:
    async with a_stage() as stage:
        await stage.subscribe("global", "user.u1")
        stage.wire.leave_room(0)
        for channel in ("global", "user.u1"):
            await stage.publish(channel, *[40_000] * 10)
        for _ in range(200):
            stage.wire.take(10_000)
            await wait_all_tasks_blocked()
        channels = [said["channel"] for said in stage.said if "id" in said]
        assert len(channels) == 20
        ahead = [channels[:n].count("global") - channels[:n].count("user.u1") for n in range(len(channels))]
        assert max(map(abs, ahead)) <= 2


async def test_what_several_channels_have_for_one_connection_leaves_by_one_write() -> None:
    async with a_stage() as stage:
        await stage.subscribe("global", "user.u1", "backtest.7")
        stage.wire.sends = 0
        for channel in ("global", "user.u1", "backtest.7"):
            publication = Publication(EVENT.format(channel).encode())
            stage.node.hub.publish_nowait(channel_name(channel), [publication])
        await wait_all_tasks_blocked()
        assert stage.wire.sends == 1
        assert [said["title"] for said in stage.said if "id" in said] == ["global", "user.u1", "backtest.7"]


async def test_what_is_gathered_and_does_not_fit_is_held_up_to_a_page() -> None:
    async with a_stage() as stage:
        await stage.subscribe("global", "user.u1", "backtest.7")
        stage.wire.leave_room(1000)
        for channel in ("global", "user.u1", "backtest.7"):
            publications = [Publication(EVENT.format("x" * 30_000).encode())]
            stage.node.hub.publish_nowait(channel_name(channel), publications)
        await wait_all_tasks_blocked()
        assert stage.wire.held_bytes <= PAGE_BYTES
        stage.wire.take()
        await wait_all_tasks_blocked()
        assert [said["channel"] for said in stage.said if "id" in said] == ["global", "user.u1", "backtest.7"]


async def test_a_fault_in_writing_what_was_gathered_ends_its_own_connection_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_stage() as stage:
        await stage.subscribe("global", "user.u1")

        def fault() -> None:
            raise RuntimeError("a fault of the wire")

        monkeypatch.setattr(stage.wire, "uncork", fault)
        await stage.publish("user.u1", 1)
        assert stage.connection.reason is CloseReason.CHANNEL_FAILED
        other = await stage.node.hub.join(channel_name("global"), "u2")  # the node goes on
        await stage.publish("global", 1)
        assert other.lag == 1


async def test_a_stalled_connection_is_evicted_with_all_its_channels() -> None:
    async with a_stage() as stage:
        await stage.subscribe("global", "user.u1")
        stage.connection.evict("stalled")
        assert stage.connection.reason is CloseReason.TOO_SLOW
        assert stage.wire.goodbye == (4008, "Too slow")
        stage.wire.leave()
        assert stage.node.hub.connections == 0
        state = stage.node.hub.metrics.traffic
        assert (state["global"].subscriptions, state["user"].subscriptions) == (0, 0)


@pytest.mark.parametrize("seed", range(20))
async def test_however_little_the_socket_takes_each_channel_comes_whole_and_in_order(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("courier.web.many.SUBSCRIBES_A_SECOND", 1_000_000)
    chance = random.Random(seed)
    async with a_stage() as stage:
        reader, heard = Reader(), 0
        channels = [
            name for name in CHANNELS if not name.startswith("strategy")
        ]  # of which somebody is asked
        stage.wire.leave_room(chance.choice((0, 300, 5_000)))

        def listen() -> None:
            nonlocal heard
            payloads = stage.wire.payloads
            for payload in payloads[heard:]:
                reader.hear(payload.decode())
            heard = len(payloads)

        for _ in range(150):
            match chance.randrange(4):
                case 0:
                    stage.wire.hear(json.dumps(reader.message(chance.choice(channels))))
                case 1 | 2:
                    sizes = [chance.choice((1, 200, 30_000)) for _ in range(chance.randrange(1, 6))]
                    await stage.publish(chance.choice(channels), *sizes)
                case _:
                    stage.wire.take(chance.choice((1, 100, 3_000, 70_000)))
            if chance.random() < 0.5:
                await trio.lowlevel.checkpoint()
            listen()
        stage.wire.take()
        await wait_all_tasks_blocked()
        for channel in list(reader.live):
            stage.wire.hear(json.dumps(reader.message(channel)))
        await wait_all_tasks_blocked()
        listen()
        assert not reader.asked
        assert reader.counts["courier.ended"] == reader.ref + 1
        assert not stage.wire.holding


async def test_a_subscription_that_ends_while_a_gap_is_owed_ends_before_the_gap() -> None:
    async with a_stage() as stage:
        await stage.publish("global", 1, 1)
        stage.wire.leave_room(10)  # what is subscribed is held, and the gap must wait
        said = {"type": "courier.subscribe", "ref": 0, "channel": "global", "since": "zzzzzzzz-7"}
        stage.wire.hear(json.dumps(said))
        await wait_all_tasks_blocked()
        stage.wire.hear(json.dumps({"type": "courier.unsubscribe", "ref": 0}))
        stage.wire.take()
        await wait_all_tasks_blocked()
        assert [each["type"] for each in stage.said[1:]] == ["courier.subscribed", "courier.ended"]
        assert stage.said[-1]["position"] == "zzzzzzzz-7"  # from which the gap is told again


async def test_calm_channels_of_which_one_always_waits_do_not_starve_a_busy_one() -> None:
    async with a_stage() as stage:
        calm = [f"backtest.{number}" for number in range(10)]
        await stage.subscribe("global", *calm)
        before = len(stage.wire.received)
        await stage.publish(calm[0], 1)
        a_frame = len(stage.wire.received) - before
        stage.wire.leave_room(100)
        await stage.publish("global", *[40_000] * 5)
        stage.wire.take(stage.wire.held_bytes)
        await stage.publish(calm[9], 1)
        for channel in calm[1:9] * 3:  # a turn has room for a frame; then another calm one waits
            await stage.publish(channel, 1)
            stage.wire.take(a_frame + 10)
            await wait_all_tasks_blocked()
        assert stage.wire.received.count(b'"channel":"global","type":"system') > 1
