"""A cursor that stands at what its node's log no longer holds: the same cursor, another shelf."""

import math
from functools import partial
from unittest.mock import patch

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from courier.actors.limits import Limits
from courier.actors.subscriber import AGAIN_SECONDS
from courier.backplane import BackplaneAway, Publication
from courier.schemas.closing import CloseReason
from courier.schemas.position import Position
from tests.actors.hubs import CHANNEL, events, join, numbers, publish
from tests.actors.nodes import Node, a_node, a_shared_log
from tests.actors.wires import FakeWire
from tests.backplane.shared_log import Memory, SharedLog


async def publish_each(node: Node, *events: int) -> Position:
    position = Position("", 0)
    for number in events:
        position = (await publish(node.hub, number))[0].position
    return position


async def go_back_unseen(node: Node, shared: SharedLog, memory: Memory) -> None:
    """The shared log loses events, and the node has not heard of it yet."""
    feed, node.backplane.feed = node.backplane.feed, None
    with node.backplane.away():
        shared.go_back(memory)
    node.backplane.feed = feed


async def test_a_replay_older_than_the_log_of_the_node_goes_on_in_it(autojump_clock: MockClock) -> None:
    shared = a_shared_log(page=7)
    async with a_node(shared, Limits(history_events=5)) as one:
        await join(one.hub)
        epoch = (await publish_each(one, *range(1, 61))).epoch
        _, wire = await join(one.hub, since=Position(epoch, 10))
        await wait_all_tasks_blocked()
        await publish(one.hub, 61)
        await wait_all_tasks_blocked()
        assert numbers(wire) == list(range(11, 62))
        assert wire.beginning is not None
        assert (wire.beginning.recovered, wire.beginning.replayed) == (True, 50)


async def test_who_lags_behind_the_log_of_the_node_reads_on_elsewhere(autojump_clock: MockClock) -> None:
    shared = a_shared_log(page=10)
    async with a_node(shared, Limits(history_events=5)) as one:
        _, wire = await join(one.hub, FakeWire(room=100))
        await publish_each(one, *range(40))
        wire.take(math.inf)
        await wait_all_tasks_blocked()
        assert numbers(wire) == list(range(40))
        assert not one.metrics.totals().gaps


async def test_older_events_are_cut_at_what_the_wire_takes(autojump_clock: MockClock) -> None:
    shared = a_shared_log()
    async with a_node(shared, Limits(history_events=2)) as one:
        await join(one.hub)
        epoch = (await publish_each(one, *range(30))).epoch
        _, wire = await join(one.hub, FakeWire(room=0), since=Position(epoch, 0))
        for _ in range(200):
            wire.take(17)
            await wait_all_tasks_blocked()
        assert numbers(wire) == list(range(30))


async def test_older_events_are_asked_for_again_until_they_can_be_had(autojump_clock: MockClock) -> None:
    shared = a_shared_log()
    async with a_node(shared, Limits(history_events=2)) as one:
        _, wire = await join(one.hub, FakeWire(room=0))
        await publish_each(one, *range(10))
        with one.backplane.away():
            wire.take(math.inf)
            await trio.sleep(10 * AGAIN_SECONDS)
            assert not numbers(wire)
        await trio.sleep(2 * AGAIN_SECONDS)
        assert numbers(wire) == list(range(10))


async def test_whoever_leaves_while_older_events_are_read_gets_none(autojump_clock: MockClock) -> None:
    shared = a_shared_log()
    async with a_node(shared, Limits(history_events=2)) as one:
        subscriber, wire = await join(one.hub, FakeWire(room=0))
        await publish_each(one, *range(10))
        with one.backplane.slow(2):
            wire.take(math.inf)
            await trio.sleep(1)
            subscriber.close()
            await trio.sleep(5)
        assert not numbers(wire)


async def test_whoever_leaves_before_older_events_are_read_harms_nobody(autojump_clock: MockClock) -> None:
    shared = a_shared_log()
    async with a_node(shared, Limits(history_events=2)) as one:
        subscriber, wire = await join(one.hub, FakeWire(room=0))
        await publish_each(one, *range(10))
        wire._room = math.inf
        subscriber.writable()  # older events are to be read, by a task that has not begun
        subscriber.close()
        await trio.sleep(5)
        _, other = await join(one.hub)
        await publish(one.hub, 10)
        await wait_all_tasks_blocked()
        assert numbers(other) == [10]


