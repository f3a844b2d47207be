"""The node's last fifteen minutes: a sample a second, and never more than there is room for."""

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from courier.metrics import Buckets
from courier.node import Node, open_node
from courier.timeline import LATENCY_SAMPLES, SAMPLES, Lag, Timeline, difference, measure_lag, quantile
from tests.actors.hubs import OTHER, a_hub, join, publish
from tests.actors.wires import FakeWire
from tests.web.servers import settings_for

BOUNDS = (0.001, 0.01, 0.1)


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ([0, 0, 0, 0], 0.5, None),
        ([10, 0, 0, 0], 0.5, 0.0005),
        ([0, 10, 0, 0], 0.5, 0.0055),
        ([5, 5, 0, 0], 0.5, 0.001),
        ([50, 49, 1, 0], 0.99, 0.01),
        ([50, 48, 2, 0], 0.99, 0.055),
        ([0, 0, 0, 7], 0.5, 0.1),
        ([99, 0, 0, 1], 0.99, 0.001),
    ],
)
def test_a_quantile_is_as_near_as_the_buckets_tell(
    counts: Sequence[int], share: float, expected: float | None
) -> None:
    found = quantile(Buckets(BOUNDS, tuple(counts)), share)
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_difference_is_what_came_between() -> None:
    before, after = Buckets(BOUNDS, (1, 2, 3, 4)), Buckets(BOUNDS, (1, 5, 3, 6))
    assert difference(before, after) == Buckets(BOUNDS, (0, 3, 0, 2))


async def test_the_lag_is_over_all_subscribers_and_those_without_count() -> None:
    async with a_hub() as hub:
        for _ in range(99):
            await join(hub)
        slow, _ = await join(hub, FakeWire(room=0), channel=OTHER, owner="u2")
        await publish(hub, *range(7), channel=OTHER)
        await publish(hub, *range(3))
        await trio.testing.wait_all_tasks_blocked()
        assert slow.lag == 7
        assert await measure_lag(hub.supervisor) == Lag(max=7, p99=0)
        await join(hub, FakeWire(room=0), owner="u2")
        await publish(hub, 1)
        await trio.testing.wait_all_tasks_blocked()
        assert await measure_lag(hub.supervisor) == Lag(max=7, p99=1)


async def test_nobody_lags_where_nobody_is() -> None:
    async with a_hub() as hub:
        assert await measure_lag(hub.supervisor) == Lag(0, 0)


async def published(node: Node, count: int) -> None:
    for number in range(count):
        await publish(node.hub, number)
    node.metrics.published("user", "tests", ["system.announcement"] * count, 0.0005)


async def test_a_sample_a_second_says_what_has_happened_in_it(autojump_clock: MockClock) -> None:
    async with open_node(settings_for(), ["system.announcement"]) as node:
        await join(node.hub)
        await trio.sleep(0.5)
        await published(node, 6)
        await trio.sleep(1)
        await trio.sleep(1)
        busy, quiet = node.timeline.samples
        assert (busy.connections, busy.channels, busy.published, busy.delivered) == (1, 1, 6, 6)
        assert busy.log_bytes > 0
        assert busy.publish_p50_ms == pytest.approx(0.5)
        assert (quiet.published, quiet.delivered) == (0, 0)
        assert quiet.publish_p50_ms == busy.publish_p50_ms
        await trio.sleep(LATENCY_SAMPLES)
        assert node.timeline.samples[-1].publish_p50_ms is None


async def test_fifteen_minutes_are_kept(autojump_clock: MockClock) -> None:
    async with open_node(settings_for()) as node:
        await trio.sleep(SAMPLES + 20.5)
        assert len(node.timeline.samples) == SAMPLES


async def test_a_sample_that_fails_is_a_hole_and_not_the_end(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = Timeline._sample
    calls = 0

    async def fail_once(self: Timeline) -> object:
        nonlocal calls
        calls += 1
        self._look(trio.current_time())
        if calls == 1:
            raise RuntimeError("no luck")
        return await sample(self)

    monkeypatch.setattr(Timeline, "_sample", fail_once)
    async with open_node(settings_for()) as node:
        await trio.sleep(3.5)
        assert len(node.timeline.samples) == 2
        assert node.metrics.totals().errors == 1
