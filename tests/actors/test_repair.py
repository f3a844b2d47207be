"""A node's log is a copy: what it missed it fetches, what it has it drops, and what is lost it says."""

import math
import random

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from courier.actors.channel import Channel
from courier.actors.errors import ChannelFailed
from courier.actors.limits import Limits
from courier.actors.messages import Arrive, Message, Refill
from courier.backplane import BackplaneAway, InboxFull, Publication, Record
from courier.schemas.closing import CloseReason
from courier.schemas.position import Moment, Position
from tests.actors.hubs import CHANNEL, OTHER, events, join, numbers, publish, wall_clock
from tests.actors.nodes import a_node, a_shared_log


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
        assert not one.metrics.gaps


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


# What the shared log has lost


async def test_what_is_too_old_to_be_fetched_is_a_gap_for_all(autojump_clock: MockClock) -> None:
    shared = a_shared_log(keep=3)
    async with a_node(shared) as one, a_node(shared) as two:
        _, wire = await join(two.hub)
        first = (await publish(one.hub, 1))[0].position
        with two.backplane.cut():
            await publish(one.hub, *range(2, 10))
        await wait_all_tasks_blocked()
        assert numbers(wire) == [1, "expired", 7, 8, 9]
        gap = events(wire)[1]
        assert (gap["requested"], gap["resumed_from"]) == (str(first), f"{first.epoch}-6")


async def test_an_emptied_log_is_a_new_epoch_and_a_gap(autojump_clock: MockClock) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one, a_node(shared) as two:
        _, wire = await join(two.hub)
        [old] = await publish(one.hub, 1)
        shared.empty()
        [new] = await publish(one.hub, 2)
        await wait_all_tasks_blocked()
        assert new.position == Position(new.position.epoch, 1)
        assert numbers(wire) == [1, "unknown_position", 2]
        gap = events(wire)[1]
        assert (gap["requested"], gap["resumed_from"]) == (str(old.position), f"{new.position.epoch}-0")
        _, back = await join(two.hub, since=old.position)
        await wait_all_tasks_blocked()
        assert numbers(back) == ["unknown_position", 2]


async def test_a_log_that_went_back_is_found_by_who_knows_more_and_told_to_all(
    autojump_clock: MockClock,
) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one, a_node(shared) as two:
        wires = [(await join(node.hub))[1] for node in (one, two)]
        await publish(one.hub, 1)
        memory = shared.remember()
        [lost] = await publish(one.hub, 2)
        shared.go_back(memory)
        await wait_all_tasks_blocked()
        [new] = await publish(two.hub, 3)
        await wait_all_tasks_blocked()
        assert new.position.epoch != lost.position.epoch
        assert [numbers(wire) for wire in wires] == [[1, 2, "unknown_position", 3]] * 2


@pytest.mark.parametrize("kept", [100, 1, 0])
async def test_another_event_under_a_known_position_is_a_new_epoch(
    autojump_clock: MockClock, kept: int
) -> None:
    shared = a_shared_log()
    async with a_node(shared, Limits(history_events=kept)) as one, a_node(shared) as two:
        _, wire = await join(one.hub)
        await publish(two.hub, 1)
        memory = shared.remember()
        await publish(two.hub, 2, 3)
        await trio.sleep(1)
        with one.backplane.away():
            shared.go_back(memory)
            supervisor, one.backplane.feed = one.backplane.feed, None  # nobody doubts
        one.backplane.feed = supervisor
        await publish(two.hub, 4)
        await wait_all_tasks_blocked()
        await publish(two.hub, 5)
        await wait_all_tasks_blocked()
        assert numbers(wire) == [1, 2, 3, "unknown_position", 5]


@pytest.mark.parametrize("kept", [100, 0])
@pytest.mark.parametrize("page", [500, 1])
@pytest.mark.parametrize("new", [2, 5])
async def test_a_log_that_lost_events_and_has_as_many_new_ones_is_found_out(
    autojump_clock: MockClock, kept: int, page: int, new: int
) -> None:
    shared = a_shared_log(page=page)
    async with a_node(shared, Limits(history_events=kept)) as one, a_node(shared) as two:
        _, wire = await join(one.hub)
        await publish(two.hub, 1)
        memory = shared.remember()
        await publish(two.hub, 2, 3)
        await trio.sleep(1)
        with one.backplane.away():
            shared.go_back(memory)
            await publish(two.hub, *range(10, 10 + new))
        await wait_all_tasks_blocked()
        await publish(two.hub, 20)
        await wait_all_tasks_blocked()
        assert numbers(wire) == [1, 2, 3, "unknown_position", 20]


