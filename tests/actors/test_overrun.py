"""A cursor that has fallen off its log, while events go on coming and the channel crashes."""

import math
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from courier.actors.channel import Channel
from courier.actors.hub import Hub
from courier.actors.limits import Limits
from courier.actors.messages import Message, Read, Trim
from courier.actors.subscriber import Subscriber
from courier.backplane import Stretch
from courier.backplane.memory import MemoryBackplane
from courier.metrics import Metrics
from courier.schemas.channels import ChannelName
from courier.schemas.position import Position, Since
from tests.actors.hubs import CHANNEL, a_hub, events, join, numbers, publish
from tests.actors.wires import FakeWire


class BusyWire(FakeWire):
    """Before each of its turns one more event comes, and is shown to all."""

    def __init__(self, hub: Hub, *, refusals: int = 0) -> None:
        super().__init__(room=0)
        self.hub = hub
        self.busy = False
        self.refusals = refusals
        """So many writes find it taken by another."""
        self.more = [*range(10, 20)]

    def _soon(self) -> None:
        if not self.busy:
            self.busy = True
            trio.lowlevel.spawn_system_task(self._later)

    async def _later(self) -> None:
        if self.more:
            await publish(self.hub, self.more.pop(0))
            await trio.sleep(0.1)
        self.busy = False
        self._turn()

    def write(self, data: bytes) -> int:
        if self.refusals:
            self.refusals -= 1
            self.await_room()
            return 0
        return super().write(data)


async def fall_off(hub: Hub, wire: FakeWire) -> Subscriber:
    """Join, and miss events 0 to 9, but for those that the log still holds."""
    subscriber, _ = await join(hub, wire)
    await publish(hub, *range(10))
    await wait_all_tasks_blocked()
    return subscriber


def at_the_first_read(
    monkeypatch: pytest.MonkeyPatch,
    *,
    before: Callable[[], Awaitable[object]] | None = None,
    after: Callable[[], Awaitable[object]],
) -> None:
    """Have something happen just before the log is read, and before the reader has what was read."""
    read, reads = MemoryBackplane.read, 0

    async def surrounded(
        self: MemoryBackplane, channel: ChannelName, since: Since | None, limit: int
    ) -> Stretch:
        nonlocal reads
        reads += 1
        if reads == 1 and before is not None:
            await before()
        stretch = await read(self, channel, since, limit)
        if reads == 1:
            await after()
            await trio.sleep(0.1)
        return stretch

    monkeypatch.setattr(MemoryBackplane, "read", surrounded)


async def test_what_the_log_drops_while_it_is_read_is_given_all_the_same(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_hub(Limits(history_events=4)) as hub:
        wire = FakeWire(room=0)
        await fall_off(hub, wire)
        at_the_first_read(monkeypatch, after=lambda: publish(hub, 10, 11, 12))
        wire.take(math.inf)
        await trio.sleep(1)
        assert numbers(wire) == ["overrun", *range(6, 13)]
        gap = events(wire)[0]
        assert Position.parse(str(gap["resumed_from"])).offset == 6


async def test_whoever_is_told_a_gap_is_given_the_next_event_before_the_log_drops_it(
    autojump_clock: MockClock,
) -> None:
    async with a_hub(Limits(history_events=3)) as hub:
        wire = BusyWire(hub)
        subscriber = await fall_off(hub, wire)
        wire.take(math.inf)
        await trio.sleep(5)
        assert numbers(wire) == ["overrun", *range(8, 11)]
        assert subscriber.reason is None


async def test_a_gap_that_the_wire_does_not_take_does_not_count_twice(autojump_clock: MockClock) -> None:
    async with a_hub(Limits(history_events=3)) as hub:
        wire = BusyWire(hub, refusals=3)  # the offer, and twice the gap
        subscriber = await fall_off(hub, wire)
        wire.take(math.inf)
        await trio.sleep(5)
        assert numbers(wire) == ["overrun", *range(10, 13)]
        assert subscriber.reason is None


async def test_a_gap_is_told_when_there_is_something_to_give_after_it(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_hub(Limits(history_events=2)) as hub:
        wire = FakeWire(room=0)
        await fall_off(hub, wire)

        async def empty() -> None:
            trim = Trim(free_bytes=1 << 30)
            hub.supervisor.inbox(CHANNEL).put(trim)
            await trim.reply.wait()

        at_the_first_read(monkeypatch, before=empty, after=lambda: publish(hub, 10, 11, 12))
        wire.take(math.inf)
        await trio.sleep(1)
        assert numbers(wire) == ["overrun", 11, 12]
        gap = events(wire)[0]
        requested, resumed = (Position.parse(str(gap[key])) for key in ("requested", "resumed_from"))
        assert (requested.offset, resumed.offset) == (0, 11)


async def test_a_channel_that_crashes_while_it_is_read_is_read_again(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics, apply, left = Metrics(), Channel.apply, 1

    def crash(self: Channel, message: Message) -> None:
        nonlocal left
        if isinstance(message, Read) and left:
            left -= 1
            raise ZeroDivisionError
        apply(self, message)

    monkeypatch.setattr(Channel, "apply", crash)
    async with a_hub(Limits(history_events=2), metrics=metrics) as hub:
        wire = FakeWire(room=0)
        subscriber = await fall_off(hub, wire)
        wire.take(math.inf)
        await wait_all_tasks_blocked()
        assert numbers(wire) == ["overrun", 8, 9]
        assert subscriber.reason is None
        assert +metrics.errors == {("other", "channel"): 1}
