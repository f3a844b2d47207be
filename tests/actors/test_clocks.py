"""A wall clock that is set, forward or back, changes no age: only what an arrival is called."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from courier.actors.hub import Hub, open_hub
from courier.actors.limits import Limits
from courier.backplane import Appended, Publication
from courier.backplane.memory import MemoryBackplane
from courier.schemas.position import Position
from tests.actors.hubs import CHANNEL, WallClock, join, numbers, publish

TWO_HOURS = 7200
BOTH_WAYS = pytest.mark.parametrize("seconds", [TWO_HOURS, -TWO_HOURS])


@asynccontextmanager
async def a_node(clock: WallClock, limits: Limits | None = None) -> AsyncIterator[Hub]:
    backplane = MemoryBackplane(started_ms=clock(), remembered=10)
    async with open_hub(backplane, limits or Limits(), clock=clock) as hub:
        yield hub


@BOTH_WAYS
async def test_a_repeat_is_recognised_for_five_minutes_whatever_the_clock_is_set_to(
    autojump_clock: MockClock, seconds: int
) -> None:
    clock, once = WallClock(), Publication(b'{"n":1}', "bot:a", b"1")
    async with a_node(clock) as hub:

        async def repeat() -> Appended:
            [outcome] = await hub.publish(CHANNEL, [once], trio.current_time())
            assert isinstance(outcome, Appended)
            return outcome

        first = await repeat()
        clock.ahead_ms = 1000 * seconds
        await trio.sleep(299)
        assert await repeat() == first._replace(deduplicated=True)
        await trio.sleep(2)
        assert not (await repeat()).deduplicated


@BOTH_WAYS
async def test_an_event_is_kept_for_its_time_whatever_the_clock_is_set_to(
    autojump_clock: MockClock, seconds: int
) -> None:
    clock = WallClock()
    async with a_node(clock, Limits(history_seconds=600)) as hub:
        await join(hub)
        [first] = await publish(hub, 1)
        clock.ahead_ms = 1000 * seconds
        await trio.sleep(500)
        await publish(hub, 2)
        for held, wait in (([1, 2], 90), ([2], 20), ([2], 480), ([], 20)):
            await trio.sleep(wait)
            _, wire = await join(hub, since=Position(first.position.epoch, 2 - len(held)))
            await trio.sleep(0.1)
            assert numbers(wire) == held


@BOTH_WAYS
async def test_arrivals_never_go_back_whatever_the_clock_is_set_to(
    autojump_clock: MockClock, seconds: int
) -> None:
    clock = WallClock()
    async with a_node(clock, Limits(history_seconds=10)) as hub:
        arrivals = []
        for ahead in (0, seconds, 0, -seconds, seconds):
            clock.ahead_ms = 1000 * ahead
            arrivals += [receipt.arrived_ms for receipt in await publish(hub, 1, 2)]
            await trio.sleep(20)
            assert not len(hub.supervisor), "it has retired, and remembers"
        assert arrivals == sorted(arrivals)