async def test_what_comes_before_a_doubt_is_looked_into_does_not_hide_what_was_lost(
    autojump_clock: MockClock,
) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one, a_node(shared) as two:
        _, wire = await join(one.hub)
        await publish(two.hub, 1)
        memory = shared.remember()
        await publish(two.hub, 2, 3)
        await trio.sleep(1)
        with one.backplane.cut():
            shared.go_back(memory)
            await publish(two.hub, 4, 5)
        shared.publish(
            CHANNEL, [Publication(b'{"n":6}')], None, 0
        )  # fits the node's log, and is heard at once
        await wait_all_tasks_blocked()
        await publish(two.hub, 7)
        await wait_all_tasks_blocked()
        assert numbers(wire)[-2:] == ["unknown_position", 7]


async def test_a_fork_that_is_found_while_a_hole_is_looked_at_is_not_forgotten(
    autojump_clock: MockClock,
) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one:
        _, wire = await join(one.hub)
        [first] = await publish(one.hub, 1)
        with one.backplane.slow(1):
            one.hub.supervisor.doubt(CHANNEL)
            await trio.sleep(0.7)
            forged = Record(first.position, first.arrived_ms + 1, b'{"n":9}')
            one.hub.supervisor.arrived(CHANNEL, [forged])
            await trio.sleep(5)
        await wait_all_tasks_blocked()
        assert numbers(wire) == [1, "unknown_position"]


async def test_a_fork_that_another_node_has_found_first_makes_one_new_epoch(
    autojump_clock: MockClock,
) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one:
        _, wire = await join(one.hub)
        [first] = await publish(one.hub, 1)
        with one.backplane.slow(2):
            one.hub.supervisor.doubt(CHANNEL)
            await trio.sleep(0.5)
            renewed = shared.origin(CHANNEL, first.position._replace(offset=7)).position
            await trio.sleep(1)
            forged = Record(first.position, first.arrived_ms + 1, b'{"n":9}')
            one.hub.supervisor.arrived(CHANNEL, [forged])
            await trio.sleep(10)
        assert numbers(wire) == [1, "unknown_position"]
        assert one.log().position == shared.origin(CHANNEL, None).position == renewed


async def test_an_epoch_that_was_left_does_not_come_back(autojump_clock: MockClock) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one:
        _, wire = await join(one.hub)
        await publish(one.hub, 1)
        memory = shared.remember()
        await publish(one.hub, 2)
        shared.empty()
        await publish(one.hub, 3)
        await wait_all_tasks_blocked()
        shared.go_back(memory)
        await wait_all_tasks_blocked()
        await publish(one.hub, 4)
        await wait_all_tasks_blocked()
        assert numbers(wire) == [1, 2, "unknown_position", 3, "unknown_position", 4]
        assert len({segment.position.epoch for segment in one.log().segments}) == 3


async def test_what_was_read_of_an_older_epoch_comes_too_late(autojump_clock: MockClock) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one, a_node(shared) as two:
        _, wire = await join(one.hub)
        await publish(two.hub, 1)
        async with trio.open_nursery() as nursery:
            with one.backplane.cut():
                shared.empty()
                await publish(two.hub, 2)
                with one.backplane.slow(4):
                    nursery.start_soon(one.hub.supervisor.catch_up, CHANNEL)
                    await trio.sleep(7)  # what it reads is on its way
                shared.empty()
                await publish(two.hub, 3)
            await trio.sleep(0.5)
            assert numbers(wire) == [1, "unknown_position", 3]
        await wait_all_tasks_blocked()
        assert numbers(wire) == [1, "unknown_position", 3]


async def test_a_moment_within_a_gap_is_told_of_it_though_the_clocks_of_nodes_differ(
    autojump_clock: MockClock,
) -> None:
    shared = a_shared_log(keep=1)
    async with a_node(shared) as one:
        await join(one.hub)
        await publish(one.hub, 1)
        shared._clock = lambda: wall_clock() + 60_000
        with one.backplane.cut():
            await publish(one.hub, 2)
            [lost] = await publish(one.hub, 3)
            await publish(one.hub, 4)
            shared.forget(CHANNEL)
        await wait_all_tasks_blocked()
        _, wire = await join(one.hub, since=Moment(lost.arrived_ms - 1, "then"))
        await wait_all_tasks_blocked()
        assert numbers(wire) == ["expired"]


# While the backplane is away


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
            await one.hub.supervisor.catch_up(CHANNEL)
