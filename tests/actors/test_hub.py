"""Publish and join through the hub: once, in order, or told what was missed."""

import math
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from courier.actors import channel as channel_module
from courier.actors import supervisor as supervisor_module
from courier.actors.channel import Channel
from courier.actors.errors import ChannelFailed, Draining, NodeFull, TooManyChannels
from courier.actors.frames import Page
from courier.actors.hub import DrainReport, Hub, slots
from courier.actors.limits import Limits
from courier.actors.messages import Deliver, Trim
from courier.actors.subscriber import OVERRUN_SECONDS, Subscriber
from courier.backplane import InboxFull, Outcome, Publication
from courier.backplane.reply import Reply
from courier.metrics import Metrics
from courier.schemas.channels import ChannelName
from courier.schemas.closing import CloseReason
from courier.schemas.control import GapReason
from courier.schemas.position import Moment, Position
from courier.serving.peer import Loss
from tests.actors.hubs import CHANNEL, OTHER, START_MS, a_hub, events, join, numbers, publish
from tests.actors.wires import FakeWire, Held
from tests.names import channel_name


async def test_an_event_is_delivered_with_its_position_and_its_channel(autojump_clock: MockClock) -> None:
    async with a_hub() as hub:
        _, wire = await join(hub)
        [appended] = await publish(hub, 1)
        await wait_all_tasks_blocked()
        assert events(wire) == [{"id": str(appended.position), "channel": "user.u1", "n": 1}]
        assert appended.position.offset == 1
        assert appended.clients_reached == 1
        assert appended.arrived_ms >= START_MS


async def test_offsets_count_up_by_one_over_single_events_and_batches(autojump_clock: MockClock) -> None:
    async with a_hub() as hub:
        receipts = [*await publish(hub, 1), *await publish(hub, 2, 3, 4), *await publish(hub, 5)]
        assert [receipt.position.offset for receipt in receipts] == [1, 2, 3, 4, 5]
        assert len({receipt.position.epoch for receipt in receipts}) == 1


async def test_many_publishers_and_subscribers_see_one_order(autojump_clock: MockClock) -> None:
    async with a_hub() as hub:
        wires = [(await join(hub))[1] for _ in range(5)]
        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(publish, hub, number)
        await wait_all_tasks_blocked()
        seen = [events(wire) for wire in wires]
        assert all(one == seen[0] for one in seen)
        offsets = [int(str(event["id"]).split("-")[1]) for event in seen[0]]
        assert offsets == list(range(1, 51))


async def test_a_burst_is_written_to_each_subscriber_at_once(autojump_clock: MockClock) -> None:
    async with a_hub() as hub:
        _, wire = await join(hub)
        await join(hub)
        writes: list[int] = []
        write = wire.write
        wire.write = lambda data: writes.append(data.count(b'"n"')) or write(data)  # type: ignore
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(publish, hub, number)
        await wait_all_tasks_blocked()
        assert sum(writes) == 20
        assert len(writes) <= 2


async def test_channels_are_apart(autojump_clock: MockClock) -> None:
    async with a_hub() as hub:
        _, wire = await join(hub)
        await publish(hub, 1, channel=OTHER)
        await publish(hub, 2)
        await wait_all_tasks_blocked()
        assert numbers(wire) == [2]


async def test_replay_meets_live_with_no_hole_and_no_repeat(autojump_clock: MockClock) -> None:
    async with a_hub() as hub:
        receipts = await publish(hub, *range(100))
        wires: list[FakeWire] = []

        async def publish_on() -> None:
            for number in range(100, 200):
                await publish(hub, number)

        async def join_at(number: int) -> None:
            for _ in range(number):
                await trio.lowlevel.checkpoint()
            wires.append((await join(hub, since=receipts[49].position))[1])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish_on)
            for number in range(30):
                nursery.start_soon(join_at, number * 7)
        await wait_all_tasks_blocked()
        assert len(wires) == 30
        assert all(numbers(wire) == list(range(50, 200)) for wire in wires)


async def test_since_a_moment_replays_what_came_later(autojump_clock: MockClock) -> None:
    async with a_hub() as hub:
        await publish(hub, 1)
        await trio.sleep(1)
        [middle] = await publish(hub, 2)
        await trio.sleep(1)
        await publish(hub, 3)
        _, wire = await join(hub, since=Moment(middle.arrived_ms))
        await wait_all_tasks_blocked()
        assert numbers(wire) == [3]