async def test_what_is_on_no_shelf_is_a_gap_once_and_the_second_time_too_slow(
    autojump_clock: MockClock,
) -> None:
    shared = a_shared_log(keep=4)
    async with a_node(shared, Limits(history_events=2)) as one:
        subscriber, wire = await join(one.hub, FakeWire(room=0))
        epoch = (await publish_each(one, *range(1, 11))).epoch
        wire.take(math.inf)
        await wait_all_tasks_blocked()
        assert numbers(wire) == ["overrun", 7, 8, 9, 10]
        gap = events(wire)[0]
        assert (gap["requested"], gap["resumed_from"]) == (f"{epoch}-0", f"{epoch}-6")
        wire.leave_room(0)
        await publish_each(one, *range(20))
        wire.take(math.inf)
        await wait_all_tasks_blocked()
        assert subscriber.reason is CloseReason.TOO_SLOW


async def test_a_log_that_holds_more_than_the_shared_one_gives_what_it_holds(
    autojump_clock: MockClock,
) -> None:
    shared = a_shared_log(keep=2)
    async with a_node(shared, Limits(history_events=5)) as one:
        _, wire = await join(one.hub, FakeWire(room=0))
        await publish_each(one, *range(1, 11))
        wire.take(math.inf)
        await wait_all_tasks_blocked()
        assert numbers(wire) == ["overrun", 6, 7, 8, 9, 10]


async def test_a_cursor_never_goes_back(autojump_clock: MockClock) -> None:
    shared = a_shared_log()
    async with a_node(shared, Limits(history_events=3)) as one:
        _, wire = await join(one.hub)
        await publish_each(one, 1, 2, 3, 4)
        memory = shared.remember()
        await publish_each(one, 5, 6)
        await wait_all_tasks_blocked()
        wire.leave_room(0)
        await publish_each(one, 7, 8, 9, 10)
        await go_back_unseen(one, shared, memory)
        wire.take(math.inf)
        await trio.sleep(1)
        assert numbers(wire)[:7] == [1, 2, 3, 4, 5, 6, "overrun"]
        assert not {1, 2, 3, 4, 5, 6} & set(numbers(wire)[7:])


async def test_what_is_not_held_and_before_a_gap_of_the_log_is_not_read(
    autojump_clock: MockClock,
) -> None:
    shared = a_shared_log()
    async with a_node(shared, Limits(history_events=3)) as one, a_node(shared) as two:
        _, wire = await join(one.hub, FakeWire(room=0))
        await publish_each(two, *range(1, 11))
        with one.backplane.cut():
            await publish_each(two, *range(11, 21))
            memory = shared.remember()
            await publish_each(two, *range(21, 41))
            shared.forget(CHANNEL, 10)
        await wait_all_tasks_blocked()
        await go_back_unseen(one, shared, memory)
        wire.take(math.inf)
        await trio.sleep(1)
        assert numbers(wire) == ["overrun", 38, 39, 40, "unknown_position"]


async def test_what_took_the_place_of_lost_events_is_not_shown_as_what_followed_the_others(
    autojump_clock: MockClock,
) -> None:
    shared = a_shared_log(page=2)
    async with a_node(shared, Limits(history_events=3)) as one, a_node(shared) as two:
        _, wire = await join(one.hub)
        await publish_each(two, 1, 2)
        memory = shared.remember()
        await publish_each(two, 3)
        await wait_all_tasks_blocked()
        wire.leave_room(0)
        await publish_each(two, *range(4, 11))
        with one.backplane.cut():
            await go_back_unseen(one, shared, memory)
            await trio.sleep(1)
            await publish_each(two, *range(13, 23))
            wire.take(math.inf)
            await trio.sleep(1)
            assert numbers(wire)[:4] == [1, 2, 3, "overrun"]


async def test_an_epoch_that_comes_back_is_not_what_the_log_held_of_it(autojump_clock: MockClock) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one, a_node(shared) as two:
        since = await publish_each(two, 1, 2)
        memory = shared.remember()
        await publish_each(two, 3, 4)
        await join(one.hub)
        await publish_each(two, 5)
        shared.empty()
        await wait_all_tasks_blocked()
        with one.backplane.cut():
            await go_back_unseen(one, shared, memory)
            two.backplane.forget()
            await publish_each(two, 13, 14)
            _, wire = await join(one.hub, since=since)
            await trio.sleep(1)
        await publish_each(two, 20)
        await wait_all_tasks_blocked()
        assert numbers(wire) == ["unknown_position", 20]


