"""Found by reading and by simulation: each test fails as long as its bug is there."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from courier.actors import supervisor as supervisor_module
from courier.actors.channel import Channel
from courier.actors.errors import ChannelFailed
from courier.actors.frames import text_frame
from courier.actors.hub import DrainReport
from courier.actors.limits import Limits
from courier.actors.messages import Deliver, Trim
from courier.backplane import Outcome, Publication
from courier.backplane.reply import Reply
from courier.metrics.traffic import Traffic
from courier.schemas.position import parse_since
from tests.actors.hubs import CHANNEL, OTHER, a_hub, events, join, numbers, publish
from tests.actors.wires import FakeWire
from tests.names import channel_name

NODE = [channel_name(f"strategy.s{number}") for number in range(10)]


def crash_at_joins(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Make `CHANNEL` raise at so many joins."""
    apply, left = Channel.apply, times

    def crash(self: Channel, message: Any) -> None:
        nonlocal left
        if self.name == CHANNEL and left:
            left -= 1
            raise ZeroDivisionError
        apply(self, message)

    monkeypatch.setattr(Channel, "apply", crash)


async def test_a_sweep_that_gives_way_does_not_retire_a_channel_that_crashed_meanwhile(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "SWEEP_PAUSE", 1)
    async with a_hub() as hub:
        for name in NODE:
            await join(hub, channel=name)
        await trio.sleep(supervisor_module.SWEEP_SECONDS / 2)
        hub.supervisor.inbox(CHANNEL)  # the last that the sweep looks at
        crash_at_joins(monkeypatch, 1)
        await trio.sleep(supervisor_module.SWEEP_SECONDS / 2)
        with pytest.raises(ChannelFailed):
            await join(hub)
        _, wire = await join(hub)
        await trio.sleep(0.1)
        await publish(hub, 1)
        await wait_all_tasks_blocked()
        assert numbers(wire) == [1]


async def test_a_sweep_that_gives_way_bears_that_a_channel_is_given_up_meanwhile(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "SWEEP_PAUSE", 1)
    async with a_hub() as hub:
        for name in NODE:
            await join(hub, channel=name)
        await trio.sleep(supervisor_module.SWEEP_SECONDS / 2)
        inbox = hub.supervisor.inbox(CHANNEL)
        crash_at_joins(monkeypatch, 5)
        await trio.sleep(supervisor_module.SWEEP_SECONDS / 2)
        for _ in range(5):
            inbox.put(Trim())
        await trio.sleep(1)
        assert len(hub.supervisor) == len(NODE)


async def test_a_drain_ends_who_was_held_up_by_a_word_of_the_websocket_itself(
    autojump_clock: MockClock,
) -> None:
    async with a_hub() as hub:
        subscriber, wire = await join(hub, FakeWire(room=2))
        wire.put(text_frame(b"pong"))

        async def later() -> None:
            await trio.sleep(1)
            wire.take(1000)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(later)
            report = await hub.drain(trio.current_time() + 20)
        assert report == DrainReport(closed=1, flushed=0, aborted=0, undelivered=0)
        assert subscriber.left
        assert trio.current_time() < 2


async def test_a_message_that_crashes_a_channel_at_once_gives_its_room_back(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_hub(Limits(inbox_events=1)) as hub:
        crash_at_joins(monkeypatch, 1)
        with pytest.raises(ChannelFailed):
            await publish(hub, 1)
        with trio.move_on_after(1):
            await publish(hub, 2)
            return
        pytest.fail("the next publisher waits for ever for the room of the one that failed")


async def test_whoever_counts_cannot_make_an_event_that_was_appended_a_failure(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_hub() as hub:
        _, wire = await join(hub)
        deliver, calls = Traffic.deliver, 0

        def crash(self: Traffic, *counted: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise ZeroDivisionError
            deliver(self, *counted)

        monkeypatch.setattr(Traffic, "deliver", crash)
        [appended] = await publish(hub, 1)
        await wait_all_tasks_blocked()
        assert numbers(wire) == [1]
        assert appended.position.offset == calls == 1


async def test_a_small_log_keeps_its_history_on_a_node_that_is_full_of_a_large_one(
    autojump_clock: MockClock,
) -> None:
    async with a_hub(Limits(history_bytes=100_000)) as hub:
        for number in range(1000):
            await publish(hub, number)
        receipts = []
        for number in range(20):
            receipts += await publish(hub, number, channel=OTHER)
            await trio.sleep(2)
        _, wire = await join(hub, channel=OTHER, since=receipts[9].position)
        await wait_all_tasks_blocked()
        assert numbers(wire) == list(range(10, 20))


async def test_joins_do_not_cost_a_channel_its_history(autojump_clock: MockClock) -> None:
    async with a_hub(Limits(history_bytes=100_000)) as hub:
        await publish(hub, *range(50), channel=OTHER)
        for number in range(500):
            await publish(hub, number)
        await publish(hub, *range(400), channel=NODE[0])
        held = {channel.name: channel.log for channel in hub.supervisor}[OTHER]
        before = len(held)
        for _ in range(5):
            await hub.join(OTHER, "u1")
        assert len(held) == before


async def test_whoever_still_waits_when_the_hub_is_left_is_told(autojump_clock: MockClock) -> None:
    reply = Reply[list[Outcome]]()
    async with a_hub() as hub:
        inbox = hub.supervisor.inbox(CHANNEL)
        inbox.reserve_nowait(1)
        inbox.put(Deliver([Publication(b'{"n":0}')], reply))
    with pytest.raises(ChannelFailed), trio.fail_after(1):
        await reply.wait()


async def test_a_channel_that_crashes_while_it_trims_does_not_end_the_care_for_the_byte_budget(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    trim, left = Channel.trim, 1

    def crash(self: Channel) -> None:
        nonlocal left
        if left and self.log.budget.excess_bytes:
            left -= 1
            trim(self)  # which asks for relief
        elif left == 0 and self.log.budget.excess_bytes:
            left -= 1
            raise ZeroDivisionError
        else:
            trim(self)

    monkeypatch.setattr(Channel, "trim", crash)
    async with a_hub(Limits(history_bytes=1000)) as hub:
        for number in range(20):
            await publish(hub, number)
            await wait_all_tasks_blocked()
        await trio.sleep(5)
        assert hub.supervisor.budget.excess_bytes == 0


async def test_a_gap_after_a_moment_names_the_time_that_was_asked_for(autojump_clock: MockClock) -> None:
    async with a_hub() as hub:
        _, wire = await join(hub, since=parse_since("2020-01-01T00:00:00Z"))
        await wait_all_tasks_blocked()
        [gap] = events(wire)
        assert gap["reason"] == "expired"
        assert parse_since(str(gap["requested"])) == parse_since("2020-01-01T00:00:00Z")


async def test_a_channel_that_is_given_up_before_it_trims_does_not_end_the_care_for_the_byte_budget(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fan_out, crashes = Channel.fan_out, 0

    async def crash(self: Channel) -> None:
        nonlocal crashes
        if crashes < 5 and self.log.budget.excess_bytes and len(self.log) > 4:
            await trio.lowlevel.checkpoint()
            if self.asked_trim is not None:
                crashes += 1
                raise ZeroDivisionError
        await fan_out(self)

    monkeypatch.setattr(Channel, "fan_out", crash)
    async with a_hub(Limits(history_bytes=1000)) as hub:
        await publish(hub, *range(20))
        await trio.sleep(5)
        assert crashes == 5
        await publish(hub, *range(20), channel=OTHER)
        await trio.sleep(5)
        assert hub.supervisor.budget.excess_bytes == 0