async def test_whoever_joined_misses_nothing_before_its_wire_is_open(autojump_clock: MockClock) -> None:
    async with a_hub() as hub:
        subscriber = await hub.join(CHANNEL, "u1")
        await publish(hub, 1)
        await publish(hub, 2)
        wire = FakeWire()
        Held(subscriber, wire).open()
        await wait_all_tasks_blocked()
        assert numbers(wire) == [1, 2]


async def test_what_cannot_be_replayed_is_told_before_the_rest(autojump_clock: MockClock) -> None:
    async with a_hub(Limits(history_events=3)) as hub:
        receipts = await publish(hub, *range(10))
        await publish(hub, 10)
        _, wire = await join(hub, since=receipts[2].position)
        await wait_all_tasks_blocked()
        gap, *rest = events(wire)
        assert gap == {
            "type": "courier.gap",
            "channel": "user.u1",
            "requested": str(receipts[2].position),
            "resumed_from": str(receipts[7].position),
            "reason": "expired",
        }
        assert [event["n"] for event in rest] == [8, 9, 10]


async def test_a_position_of_another_life_is_told_even_on_an_empty_channel(autojump_clock: MockClock) -> None:
    async with a_hub() as hub:
        _, wire = await join(hub, since=Position("zzzzzzzz", 4))
        await wait_all_tasks_blocked()
        assert numbers(wire) == ["unknown_position"]


async def test_a_slow_subscriber_lags_alone_and_then_has_everything(autojump_clock: MockClock) -> None:
    async with a_hub() as hub:
        slow, slow_wire = await join(hub, FakeWire(room=10))
        _, quick_wire = await join(hub)
        for number in range(50):
            await publish(hub, number)
        await wait_all_tasks_blocked()
        assert numbers(quick_wire) == list(range(50))
        assert (slow.lag, slow_wire.payloads) == (49, [])
        while slow.lag or slow_wire.holding:
            slow_wire.take(37)
            await wait_all_tasks_blocked()
        assert numbers(slow_wire) == list(range(50))
        await publish(hub, 50)
        slow_wire.take(math.inf)
        await wait_all_tasks_blocked()
        assert numbers(slow_wire) == list(range(51))


async def test_whoever_falls_off_the_log_is_told_once_and_closed_the_second_time(
    autojump_clock: MockClock,
) -> None:
    metrics = Metrics()
    async with a_hub(Limits(history_events=3), metrics=metrics) as hub:
        slow, wire = await join(hub, FakeWire(room=10))
        for number in range(10):
            await publish(hub, number)
        await wait_all_tasks_blocked()
        wire.take(10_000)
        await wait_all_tasks_blocked()
        assert numbers(wire) == [0, "overrun", 7, 8, 9]
        wire.leave_room(10)
        for number in range(10, 20):
            await publish(hub, number)
        await wait_all_tasks_blocked()
        wire.take(10_000)
        await wait_all_tasks_blocked()
        assert slow.reason is CloseReason.TOO_SLOW
        assert metrics.traffic["user"].gaps[GapReason.OVERRUN] == metrics.evictions["overrun"] == 1


async def test_falling_off_the_log_again_after_a_minute_is_told_again(autojump_clock: MockClock) -> None:
    async with a_hub(Limits(history_events=1)) as hub:
        slow, wire = await join(hub, FakeWire(room=1))
        for start in (0, 10):
            for number in range(start, start + 5):
                await publish(hub, number)
            await wait_all_tasks_blocked()
            wire.take(10_000)
            await wait_all_tasks_blocked()
            wire.leave_room(1)
            await trio.sleep(OVERRUN_SECONDS)
        assert slow.reason is None
        assert numbers(wire)[:4] == [0, "overrun", 4, 10]


async def test_what_a_wire_raises_ends_only_its_own_subscriber(autojump_clock: MockClock) -> None:
    metrics = Metrics()
    async with a_hub(metrics=metrics) as hub:
        broken, broken_wire = await join(hub)
        _, wire = await join(hub)
        with broken_wire.raising(ZeroDivisionError()):
            await publish(hub, 1)
            await wait_all_tasks_blocked()
        assert broken.reason is CloseReason.CHANNEL_FAILED
        assert numbers(wire) == [1]
        assert +metrics.errors == {("other", "wire"): 1}


