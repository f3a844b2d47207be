"""A session by a clock that jumps: what comes when, and what a socket that takes nothing holds up."""

import json
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from courier.actors.subscriber import GOODBYE_SECONDS, Beginning, Subscriber
from courier.backplane import Publication
from courier.node import open_node
from courier.schemas.claims import SubscriberClaims
from courier.schemas.closing import CloseReason
from courier.schemas.position import Since
from courier.schemas.registry import default_registry
from courier.serving.peer import Loss
from courier.web.auth import Identity, Verifier
from courier.web.grants import NOTHING
from courier.web.rate_limit import RateLimiter
from courier.web.single import SingleSession
from courier.web.site import Site
from tests.actors.wires import FakeWire
from tests.names import PLAIN_RULES, channel_name
from tests.web.servers import settings_for, token

CHANNEL = channel_name("user.u1")


class Stage:
    """One subscriber whose socket and whose messages are the test's."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.wire = FakeWire()
        self.subscriber: Subscriber
        self.beginning: Beginning

    @property
    def ended_at(self) -> float:
        """When its goodbye had been written, or could not be; infinite until then."""
        return self.wire.over_at

    async def join(self, *, ends_in: int = 3600, v1: bool = True, since: Since | None = None) -> None:
        self.subscriber = await self.site.node.hub.join(CHANNEL, "u1", since)
        assert self.subscriber.beginning is not None
        self.beginning = self.subscriber.beginning
        now = int(time.time())
        claims = SubscriberClaims(user_id="u1", iat=now, exp=now + ends_in)
        identity = Identity(claims, NOTHING, {})
        subprotocol = "courier.v1" if v1 else None
        session = SingleSession(self.site, self.subscriber, subprotocol, {}, identity, self.wire)
        self.wire.endpoint = session
        session.start()
        await wait_all_tasks_blocked()

    async def hear(self, text: str) -> None:
        self.wire.hear(text)
        await wait_all_tasks_blocked()

    async def publish(self, *numbers: int) -> None:
        events = [Publication(b'{"n":%d}' % number) for number in numbers]
        await self.site.node.hub.publish(CHANNEL, events, math.inf)

    @property
    def said(self) -> list[Any]:
        """The type of each message of ours, the number of each event, and the heartbeat's words."""
        texts = [payload.decode() for payload in self.wire.payloads]
        messages = [text if text in ("ping", "pong") else json.loads(text) for text in texts]
        return [
            said if isinstance(said, str) else said.get("n", said.get("type", "").removeprefix("courier."))
            for said in messages
        ]


@asynccontextmanager
async def a_stage() -> AsyncIterator[Stage]:
    settings = settings_for()
    async with open_node(settings) as node:
        yield Stage(
            Site(node, default_registry(), Verifier(settings), RateLimiter(0, 60, {}, 10), PLAIN_RULES)
        )


async def test_a_minute_before_its_token_ends_a_subscriber_is_told_once_and_then_it_ends_in_time(
    autojump_clock: MockClock,
) -> None:
    async with a_stage() as stage:
        await stage.join(ends_in=310)
        started = trio.current_time()
        for _ in range(10):
            await trio.sleep(24.89)
            await stage.hear("pong")
        assert stage.said == ["joined"]
        await trio.sleep(1.2)
        assert stage.said == ["joined", "token_expiring"]
        message = json.loads(stage.wire.payloads[-1])
        assert message == {"type": "courier.token_expiring", "seconds_left": 60}
        while math.isinf(stage.ended_at):
            await stage.hear("pong")
            await trio.sleep(10)
        assert 308.9 < stage.ended_at - started < 314.1
        assert stage.said == ["joined", "token_expiring"]
        assert stage.subscriber.reason is CloseReason.TOKEN_EXPIRED


async def test_after_a_refresh_everything_goes_by_the_new_token(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        await stage.join(ends_in=50)
        started = trio.current_time()
        await trio.sleep(20)
        await stage.hear(json.dumps({"type": "courier.refresh", "token": token(exp=int(time.time()) + 100)}))
        assert stage.said == ["joined", "refreshed"]
        await trio.sleep(25)
        await stage.hear("pong")
        await trio.sleep(24)
        assert stage.said == ["joined", "refreshed"]
        await trio.sleep(3)
        assert stage.said == ["joined", "refreshed", "token_expiring"]
        await stage.hear("pong")
        await trio.sleep(25)
        await stage.hear("pong")
        await trio.sleep(28)
        assert stage.subscriber.reason is CloseReason.TOKEN_EXPIRED
        assert 118.5 < stage.ended_at - started < 124.5


@pytest.mark.parametrize("v1", [True, False], ids=["courier.v1", "plain"])
async def test_silence_is_pinged_after_half_a_minute_and_ends_courier_v1_after_another(
    autojump_clock: MockClock, v1: bool
) -> None:
    async with a_stage() as stage:
        await stage.join(v1=v1)
        started = trio.current_time()
        await trio.sleep(29.9)
        assert "ping" not in stage.said
        await trio.sleep(0.2)
        assert stage.said.count("ping") == 1
        await trio.sleep(29.8)
        assert math.isinf(stage.ended_at)
        await trio.sleep(0.2)
        if v1:
            assert stage.subscriber.reason is CloseReason.NO_HEARTBEAT
            assert stage.ended_at - started == pytest.approx(60)
        else:
            assert stage.subscriber.reason is None
            assert stage.said.count("ping") == 2


async def test_an_answer_at_the_last_moment_is_one(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        await stage.join()
        for _ in range(5):
            await trio.sleep(59)
            await stage.hear("pong")
        assert stage.said == ["joined"] + ["ping"] * 5
        assert math.isinf(stage.ended_at)


async def test_joined_comes_first_although_the_socket_takes_nothing_for_a_while(
    autojump_clock: MockClock,
) -> None:
    async with a_stage() as stage:
        await stage.join()
        position = stage.beginning.position
        stage.wire.leave()
        await stage.publish(1, 2)
        stage.wire = FakeWire(room=0)
        await stage.join(since=position)
        await stage.publish(3)
        await trio.sleep(1)
        assert stage.said == []
        stage.wire.take()
        await wait_all_tasks_blocked()
        assert stage.said == ["joined", 1, 2, 3]


@pytest.mark.parametrize("room", [0, 1])
async def test_a_pong_that_is_not_taken_does_not_hold_up_the_tokens_end(
    autojump_clock: MockClock, room: int
) -> None:
    async with a_stage() as stage:
        await stage.join(ends_in=20, v1=False)
        started = trio.current_time()
        await trio.sleep(15)
        stage.wire.leave_room(room)
        await stage.hear("ping")
        await trio.sleep(5 + 4 + GOODBYE_SECONDS + 0.1)
        assert stage.subscriber.reason is CloseReason.TOKEN_EXPIRED
        assert 18.9 + GOODBYE_SECONDS < stage.ended_at - started < 24.1 + GOODBYE_SECONDS
        assert stage.wire.loss is Loss.ABORTED


async def test_a_socket_that_takes_nothing_in_a_drain_gets_no_more_time_for_the_last_word(
    autojump_clock: MockClock,
) -> None:
    async with a_stage() as stage:
        await stage.join()
        stage.wire.leave_room(10)
        started = trio.current_time()
        report = await stage.site.node.hub.drain(started + 20)
        assert report.aborted == 1
        assert stage.ended_at - started == pytest.approx(21, abs=0.1)
        assert stage.wire.loss is Loss.ABORTED
