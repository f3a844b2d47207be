"""A node's log is a copy: what it missed it fetches, and what it has it drops."""

import random

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from courier.actors.channel import Channel
from courier.actors.errors import ChannelFailed
from courier.actors.limits import Limits
from courier.actors.messages import Arrive, Message, Refill
from courier.backplane import BackplaneAway
from courier.schemas.closing import CloseReason
from tests.actors.hubs import CHANNEL, join, numbers, publish, wall_clock
from tests.actors.nodes import Node, a_node, a_shared_log


async def test_a_hole_is_fetched_once_for_all_subscribers(autojump_clock: MockClock) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one, a_node(shared) as two:
        wires = [(await join(two.hub))[1] for _ in range(20)]
        await publish(one.hub, 1)
        with two.backplane.deaf():
            await publish(one.hub, *range(2, 50))
        reads = shared.reads
        await publish(one.hub, 50)
        await wait_all_tasks_blocked()
        assert shared.reads == reads + 1
        assert [numbers(wire) for wire in wires] == [list(range(1, 51))] * 20


@pytest.mark.parametrize("page", [7, 1])
async def test_a_large_hole_is_fetched_page_by_page(autojump_clock: MockClock, page: int) -> None:
    shared = a_shared_log(page=page)
    async with a_node(shared) as one, a_node(shared) as two:
        _, wire = await join(two.hub)
        with two.backplane.cut():
            await publish(one.hub, *range(60))
        await wait_all_tasks_blocked()
        assert numbers(wire) == list(range(60))


async def test_what_comes_twice_is_shown_once(autojump_clock: MockClock) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one:
        _, wire = await join(one.hub)
        with one.backplane.echoing():
            await publish(one.hub, 1)
            await publish(one.hub, 2, 3)
        one.hub.supervisor.arrived(CHANNEL, shared.read(CHANNEL, None, 3).records)
        await wait_all_tasks_blocked()
        assert numbers(wire) == [1, 2, 3]
        assert not one.metrics.totals().gaps


@pytest.mark.parametrize("seed", range(10))
async def test_what_comes_in_any_order_is_shown_in_one(autojump_clock: MockClock, seed: int) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one:
        _, wire = await join(one.hub)
        with one.backplane.holding(random.Random(seed)):
            for number in range(12):
                await publish(one.hub, number)
            await wait_all_tasks_blocked()
            assert not numbers(wire)
        await wait_all_tasks_blocked()
        assert numbers(wire) == list(range(12))


async def test_an_inbox_that_is_full_leaves_out_what_is_fetched_later(autojump_clock: MockClock) -> None:
    shared = a_shared_log()
    async with a_node(shared, Limits(inbox_events=4)) as one, a_node(shared) as two:
        _, wire = await join(one.hub)
        inbox = one.hub.supervisor.inbox(CHANNEL)
        inbox.reserve_nowait(4)
        await publish(two.hub, 1, 2, 3)
        assert not inbox
        await wait_all_tasks_blocked()
        assert numbers(wire) == [1, 2, 3]


async def test_an_inbox_that_is_full_while_its_channel_starts_loses_nothing(
    autojump_clock: MockClock,
) -> None:
    shared = a_shared_log()
    async with a_node(shared, Limits(inbox_events=2)) as one, a_node(shared) as two:
        async with trio.open_nursery() as nursery:
            with one.backplane.slow(1):
                nursery.start_soon(join, one.hub)
                await trio.sleep(0.7)  # the position is on its way back
                for number in range(5):
                    await publish(two.hub, number)
        await wait_all_tasks_blocked()
        assert one.log().offset == 5


async def test_a_doubt_while_a_channel_starts_is_not_forgotten(autojump_clock: MockClock) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one, a_node(shared) as two:
        async with trio.open_nursery() as nursery:
            with one.backplane.slow(1):
                nursery.start_soon(join, one.hub)
                await trio.sleep(0.7)
                with one.backplane.cut():
                    await publish(two.hub, 1)
        await wait_all_tasks_blocked()
        assert one.log().offset == 1


