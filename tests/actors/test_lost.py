"""The shared log has lost events: a node finds out, begins a new epoch, and tells everyone."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from courier.actors.limits import Limits
from courier.backplane import Publication, Record
from courier.schemas.position import Moment, Position
from tests.actors.hubs import CHANNEL, events, join, numbers, publish, wall_clock
from tests.actors.nodes import a_node, a_shared_log


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


async def test_a_node_that_knows_more_says_so_when_it_looks(autojump_clock: MockClock) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one:
        _, wire = await join(one.hub)
        memory = shared.remember()
        [lost] = await publish(one.hub, 1)
        shared.go_back(memory)
        await wait_all_tasks_blocked()
        assert numbers(wire) == [1, "unknown_position"]
        assert shared.origin(CHANNEL).position.epoch != lost.position.epoch


async def test_a_node_that_knows_more_says_so_when_it_publishes(autojump_clock: MockClock) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one:
        _, wire = await join(one.hub)
        memory = shared.remember()
        [lost] = await publish(one.hub, 1)
        with one.backplane.cut():
            shared.go_back(memory)
            [new] = await publish(one.hub, 2)
        assert new.position.epoch != lost.position.epoch
        await wait_all_tasks_blocked()
        assert numbers(wire) == [1, "unknown_position", 2]


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
            two.backplane.forget()
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
            two.backplane.forget()
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
            two.backplane.forget()
            await publish(two.hub, 4, 5)
        shared.publish(CHANNEL, [Publication(b'{"n":6}')], (), 0)  # fits the node's log, and is heard at once
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


async def test_of_an_epoch_that_is_forked_nothing_more_is_shown(autojump_clock: MockClock) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one:
        _, wire = await join(one.hub)
        [first] = await publish(one.hub, 1)
        with one.backplane.slow(1):
            forged = Record(first.position, first.arrived_ms + 1, b'{"n":9}')
            one.hub.supervisor.arrived(CHANNEL, [forged])
            shared.publish(CHANNEL, [Publication(b'{"n":2}')], (), 0)  # in the epoch that is forked
            await trio.sleep(5)
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
            renewed = shared.origin(CHANNEL, [first.position._replace(offset=7)]).position
            await trio.sleep(1)
            forged = Record(first.position, first.arrived_ms + 1, b'{"n":9}')
            one.hub.supervisor.arrived(CHANNEL, [forged])
            await trio.sleep(10)
        assert numbers(wire) == [1, "unknown_position"]
        assert one.log().position == shared.origin(CHANNEL).position == renewed


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


async def test_of_a_log_that_is_lost_again_while_it_is_looked_at_each_loss_is_told_once(
    autojump_clock: MockClock,
) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one, a_node(shared) as two:
        _, wire = await join(one.hub)
        await publish(two.hub, 1)
        async with trio.open_nursery() as nursery:
            with one.backplane.cut():
                shared.empty()
                await publish(two.hub, 2)
                with one.backplane.slow(4):
                    nursery.start_soon(one.hub.supervisor.repairs.catch_up, CHANNEL)
                    await trio.sleep(7)  # what it reads is on its way
                shared.empty()
                await publish(two.hub, 3)
        await wait_all_tasks_blocked()
        assert numbers(wire) == [1, "unknown_position", 2, "unknown_position", 3]


async def test_a_log_that_goes_back_while_it_is_looked_at_is_looked_at_again(
    autojump_clock: MockClock,
) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one, a_node(shared) as two:
        await join(one.hub)
        await publish(two.hub, 1, 2)
        memory = shared.remember()
        [lost] = await publish(two.hub, 3)
        with one.backplane.cut():
            await publish(two.hub, 4, 5)
            with one.backplane.slow(2):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(one.hub.supervisor.repairs.catch_up, CHANNEL)
                    await trio.sleep(1.5)  # it has been answered where the log stood
                    one.backplane.feed = None  # nobody says so
                    shared.go_back(memory)
            assert one.log().epoch != lost.position.epoch
        one.backplane.feed = one.hub.supervisor


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