async def test_a_peer_that_has_gone_is_nobody_to_tell(autojump_clock: MockClock) -> None:
    async with a_hub() as hub:
        gone, wire = await join(hub)
        wire.lose(Loss.BROKEN)
        await publish(hub, 1)
        await wait_all_tasks_blocked()
        assert gone.left
        assert not gone.aborted
        assert gone.reason is None


async def test_a_peer_that_takes_no_byte_is_too_slow(autojump_clock: MockClock) -> None:
    metrics = Metrics()
    async with a_hub(metrics=metrics) as hub:
        stalled, wire = await join(hub, FakeWire(room=5))
        await publish(hub, 1)
        await wait_all_tasks_blocked()
        wire.lose(Loss.STALLED)
        await wait_all_tasks_blocked()
        assert stalled.reason is CloseReason.TOO_SLOW
        assert +metrics.evictions == {"stalled": 1}


async def test_a_subscriber_is_no_task_even_while_it_is_behind(autojump_clock: MockClock) -> None:
    async with a_hub() as hub:
        before = trio.lowlevel.current_statistics().tasks_living
        wires = [(await join(hub, FakeWire(room=5)))[1] for _ in range(10)]
        await publish(hub, 1)
        await wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == before + 1, "the channel's"
        for wire in wires:
            wire.take(1000)
        await wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == before + 1


async def test_whoever_left_gets_nothing_more_and_makes_room(autojump_clock: MockClock) -> None:
    async with a_hub(Limits(connections=2, connections_per_user=1)) as hub:
        subscriber, wire = await join(hub, owner="u1")
        with pytest.raises(NodeFull):
            await join(hub, owner="u1")
        await join(hub, owner="u2")
        with pytest.raises(NodeFull):
            await join(hub, owner="u3")
        subscriber.close()
        subscriber.close()
        assert hub.connections == 1
        await join(hub, owner="u1")
        await publish(hub, 1)
        await wait_all_tasks_blocked()
        assert numbers(wire) == []


async def test_a_join_that_is_cancelled_leaves_nobody_behind(autojump_clock: MockClock) -> None:
    async with a_hub() as hub:
        with trio.CancelScope() as scope:
            scope.cancel()
            await hub.join(CHANNEL, "u1")
        assert scope.cancelled_caught
        await wait_all_tasks_blocked()
        [appended] = await publish(hub, 1)
        assert (hub.connections, appended.clients_reached) == (0, 0)


async def test_publishers_wait_for_room_in_the_order_they_came(autojump_clock: MockClock) -> None:
    async with a_hub(Limits(inbox_events=2)) as hub:
        inbox = hub.supervisor.inbox(CHANNEL)
        inbox.reserve_nowait(2)
        order: list[int] = []

        async def one(number: int) -> None:
            await publish(hub, number)
            order.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(one, number)
                await wait_all_tasks_blocked()
            with pytest.raises(InboxFull):
                await hub.publish(CHANNEL, [Publication(b"{}")], trio.current_time() + 1)
            assert trio.current_time() == 1
            assert order == []
            inbox.put(Deliver([Publication(b"{}")] * 2, Reply()))
        assert order == [0, 1, 2]


async def test_a_batch_larger_than_the_inbox_is_let_in_alone(autojump_clock: MockClock) -> None:
    async with a_hub(Limits(inbox_events=2)) as hub:
        assert len(await publish(hub, *range(10))) == 10


async def test_a_node_has_room_for_so_many_channels(autojump_clock: MockClock) -> None:
    async with a_hub(Limits(channels=1)) as hub:
        await publish(hub, 1)
        with pytest.raises(TooManyChannels):
            await publish(hub, 1, channel=OTHER)
        with pytest.raises(TooManyChannels):
            await hub.join(OTHER, "u1")
        await publish(hub, 2)


# Crash


def crashing(
    monkeypatch: pytest.MonkeyPatch, method: str, *, times: int, channel: ChannelName = CHANNEL
) -> None:
    """Make the channel's method raise the next so many times that it is called."""
    original: Any = getattr(Channel, method)
    left = times

    def crash(self: Channel, *args: object) -> Any:
        nonlocal left
        if self.name == CHANNEL and left:
            left -= 1
            raise ZeroDivisionError(method)
        return original(self, *args)

    monkeypatch.setattr(Channel, method, crash)