async def test_a_repair_that_failed_is_tried_again(autojump_clock: MockClock) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one, a_node(shared) as two:
        _, wire = await join(one.hub)
        with one.backplane.deaf():
            await publish(two.hub, 1)
        with one.backplane.losing_answers():
            await publish(two.hub, 2)
            await trio.sleep(5)
            assert not numbers(wire)
        await trio.sleep(1)
        assert numbers(wire) == [1, 2]


async def test_whoever_waits_for_a_repair_is_told_when_the_backplane_is_away(
    autojump_clock: MockClock,
) -> None:
    async with a_node(a_shared_log()) as one:
        await join(one.hub)
        with one.backplane.away(), trio.fail_after(60), pytest.raises(BackplaneAway):
            await one.hub.supervisor.repairs.catch_up(CHANNEL)


async def test_whoever_waits_for_a_repair_is_told_when_the_node_ends(autojump_clock: MockClock) -> None:
    told: list[int] = []

    async def wait(node: Node, number: int) -> None:
        with pytest.raises(ChannelFailed):
            await node.hub.supervisor.repairs.catch_up(CHANNEL)
        told.append(number)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery, a_node(a_shared_log()) as one:
            await join(one.hub)
            with one.backplane.slow(10):
                nursery.start_soon(wait, one, 1)
                await trio.sleep(1)
                nursery.start_soon(wait, one, 2)  # for the look after that one
                await trio.sleep(1)
    assert sorted(told) == [1, 2]


# Crashes


def crashing(monkeypatch: pytest.MonkeyPatch, kind: type[Message], times: int) -> None:
    """Have channels raise at the next so many messages of a kind."""
    apply, left = Channel.apply, times

    def crash(channel: Channel, message: Message) -> None:
        nonlocal left
        if isinstance(message, kind) and left:
            left -= 1
            raise ZeroDivisionError
        apply(channel, message)

    monkeypatch.setattr(Channel, "apply", crash)


async def test_a_crash_over_the_last_event_does_not_lose_it(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_node(a_shared_log()) as one:
        _, wire = await join(one.hub)
        await publish(one.hub, 1)
        crashing(monkeypatch, Arrive, times=1)
        await publish(one.hub, 2)
        await wait_all_tasks_blocked()
        assert numbers(wire) == [1, 2]


async def test_a_crash_over_what_was_fetched_fetches_it_again(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_node(a_shared_log()) as one:
        subscriber, wire = await join(one.hub)
        crashing(monkeypatch, Refill, times=4)
        with one.backplane.cut():
            await publish(one.hub, 1, 2)
        await wait_all_tasks_blocked()
        assert numbers(wire) == [1, 2]
        assert subscriber.reason is None


async def test_a_channel_that_always_crashes_over_what_was_fetched_is_given_up(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_node(a_shared_log()) as one:
        subscriber, _ = await join(one.hub)
        crashing(monkeypatch, Refill, times=1000)
        with one.backplane.cut():
            await publish(one.hub, 1)
        await wait_all_tasks_blocked()
        assert subscriber.reason is CloseReason.CHANNEL_FAILED
        assert not one.backplane.followed
        assert one.hub.supervisor.running(CHANNEL) is None


async def test_a_channel_without_a_log_is_caught_up_while_the_clock_is_before_the_shared_logs_beginning(
    autojump_clock: MockClock,
) -> None:
    shared = a_shared_log(born=False)
    with wall_clock.kept():
        async with a_node(shared) as node:
            _, wire = await join(node.hub)
            await trio.sleep(10)
            shared.empty()
            wall_clock.ahead_ms = -3_600_000  # as when a machine's clock is set right after its start
            await node.hub.supervisor.repairs.catch_up(CHANNEL)
            await publish(node.hub, 1)
            await trio.sleep(1)
            assert numbers(wire) == ["unknown_position", 1]
