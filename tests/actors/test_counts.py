"""What a hub counts of what it delivers: how much, of which type, and how late."""

import math

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from courier.actors.channel import SHOWN_TOGETHER
from courier.actors.hub import Hub
from courier.actors.limits import Limits
from courier.actors.supervisor import LOOK_SECONDS
from courier.backplane import Publication
from courier.metrics import Metrics
from courier.schemas.position import Position
from tests.actors.hubs import CHANNEL, a_hub, join, numbers
from tests.actors.nodes import a_node, a_shared_log
from tests.actors.wires import FakeWire, Held

TYPES = ("a.one", "a.two")


def some_metrics() -> Metrics:
    return Metrics(TYPES)


async def publish(hub: Hub, *types: str) -> Position:
    """Publish an event of each type as one message; the last one's position."""
    await trio.lowlevel.checkpoint()
    events = [
        Publication(b'{"type":"%b","n":%d}' % (name.encode(), n), "", b"", name)
        for n, name in enumerate(types)
    ]
    outcomes = await hub.publish(CHANNEL, events, math.inf)
    await wait_all_tasks_blocked()
    position = outcomes[-1].position  # type: ignore[union-attr]
    assert isinstance(position, Position)
    return position


async def test_each_event_counts_once_for_each_who_got_it_and_none_of_them_late(
    autojump_clock: MockClock,
) -> None:
    metrics = some_metrics()
    async with a_hub(metrics=metrics) as hub:
        for _ in range(30):
            await join(hub)
        await publish(hub, "a.one")
        await publish(hub, "a.two", "a.one", "unknown")
        user = metrics.traffic["user"]
        assert user.delivered == {"a.one": 60, "a.two": 30, "other": 30}
        assert (user.message_latency.counts[0], sum(user.message_latency.counts)) == (120, 120)
        assert (user.replayed, metrics.totals().delivered) == (0, 120)
        assert sum(metrics.traffic["global"].delivered.values()) == 0


async def test_what_is_replayed_is_counted_as_that_and_not_as_late(autojump_clock: MockClock) -> None:
    metrics = some_metrics()
    async with a_hub(metrics=metrics) as hub:
        first = await publish(hub, "a.one")
        await publish(hub, "a.one", "a.two")
        await trio.sleep(30)
        subscriber = await hub.join(CHANNEL, "u1", first)
        await publish(hub, "a.two")  # before the wire is open: live, and in one page with what is replayed
        await trio.sleep(0.2)
        assert subscriber.beginning is not None
        replayed = subscriber.beginning.replayed
        Held(subscriber, FakeWire()).open()
        await wait_all_tasks_blocked()
        user = metrics.traffic["user"]
        assert user.replayed == replayed == 2
        assert user.delivered == {"a.one": 1, "a.two": 2, "other": 0}
        assert sum(user.message_latency.counts) == 1
        assert user.message_latency.sum == 0.2


async def test_who_lags_gets_it_late(autojump_clock: MockClock) -> None:
    metrics = some_metrics()
    async with a_hub(metrics=metrics) as hub:
        _, wire = await join(hub, FakeWire(room=1))
        await publish(hub, "a.one")  # cut, and so the wire's
        await publish(hub, "a.two")
        user = metrics.traffic["user"]
        assert user.delivered == {"a.one": 1, "a.two": 0, "other": 0}
        await trio.sleep(0.4)
        wire.take(math.inf)
        await wait_all_tasks_blocked()
        assert user.delivered == {"a.one": 1, "a.two": 1, "other": 0}
        assert (user.message_latency.counts[0], user.message_latency.sum) == (1, 0.4)


async def test_a_page_that_is_cut_counts_as_far_as_it_went(autojump_clock: MockClock) -> None:
    metrics = some_metrics()
    async with a_hub(metrics=metrics) as hub:
        _, wire = await join(hub, FakeWire(room=100))
        await join(hub)
        await publish(hub, "a.one", "a.two", "a.two", "a.two")
        first = dict(metrics.traffic["user"].delivered)
        assert first == {"a.one": 2, "a.two": 4, "other": 0}
        wire.take(math.inf)
        await wait_all_tasks_blocked()
        assert numbers(wire) == [0, 1, 2, 3]
        assert metrics.traffic["user"].delivered == {"a.one": 2, "a.two": 6, "other": 0}


async def test_who_stands_elsewhere_in_one_and_the_same_fan_out_counts_what_it_got(
    autojump_clock: MockClock,
) -> None:
    metrics = some_metrics()
    async with a_hub(metrics=metrics) as hub:
        for _ in range(SHOWN_TOGETHER + 1):
            await join(hub)
        await wait_all_tasks_blocked()
        for event_type in ("a.one", "a.two"):  # all in one step: the channel sleeps until the end of it
            await hub.publish(CHANNEL, [Publication(b"{}", "", b"", event_type)], math.inf)
            _, wire = await join(hub)
        await wait_all_tasks_blocked()
        assert len(wire.payloads) == 0
        assert metrics.traffic["user"].delivered == {
            "a.one": SHOWN_TOGETHER + 1,
            "a.two": SHOWN_TOGETHER + 2,
            "other": 0,
        }


async def test_a_gap_in_the_log_is_counted_for_each_who_was_told(autojump_clock: MockClock) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one, a_node(shared) as two:
        for _ in range(3):
            await join(two.hub)
        await publish(one.hub, "a.one")
        shared.empty()
        await publish(one.hub, "a.one")
        assert two.metrics.traffic["user"].gaps == {"expired": 0, "unknown_position": 3, "overrun": 0}
        assert two.metrics.totals().delivered == 6


async def test_subscribers_are_looked_at_for_their_lag(autojump_clock: MockClock) -> None:
    metrics = some_metrics()
    async with a_hub(metrics=metrics) as hub:
        await join(hub)
        await join(hub, FakeWire(room=0))
        await publish(hub, "a.one", "a.one", "a.one")
        await trio.sleep(LOOK_SECONDS * 1.5)
        assert (metrics.lag.counts[0], sum(metrics.lag.counts), metrics.lag.sum) == (1, 2, 3)


async def test_events_of_another_node_are_known_by_their_type(autojump_clock: MockClock) -> None:
    shared = a_shared_log()
    async with a_node(shared) as one, a_node(shared) as two:
        one.metrics.traffic["user"].delivered["a.one"] = 0  # it has a model of this type, and two has none
        await join(one.hub)
        await join(two.hub)
        await wait_all_tasks_blocked()
        await publish(two.hub, "a.one")
        assert one.metrics.traffic["user"].delivered == {"a.one": 1, "other": 0}
        assert two.metrics.traffic["user"].delivered == {"other": 1}


async def test_a_hub_says_what_it_is(autojump_clock: MockClock) -> None:
    metrics = some_metrics()
    async with a_hub(Limits(history_bytes=1000), metrics=metrics) as hub:
        await join(hub)
        await publish(hub, "a.one")
        assert metrics.state is not None
        state = metrics.state()
        assert (state.backplane_up, state.channels, state.draining_connections) == (True, 1, 0)
        assert (state.log_bytes > 200, state.log_limit_bytes) == (True, 1000)
        hub.closing.set()
        assert metrics.state().draining_connections == 1
