"""Timeline: what a node was like in the last fifteen minutes, a sample a second."""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import trio

from courier.actors.channel import Channel
from courier.actors.hub import Hub
from courier.logs import get_logger
from courier.metrics import Buckets, Metrics, Totals

SAMPLE_SECONDS = 1.0
SAMPLES = 900
"""How many are kept; then the oldest goes."""

LATENCY_SAMPLES = 10
"""Percentiles are of what so many samples saw together: one second may hold two or three events."""

LOOKED_AT_A_TIME = 500
"""How many subscribers, or channels, are looked at before other tasks get a turn."""

logger = get_logger(__name__)


class Sample(NamedTuple):
    """The node at one moment, and what happened in the second before it."""

    at: int
    """Unix milliseconds."""
    connections: int
    channels: int
    log_bytes: int
    lag_max: int
    lag_p99: int
    """Events behind, over all subscribers."""
    published: float
    delivered: float
    replayed: float
    gaps: float
    evictions: float
    refused_publishes: float
    refused_joins: float
    rate_limited: float
    errors: float
    """So many a second, these all."""
    publish_p50_ms: float | None
    publish_p99_ms: float | None
    delivery_p50_ms: float | None
    delivery_p99_ms: float | None
    """None while nothing was measured."""


class Lag(NamedTuple):
    """How far behind the subscribers of a node are."""

    max: int
    p99: int


class Timeline:
    """Keeps the samples. `run` takes one a second; between them it costs nothing."""

    def __init__(self, hub: Hub, metrics: Metrics) -> None:
        self.samples = deque[Sample](maxlen=SAMPLES)
        self._hub = hub
        self._metrics = metrics
        self._seen = deque[Totals](maxlen=LATENCY_SAMPLES)
        self._seen_at = 0.0

    async def run(self) -> None:
        """Take samples, for ever. One that fails is a hole in a chart, and never the node's end."""
        self._look(trio.current_time())
        while True:
            await trio.sleep_until(self._seen_at + SAMPLE_SECONDS)
            try:
                self.samples.append(await self._sample())
            except Exception as error:
                self._metrics.error("timeline", error)
                logger.error("Sample failed", exc_info=error)

    def _look(self, now: float) -> Totals:
        totals = self._metrics.totals()
        self._seen.append(totals)
        self._seen_at = now
        return totals

    async def _sample(self) -> Sample:
        hub, last, seen_at = self._hub, self._seen[-1], self._seen_at
        before = self._seen[0]
        now = self._look(trio.current_time())
        seconds = max(self._seen_at - seen_at, 0.001)
        lag = await measure_lag(hub.supervisor)
        publish = difference(before.publish_latency, now.publish_latency)
        delivery = difference(before.message_latency, now.message_latency)

        def a_second(after: int, before: int) -> float:
            return round((after - before) / seconds, 2)

        return Sample(
            at=time.time_ns() // 1_000_000,
            connections=hub.connections,
            channels=len(hub.supervisor),
            log_bytes=hub.supervisor.budget.used_bytes,
            lag_max=lag.max,
            lag_p99=lag.p99,
            published=a_second(now.published, last.published),
            delivered=a_second(now.delivered, last.delivered),
            replayed=a_second(now.replayed, last.replayed),
            gaps=a_second(now.gaps, last.gaps),
            evictions=a_second(now.evictions, last.evictions),
            refused_publishes=a_second(now.refused_publishes, last.refused_publishes),
            refused_joins=a_second(now.refused_joins, last.refused_joins),
            rate_limited=a_second(now.rate_limited, last.rate_limited),
            errors=a_second(now.errors, last.errors),
            publish_p50_ms=_milliseconds(quantile(publish, 0.5)),
            publish_p99_ms=_milliseconds(quantile(publish, 0.99)),
            delivery_p50_ms=_milliseconds(quantile(delivery, 0.5)),
            delivery_p99_ms=_milliseconds(quantile(delivery, 0.99)),
        )


async def measure_lag(channels: Iterable[Channel]) -> Lag:
    """The lag of all subscribers of these channels."""
    subscribers = looked_at = 0
    behind: list[int] = []
    for channel in channels:
        looked_at += 1
        if channel.subscribers:
            lags = channel.lags()
            subscribers += len(lags)
            looked_at += len(lags)
            if any(lags):
                behind += filter(None, lags)
        if looked_at >= LOOKED_AT_A_TIME:
            looked_at = 0
            await trio.lowlevel.checkpoint()
    behind.sort(reverse=True)
    ahead_of_p99 = subscribers // 100
    p99 = behind[ahead_of_p99] if len(behind) > ahead_of_p99 else 0
    return Lag(behind[0] if behind else 0, p99)


def difference(before: Buckets, after: Buckets) -> Buckets:
    """What was measured between the two."""
    counts = (late - early for early, late in zip(before.counts, after.counts, strict=True))
    return Buckets(after.bounds, tuple(counts))


def quantile(buckets: Buckets, share: float) -> float | None:
    """The value that `share` of what was measured does not exceed, as near as the buckets tell it: within
    one of them the values count as evenly spread. Beyond the last bound it is that bound; None of nothing."""
    rank = share * sum(buckets.counts)
    lower = 0.0
    if not rank:
        return None
    for bound, count in zip(buckets.bounds, buckets.counts, strict=False):
        if count >= rank:
            return lower + (bound - lower) * rank / count
        rank -= count
        lower = bound
    return lower


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)


def columns(samples: Sequence[Sample]) -> dict[str, list[float | None]]:
    """The samples by their fields, oldest first."""
    return {name: [sample[at] for sample in samples] for at, name in enumerate(Sample._fields)}