async def test_a_crash_between_two_deliveries_loses_nothing_and_repeats_nothing(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_hub() as hub:
        wires = [(await join(hub))[1] for _ in range(4)]
        _, other_wire = await join(hub, channel=OTHER)
        await publish(hub, 1)
        offer, offers = Subscriber.offer, 0

        def offer_and_crash(self: Subscriber, page: Page) -> int:
            nonlocal offers
            offers += 1
            if offers == 3:
                raise ZeroDivisionError
            return offer(self, page)

        monkeypatch.setattr(Subscriber, "offer", offer_and_crash)
        await publish(hub, 2)
        await publish(hub, 3)
        await publish(hub, 4, channel=OTHER)
        await wait_all_tasks_blocked()
        assert [numbers(wire) for wire in wires] == [[1, 2, 3]] * 4
        assert numbers(other_wire) == [4]


async def test_the_message_that_crashes_a_channel_is_answered_and_left_out(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = Metrics()
    async with a_hub(metrics=metrics) as hub:
        _, wire = await join(hub)
        await publish(hub, 1)
        crashing(monkeypatch, "_append", times=1)
        results: dict[int, object] = {}

        async def attempt(number: int) -> None:
            try:
                results[number] = (await publish(hub, number))[0].position.offset
            except ChannelFailed:
                results[number] = "failed"

        async with trio.open_nursery() as nursery:
            for number in (2, 3, 4):
                nursery.start_soon(attempt, number)
        await wait_all_tasks_blocked()
        at = {offset: number for number, offset in results.items()}
        assert sorted(at, key=str) == [2, 3, "failed"]
        assert numbers(wire) == [1, at[2], at[3]]
        assert +metrics.errors == {("other", "channel"): 1}


async def test_at_the_fifth_crash_within_a_minute_everyone_is_told(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_hub() as hub:
        subscriber, wire = await join(hub)
        [kept] = await publish(hub, 1)
        crashing(monkeypatch, "_append", times=5)
        for _ in range(5):
            assert subscriber.reason is None
            with pytest.raises(ChannelFailed):
                await publish(hub, 2)
        await wait_all_tasks_blocked()
        assert subscriber.reason is CloseReason.CHANNEL_FAILED
        subscriber.close()
        [after] = await publish(hub, 3)
        assert after.position == Position(kept.position.epoch, 2)
        _, back = await join(hub, since=Position(kept.position.epoch, 0))
        await wait_all_tasks_blocked()
        assert numbers(back) == ["expired", 3]
        assert numbers(wire) == [1]


async def test_crashes_that_are_far_apart_are_borne(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_hub() as hub:
        subscriber, _ = await join(hub)
        crashing(monkeypatch, "_append", times=10)
        for _ in range(10):
            with pytest.raises(ChannelFailed):
                await publish(hub, 1)
            await trio.sleep(supervisor_module.CRASH_WINDOW_SECONDS / 4 + 1)
        assert subscriber.reason is None
        await publish(hub, 2)


async def test_whoever_waits_for_room_in_a_channel_that_is_given_up_is_told(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_hub(Limits(inbox_events=1)) as hub:
        crashing(monkeypatch, "apply", times=5)
        inbox = hub.supervisor.inbox(CHANNEL)
        inbox.reserve_nowait(1)
        reply = Reply[list[Outcome]]()
        told = 0

        async def attempt() -> None:
            nonlocal told
            with pytest.raises(ChannelFailed):
                await publish(hub, 1)
            told += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(attempt)
            await wait_all_tasks_blocked()
            for _ in range(2):  # two crashes each: the join's, and that of the leave that follows
                with pytest.raises(ChannelFailed):
                    await hub.join(CHANNEL, "u1")
            with pytest.raises(ChannelFailed):
                inbox.put(Deliver([Publication(b"{}")], reply))
                await reply.wait()
        assert told == 1
        assert hub.connections == 0


# Retire


async def test_an_idle_channel_retires_and_remembers_where_it_stopped(autojump_clock: MockClock) -> None:
    async with a_hub(Limits(history_seconds=60)) as hub:
        [last] = await publish(hub, 1)
        assert len(hub.supervisor) == 1
        await trio.sleep(65)
        assert len(hub.supervisor) == 0
        assert hub.supervisor.budget.used_bytes == 0
        _, wire = await join(hub, since=last.position)
        _, late = await join(hub, since=Position(last.position.epoch, 0))
        [appended] = await publish(hub, 2)
        await wait_all_tasks_blocked()
        assert appended.position == Position(last.position.epoch, 2)
        assert numbers(wire) == [2]
        assert numbers(late) == ["expired", 2]


async def test_a_channel_with_a_subscriber_or_a_log_does_not_retire(autojump_clock: MockClock) -> None:
    async with a_hub(Limits(history_seconds=60)) as hub:
        await join(hub)
        await publish(hub, 1, channel=OTHER)
        await trio.sleep(50)
        assert len(hub.supervisor) == 2
        await trio.sleep(50)
        assert [channel.name for channel in hub.supervisor] == [CHANNEL]


async def test_a_channel_that_was_forgotten_is_born_in_a_new_epoch_and_says_so(
    autojump_clock: MockClock,
) -> None:
    async with a_hub(Limits(history_seconds=10), remembered=1) as hub:
        [first] = await publish(hub, 1)
        await trio.sleep(15)
        await publish(hub, 2, channel=OTHER)
        await trio.sleep(15)
        _, wire = await join(hub, since=first.position)
        _, by_time = await join(hub, since=Moment(first.arrived_ms - 1))
        _, later = await join(hub, since=Moment(first.arrived_ms))
        await wait_all_tasks_blocked()
        assert (numbers(wire), numbers(by_time), numbers(later)) == (["unknown_position"], ["expired"], [])


async def test_old_entries_go_although_nothing_is_published(autojump_clock: MockClock) -> None:
    async with a_hub(Limits(history_seconds=10)) as hub:
        _, _ = await join(hub)
        receipts = await publish(hub, 1)
        await trio.sleep(12)
        _, wire = await join(hub, since=Position(receipts[0].position.epoch, 0))
        await wait_all_tasks_blocked()
        assert numbers(wire) == ["expired"]


async def test_a_channel_is_not_retired_while_a_message_is_on_its_way(autojump_clock: MockClock) -> None:
    async with a_hub() as hub:
        inbox = hub.supervisor.inbox(CHANNEL)
        await wait_all_tasks_blocked()
        [channel] = hub.supervisor
        states = [channel.idle]
        inbox.put(Trim())  # the channel's task is woken, and has not run yet
        states.append(channel.idle)
        await wait_all_tasks_blocked()
        assert [*states, channel.idle] == [True, False, True]


# Bytes


async def test_all_logs_together_stay_within_the_byte_budget(autojump_clock: MockClock) -> None:
    async with a_hub(Limits(history_bytes=100_000)) as hub:
        names = [channel_name(f"user.u{number}") for number in range(10)]
        for number in range(2000):
            await publish(hub, number, channel=names[number * number % 10])
            assert hub.supervisor.budget.excess_bytes <= 3000
        await trio.sleep(2)
        assert hub.supervisor.budget.excess_bytes == 0


async def test_the_largest_log_makes_room_for_a_small_one(autojump_clock: MockClock) -> None:
    async with a_hub(Limits(history_bytes=100_000)) as hub:
        for number in range(1000):
            await publish(hub, number)
        receipts = await publish(hub, 1, 2, 3, channel=OTHER)
        await trio.sleep(2)
        await publish(hub, 4, channel=OTHER)
        await wait_all_tasks_blocked()
        [large, small] = hub.supervisor
        assert (large.name, small.name) == (CHANNEL, OTHER)
        assert large.log.bytes + small.log.bytes <= 100_000
        assert len(small.log) == 4
        assert receipts[0].position.offset == 1


# Drain


def left_at(wire: FakeWire) -> float:
    """When the subscription on this wire was left."""
    assert isinstance(wire.endpoint, Held)
    return wire.endpoint.left_at


async def test_a_drain_closes_everyone_with_everything(autojump_clock: MockClock) -> None:
    async with a_hub() as hub:
        members = [await join(hub) for _ in range(20)]
        for number in range(200):
            await publish(hub, number)
        report = await hub.drain(trio.current_time() + 20)
        assert report == DrainReport(closed=20, flushed=0, aborted=0, undelivered=0)
        assert all(subscriber.reason is CloseReason.SHUTTING_DOWN for subscriber, _ in members)
        assert all(numbers(wire) == list(range(200)) for _, wire in members)
        with pytest.raises(Draining):
            await publish(hub, 1)
        with pytest.raises(Draining):
            await hub.join(CHANNEL, "u1")


async def test_a_drain_waits_for_who_lags_and_not_for_ever(autojump_clock: MockClock) -> None:
    async with a_hub() as hub:
        _, quick_wire = await join(hub, FakeWire(room=10))
        _, stuck_wire = await join(hub, FakeWire(room=10))
        for number in range(5):
            await publish(hub, number)
        started = trio.current_time()
        async with trio.open_nursery() as nursery:

            async def later() -> None:
                await trio.sleep(3)
                quick_wire.take(10_000)

            nursery.start_soon(later)
            report = await hub.drain(trio.current_time() + 10)
        assert numbers(quick_wire) == [0, 1, 2, 3, 4]
        assert report == DrainReport(closed=1, flushed=0, aborted=1, undelivered=4)
        ended = [left_at(wire) - started for wire in (quick_wire, stuck_wire)]
        assert ended == [pytest.approx(3, abs=0.1), pytest.approx(11, abs=0.1)]


async def test_a_drain_closes_at_least_five_hundred_a_second(autojump_clock: MockClock) -> None:
    async with a_hub(Limits(connections_per_user=0)) as hub:
        members = [await join(hub) for _ in range(1000)]
        await hub.drain(trio.current_time() + 20)
        ended = sorted(left_at(wire) for _, wire in members)
        assert 1.5 < ended[-1] - ended[0] <= 2.0


@pytest.mark.parametrize(("count", "seconds"), [(1, 20.0), (2, 1.0), (50, 20.0), (20_000, 20.0)])
def test_the_slots_of_a_drain_are_apart_evenly_spread_and_begin_at_once(count: int, seconds: float) -> None:
    assert sorted(slots(count, seconds)) == pytest.approx([n * seconds / count for n in range(count)])


def test_nobody_can_guess_a_slot_from_when_they_joined() -> None:
    assert slots(50, 20) != slots(50, 20)


def test_where_nobody_is_to_come_back_there_are_no_slots() -> None:
    assert slots(0, 20) == []


@pytest.mark.parametrize(("rate", "step"), [(500, 0.002), (5, 0.2), (1, 1)])
async def test_in_a_drain_everyone_gets_a_slot_of_its_own_whether_it_lags_or_not(
    autojump_clock: MockClock, rate: int, step: float
) -> None:
    """The rate is that of the nodes, and where it would take longer than the drain, the drain's."""
    async with a_hub(Limits(returns_a_second=rate)) as hub:
        wires = [FakeWire(room=1) if number % 2 else FakeWire() for number in range(10)]
        members = [(await join(hub, wire))[0] for wire in wires]
        await publish(hub, 1)
        await hub.drain(trio.current_time() + 20)
        assert sorted(subscriber.slot_seconds for subscriber in members) == pytest.approx(
            [step * number for number in range(10)]
        )


async def test_publishes_in_flight_finish_before_anyone_is_closed(autojump_clock: MockClock) -> None:
    async with a_hub(Limits(inbox_events=1)) as hub:
        subscriber, wire = await join(hub)
        inbox = hub.supervisor.inbox(CHANNEL)
        inbox.reserve_nowait(1)
        reports: list[DrainReport] = []

        async def drain() -> None:
            reports.append(await hub.drain(trio.current_time() + 10))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish, hub, 2)  # waits for room
            await wait_all_tasks_blocked()
            nursery.start_soon(drain)
            await wait_all_tasks_blocked()
            assert subscriber.reason is None
            inbox.put(Deliver([Publication(b'{"n":1}')], Reply()))
        assert numbers(wire) == [1, 2]
        assert reports == [DrainReport(closed=1, flushed=0, aborted=0, undelivered=0)]


async def test_a_fan_out_gives_way_to_other_tasks(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "OFFERS_A_TURN", 10)
    async with a_hub() as hub:
        wires = [(await join(hub))[1] for _ in range(100)]
        most = 0

        async def watch() -> None:
            nonlocal most
            before = 0
            while before < 100:
                await trio.lowlevel.checkpoint()
                now = sum(bool(wire.received) for wire in wires)
                most = max(most, now - before)
                before = now

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await publish(hub, 1)
        assert 0 < most <= 20


async def test_a_hub_that_is_left_ends_all_its_tasks(autojump_clock: MockClock) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    async with a_hub() as hub:
        assert isinstance(hub, Hub)
        await join(hub, FakeWire(room=1))
        await publish(hub, 1)
        await publish(hub, 1, channel=OTHER)
    assert trio.lowlevel.current_statistics().tasks_living == before
