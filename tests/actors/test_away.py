"""The backplane cannot be reached, or the node goes: who is refused, who stays, what is still delivered."""

import math

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from courier.actors.errors import ChannelFailed
from courier.actors.limits import Limits
from courier.backplane import BackplaneAway, InboxFull, Publication
from courier.schemas.closing import CloseReason
from tests.actors.hubs import CHANNEL, OTHER, join, numbers, publish
from tests.actors.nodes import a_node, a_shared_log


async def test_a_channel_cannot_start_while_the_backplane_is_away(autojump_clock: MockClock) -> None:
    async with a_node(a_shared_log()) as one:
        with one.backplane.away():
            with pytest.raises(BackplaneAway):
                await join(one.hub)
            with pytest.raises(BackplaneAway):
                await publish(one.hub, 1)
            with pytest.raises(BackplaneAway):
                await one.hub.read(CHANNEL, None, 1)
        assert (len(one.hub.supervisor), one.hub.connections) == (0, 0)
        assert not one.backplane.followed
        _, wire = await join(one.hub)
        await publish(one.hub, 2)
        await wait_all_tasks_blocked()
        assert numbers(wire) == [2]


async def test_everyone_who_waits_for_a_start_is_told_that_it_failed(autojump_clock: MockClock) -> None:
    told = 0

    async def attempt() -> None:
        nonlocal told
        with pytest.raises(BackplaneAway):
            await join(one.hub)
        told += 1

    async with a_node(a_shared_log()) as one:
        with one.backplane.slow(2):
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(attempt)
                await trio.sleep(0.5)
                with one.backplane.away():
                    await trio.sleep(1)
        assert (told, len(one.hub.supervisor), one.hub.connections) == (5, 0, 0)


async def test_subscribers_stay_while_the_backplane_is_away_and_then_have_everything(
    autojump_clock: MockClock,
) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one, a_node(shared) as two:
        subscriber, wire = await join(one.hub)
        with one.backplane.away():
            await publish(two.hub, 1, 2)
            one.hub.supervisor.doubt(None)
            await trio.sleep(30)
            with pytest.raises(BackplaneAway):
                await publish(one.hub, 3)
        await trio.sleep(1)
        assert numbers(wire) == [1, 2]
        assert subscriber.reason is None


async def test_an_answer_that_was_lost_is_had_by_the_same_key(autojump_clock: MockClock) -> None:
    async with a_node(a_shared_log()) as one:
        _, wire = await join(one.hub)
        once = Publication(b'{"n":1}', "bot:a", b"1")
        with one.backplane.losing_answers(), pytest.raises(BackplaneAway):
            await one.hub.publish(CHANNEL, [once], math.inf)
        [again] = await one.hub.publish(CHANNEL, [once], math.inf)
        await publish(one.hub, 2)
        await wait_all_tasks_blocked()
        assert getattr(again, "deduplicated", False)
        assert numbers(wire) == [1, 2]


async def test_a_backplane_without_room_is_waited_for_as_long_as_the_publisher_says(
    autojump_clock: MockClock,
) -> None:
    async with a_node(a_shared_log()) as one:
        with one.backplane.full(), pytest.raises(InboxFull):
            await one.hub.publish(CHANNEL, [Publication(b"{}")], trio.current_time() + 3)
        assert trio.current_time() >= 3


# Retire and drain


async def test_a_channel_that_retires_is_not_followed_any_more(autojump_clock: MockClock) -> None:
    shared = a_shared_log()
    async with a_node(shared, Limits(history_seconds=5)) as one, a_node(shared) as two:
        subscriber, _ = await join(one.hub)
        await join(one.hub, channel=OTHER)
        [last] = await publish(one.hub, 1)
        subscriber.close()
        await trio.sleep(10)
        assert one.backplane.followed == {OTHER}
        await publish(two.hub, 2)
        assert one.hub.supervisor.running(CHANNEL) is None
        _, wire = await join(one.hub, since=last.position)
        await wait_all_tasks_blocked()
        assert numbers(wire) == [2]


async def test_a_drain_waits_for_the_nodes_own_events_and_then_stands_still(
    autojump_clock: MockClock,
) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one, a_node(shared) as two:
        subscriber, wire = await join(one.hub)
        async with trio.open_nursery() as nursery:
            with one.backplane.slow(2), one.backplane.holding():
                nursery.start_soon(publish, one.hub, 1)
                await trio.sleep(0.5)
                nursery.start_soon(one.hub.drain, trio.current_time() + 20)
                await trio.sleep(7)
                await publish(two.hub, 2)
            await wait_all_tasks_blocked()
            assert subscriber.reason is CloseReason.SHUTTING_DOWN
            subscriber.close()
        assert numbers(wire) == [1]
        assert one.log().offset == 1


async def test_a_drain_does_not_wait_for_a_backplane_that_is_away(autojump_clock: MockClock) -> None:
    async with a_node(a_shared_log()) as one:
        subscriber, _ = await join(one.hub)
        with one.backplane.away():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.hub.drain, trio.current_time() + 20)
                await trio.sleep(1)
                assert subscriber.reason is CloseReason.SHUTTING_DOWN
                subscriber.close()


async def test_a_node_that_has_ended_bears_what_its_backplane_still_says(autojump_clock: MockClock) -> None:
    shared = a_shared_log()
    async with a_node(shared) as two:
        async with a_node(shared) as one:
            await join(one.hub)
        one.hub.supervisor.doubt(None)
        one.hub.supervisor.doubt(CHANNEL)
        await publish(two.hub, 1)
        with pytest.raises(ChannelFailed):
            await one.hub.supervisor.repairs.catch_up(CHANNEL)