async def test_one_look_at_the_shared_log_is_enough_for_all_who_read_older_events(
    autojump_clock: MockClock,
) -> None:
    shared = a_shared_log()
    async with a_node(shared, Limits(history_events=3)) as one:
        wires = [(await join(one.hub, FakeWire(room=0)))[1] for _ in range(20)]
        await publish_each(one, *range(1, 11))
        with one.backplane.slow(1), patch.object(shared, "origin", wraps=shared.origin) as origin:
            for wire in wires:
                wire.take(math.inf)
            await trio.sleep(5)
        assert [numbers(wire) for wire in wires] == [list(range(1, 11))] * 20
        assert origin.call_count == 1


async def test_a_gap_that_left_the_log_of_the_node_is_told_all_the_same(autojump_clock: MockClock) -> None:
    shared = a_shared_log()
    async with a_node(shared, Limits(history_events=3)) as one:
        _, wire = await join(one.hub, FakeWire(room=0))
        old = await publish_each(one, 1, 2)
        shared.empty()
        new = await publish_each(one, *range(11, 21))
        wire.take(math.inf)
        await wait_all_tasks_blocked()
        assert numbers(wire) == ["overrun", *range(11, 21)]
        gap = events(wire)[0]
        assert (gap["requested"], gap["resumed_from"]) == (f"{old.epoch}-0", f"{new.epoch}-0")


async def test_a_join_looks_at_the_shared_log_where_the_nodes_own_is_behind(
    autojump_clock: MockClock,
) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one, a_node(shared) as two:
        await join(two.hub)
        await publish_each(one, 1)
        with two.backplane.cut():
            last = await publish_each(one, 2, 3)
            _, wire = await join(two.hub, since=last)
            await publish_each(one, 4)
        await wait_all_tasks_blocked()
        assert numbers(wire) == [4]
        assert wire.beginning is not None
        assert wire.beginning.recovered


async def test_a_join_at_an_epoch_that_the_node_has_not_heard_of_is_recovered(
    autojump_clock: MockClock,
) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one, a_node(shared) as two:
        _, staying = await join(two.hub)
        await publish_each(one, 1)
        with two.backplane.cut():
            shared.empty()
            last = await publish_each(one, 2)
            await publish_each(one, 3)
            _, wire = await join(two.hub, since=last)
        await wait_all_tasks_blocked()
        assert numbers(wire) == [3]
        assert numbers(staying) == [1, "unknown_position", 2, 3]


async def test_a_join_whose_place_is_lost_while_it_looks_further_looks_again(
    autojump_clock: MockClock,
) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one, a_node(shared) as two:
        await join(two.hub)
        await publish_each(one, 1)
        wire, since = FakeWire(), Position(two.log().epoch, 3)
        async with trio.open_nursery() as nursery:
            with two.backplane.cut():
                await publish_each(one, 2, 3, 4, 5, 6)
                with two.backplane.slow(2):
                    nursery.start_soon(partial(join, two.hub, wire, since=since))
                    await trio.sleep(1.5)  # what it has read is on its way
                shared.forget(CHANNEL, keep=2)
                await trio.sleep(1)
        await wait_all_tasks_blocked()
        assert numbers(wire) == ["expired", 5, 6]
        gap = events(wire)[0]
        assert (gap["requested"], gap["resumed_from"]) == (str(since), f"{since.epoch}-4")


async def test_a_join_that_looks_further_while_the_backplane_is_away_is_refused(
    autojump_clock: MockClock,
) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one:
        await join(one.hub)
        with one.backplane.losing_answers(), pytest.raises(BackplaneAway):
            await join(one.hub, since=Position("zzzzzzzz", 1))
        assert one.hub.connections == 1


async def test_a_replay_of_large_events_comes_whole(autojump_clock: MockClock) -> None:
    shared = a_shared_log(page=1)
    async with a_node(shared, Limits(history_events=1)) as one:
        await join(one.hub)
        big = Publication(b'{"n":1,"text":"%b"}' % (b"x" * 70_000))
        for _ in range(4):
            await one.hub.publish(CHANNEL, [big], math.inf)
        epoch = one.log().epoch
        _, wire = await join(one.hub, since=Position(epoch, 0))
        await wait_all_tasks_blocked()
        assert numbers(wire) == [1] * 4
