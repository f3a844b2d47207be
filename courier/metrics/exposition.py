"""Exposition: a node's counts as Prometheus' families, made when somebody asks for them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from courier.metrics import Metrics
from courier.metrics.disk import Disk
from courier.metrics.histogram import Histogram
from courier.version import VERSION

Sample = tuple[Sequence[str], float]
"""The values of a metric's labels, and its own."""


def registry_of(metrics: Metrics) -> CollectorRegistry:
    """A registry of one node: what it counts, and what Python and the kernel know of its process."""
    registry = CollectorRegistry()
    registry.register(NodeCollector(metrics))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class NodeCollector(Collector):
    """Reads the counts of a node each time that it is asked. All names and labels are here."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._publishing()
        yield from self._subscribers()
        yield from self._node()
        if self._metrics.disk is not None:
            yield from self._disk(self._metrics.disk)

    def _publishing(self) -> Iterator[Metric]:
        metrics, kinds = self._metrics, self._metrics.traffic
        yield _counter(
            "courier_events_published",
            "Events that this node has put into a log, without repeats of an idempotency key",
            ("channel", "event_type", "source"),
            metrics.events.items(),
        )
        yield _counter(
            "courier_events_delivered",
            "Events written to subscribers, each as often as it was",
            ("channel", "event_type"),
            [
                ((kind, event_type), count)
                for kind, traffic in kinds.items()
                for event_type, count in traffic.delivered.items()
                if count
            ],
        )
        yield _counter(
            "courier_events_validation_failed",
            "Publishes, or events of several, that were refused because they hold no valid event",
            ("event_type", "source"),
            metrics.invalid.items(),
        )
        yield _counter(
            "courier_publishes_refused",
            "Publishes, or events of several, that were refused, by HTTP status",
            ("status",),
            [((str(status),), count) for status, count in metrics.refused_publishes.items()],
        )
        yield _counter(
            "courier_rate_limit_exceeded",
            "Publishes, or events of several, that were refused because of their service's rate",
            ("service",),
            [((service,), metrics.rate_limited[service]) for service in metrics.sources],
        )
        yield _histogram(
            "courier_publish_latency_seconds",
            "From a publish that begins to be judged to its event's receipt",
            {kind: traffic.publish_latency for kind, traffic in kinds.items()},
        )

    def _subscribers(self) -> Iterator[Metric]:
        metrics, kinds = self._metrics, self._metrics.traffic
        yield _gauge(
            "courier_websocket_connections_active",
            "WebSockets that are connected; many: those for many channels",
            ("channel",),
            [((kind,), each.active) for kind, each in metrics.connections.items()],
        )
        yield _gauge(
            "courier_subscriptions_active",
            "Subscriptions of channels, of whatever connections",
            ("channel",),
            [((kind,), traffic.subscriptions) for kind, traffic in kinds.items()],
        )
        yield _counter(
            "courier_websocket_connections",
            "WebSockets that were let in",
            ("channel",),
            [((kind,), each.connected) for kind, each in metrics.connections.items()],
        )
        yield _counter(
            "courier_websocket_disconnections",
            "WebSockets that have ended, by why",
            ("channel", "reason"),
            _by_kind({kind: each.disconnected for kind, each in metrics.connections.items()}),
        )
        yield _counter(
            "courier_joins_refused",
            "Joins and subscriptions that were refused, by the close or the end that they got",
            ("reason",),
            [((reason,), count) for reason, count in metrics.refused_joins.items()],
        )
        yield _histogram(
            "courier_websocket_message_latency_seconds",
            "From an event's arrival to its being written to a subscriber that was there when it arrived",
            {kind: traffic.message_latency for kind, traffic in kinds.items()},
        )
        yield _counter(
            "courier_replayed_events",
            "Delivered events that had arrived before their subscriber joined",
            ("channel",),
            [((kind,), traffic.replayed) for kind, traffic in kinds.items()],
        )
        lag = HistogramMetricFamily(
            "courier_subscriber_lag_events", "How far behind each subscriber is, looked at every five seconds"
        )
        lag.add_metric((), *_buckets(metrics.lag))
        yield lag
        yield _counter(
            "courier_gaps",
            "Gaps that were sent to subscribers",
            ("channel", "reason"),
            _by_kind({kind: traffic.gaps for kind, traffic in kinds.items()}),
        )
        yield _counter(
            "courier_evictions",
            "Subscribers closed because they were too slow",
            ("reason",),
            [((reason,), count) for reason, count in metrics.evictions.items()],
        )

    def _disk(self, disk: Disk) -> Iterator[Metric]:
        for name, documentation, histogram in (
            ("courier_disk_commit_seconds", "How long a transaction of the log on disk took", disk.seconds),
            ("courier_disk_commit_events", "How many events a transaction has appended", disk.events),
        ):
            family = HistogramMetricFamily(name, documentation)
            family.add_metric((), *_buckets(histogram))
            yield family
        for name, documentation, value in (
            ("courier_disk_bytes", "Bytes of the file that hold something", disk.bytes),
            ("courier_disk_limit_bytes", "Bytes that they may be", disk.limit_bytes),
        ):
            yield _gauge(name, documentation, (), [((), float(value))])

    def _node(self) -> Iterator[Metric]:
        metrics = self._metrics
        yield _counter(
            "courier_errors",
            "Faults of Courier's own: each has a line in the log",
            ("error_type", "component"),
            metrics.errors.items(),
        )
        yield _counter(
            "courier_repairs",
            "Times that a log was brought up to the one that the nodes share",
            (),
            [((), metrics.repairs)],
        )
        release = [((VERSION,), 1.0)]
        yield _gauge("courier_build_info", "Always 1: which release this is", ("version",), release)
        state = metrics.state() if metrics.state is not None else None
        for name, documentation, value in (
            (
                "backplane_up",
                "1 while what the nodes share can be reached and takes writes",
                state and state.backplane_up,
            ),
            ("channels_active", "Channels that run on this node", state and state.channels),
            (
                "drain_remaining_connections",
                "Subscribers that a drain has still to close",
                state and state.draining_connections,
            ),
            (
                "drain_overdue_seconds",
                "How long ago the drain should have ended",
                state and state.drain_overdue_seconds,
            ),
            (
                "websocket_connections_limit",
                "Subscribers that this node may have",
                state and state.connections_limit,
            ),
            (
                "event_loop_lag_seconds",
                "How late a task was woken, at the worst of the last five to ten seconds",
                state and state.event_loop_lag_seconds,
            ),
            ("log_bytes", "Bytes that all logs of this node hold", state and state.log_bytes),
            ("log_limit_bytes", "Bytes that they may hold", state and state.log_limit_bytes),
            ("backplane_bytes", "Bytes of memory that Redis uses", state and state.backplane_bytes),
            (
                "backplane_limit_bytes",
                "Bytes of memory that Redis may use; 0 without a limit",
                state and state.backplane_limit_bytes,
            ),
            (
                "revocations",
                "Revocations that this node remembers, those that were taken back included",
                state and state.revocations,
            ),
        ):
            samples = [] if value is None else [((), float(value))]
            yield _gauge(f"courier_{name}", documentation, (), samples)


def _counter(name: str, documentation: str, labels: Sequence[str], samples: Iterable[Sample]) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=labels)
    for values, count in samples:
        family.add_metric(values, count)
    return family


def _gauge(name: str, documentation: str, labels: Sequence[str], samples: Iterable[Sample]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _histogram(name: str, documentation: str, by_kind: Mapping[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(name, documentation, labels=("channel",))
    for kind, histogram in by_kind.items():
        family.add_metric((kind,), *_buckets(histogram))
    return family


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """Prometheus' buckets: each counts what is below it too."""
    below, buckets = 0, []
    for bound, count in zip((*map(repr, histogram.bounds), "+Inf"), histogram.counts, strict=True):
        below += count
        buckets.append((bound, float(below)))
    return buckets, histogram.sum


def _by_kind(tables: Mapping[str, Mapping[str, int]]) -> list[Sample]:
    return [((kind, str(reason)), count) for kind, table in tables.items() for reason, count in table.items()]
