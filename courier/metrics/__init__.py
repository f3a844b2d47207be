"""Metrics: what a node counts, said in the words of the domain.

The numbers are plain integers, and become Prometheus' only when somebody asks for them (`exposition.py`).
Labels come from fixed sets, or from sets that have a size: no caller can make up new ones.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from courier.metrics.disk import Disk
from courier.metrics.histogram import Buckets, Histogram, summed
from courier.metrics.sources import OTHER, Sources
from courier.metrics.traffic import Connections, Traffic
from courier.schemas.closing import CloseReason, Departure

LAG_EVENTS = (0.0, 1.0, 10.0, 100.0, 1000.0, 10_000.0)

STATUSES = (400, 401, 403, 408, 409, 413, 415, 429, 500, 503)
"""What a publish may be refused with: there from the start, so that the first refusal is seen as one more."""

MOST_SERIES = 2000
"""Combinations of labels of a counter where callers choose among them; the rest is counted together."""

MOST_ERRORS = 100
"""The same for errors, whose classes may be those of the operator's own models."""

MANY = "many"
"""Stands for a kind where a connection is for many channels; no kind is called so."""

COMPONENTS = (
    "admin",
    "channel",
    "connection",
    "disk",
    "events",
    "history",
    "join",
    "publish",
    "publish_auth",
    "redis",
    "refresh",
    "request",
    "rule",
    "timeline",
    "wire",
)
"""The parts of Courier that meet errors."""

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Totals:
    """All that was counted since the node started, as of one moment."""

    published: int
    """Events that this node took, without repeats of an idempotency key."""
    delivered: int
    """Events written to subscribers, each as often as it was."""
    replayed: int
    """Of these, the ones that had arrived before the subscriber joined."""
    gaps: int
    evictions: int
    refused_publishes: int
    refused_joins: int
    errors: int
    rate_limited: int
    publish_latency: Buckets
    """Seconds, over all kinds of channels."""
    message_latency: Buckets


class NodeState(NamedTuple):
    """What a node is at a moment, as far as it is no count."""

    backplane_up: bool
    channels: int
    draining_connections: int
    """Subscribers that a drain has still to close; 0 when there is no drain."""
    drain_overdue_seconds: float
    """How long ago the drain should have ended; 0 before that, and when there is no drain."""
    log_bytes: int
    log_limit_bytes: int
    connections_limit: int
    backplane_bytes: int | None
    """What Redis uses of its memory; None when it is unknown, or there is none."""
    backplane_limit_bytes: int | None
    revocations: int
    """How many are remembered, those that were taken back included."""
    event_loop_lag_seconds: float = 0.0
    """How late a task was woken, at the worst of the last five to ten seconds."""


class Metrics:
    """The counts of one node; `event_types`, `kinds` of channels and `sources` are what may be labels."""

    def __init__(
        self,
        event_types: Iterable[str] = (),
        sources: Sources | None = None,
        kinds: Iterable[str] = ("global", "user"),
    ) -> None:
        self.sources = sources or Sources()
        self.state: Callable[[], NodeState] | None = None
        """Set by the hub, or the node, that is counted."""
        self._event_types = frozenset(event_types)
        self.traffic = {kind: Traffic(self._event_types) for kind in kinds}
        self.connections = {kind: Connections() for kind in (*self.traffic, MANY)}
        """By kind of channel, or `MANY`."""
        self.events: dict[tuple[str, str, str], int] = {}
        """Published, by kind, type and source."""
        self.invalid = Counter[tuple[str, str]]({(OTHER, OTHER): 0})
        """By type and source."""
        self.rate_limited = Counter[str]()
        self.refused_publishes = Counter[int](dict.fromkeys(STATUSES, 0))
        self.refused_joins = Counter[str](dict.fromkeys([reason.word for reason in CloseReason], 0))
        self.evictions = Counter[str](dict.fromkeys(("overrun", "stalled"), 0))
        self.errors = Counter[tuple[str, str]]({(OTHER, component): 0 for component in COMPONENTS})
        """By class and component."""
        self.repairs = 0
        self.disk: Disk | None = None
        """Of a node that keeps its log on disk."""
        self.lag = Histogram(LAG_EVENTS)

    # Publishing

    def published(self, kind: str, service: str, event_types: Sequence[str], seconds: float) -> None:
        """Events of these types are in a channel's log, so long after their request began to be judged."""
        self.traffic[kind].publish_latency.observe(seconds, len(event_types))
        events = self.events
        for event_type in event_types:
            try:
                events[kind, event_type, service] += 1
            except KeyError:  # the first of this service, or of one that is not known
                source = self.sources.published(service)
                _count(events, (kind, event_type, source), (kind, event_type, OTHER), MOST_SERIES)

    def verified(self, service: str) -> None:
        """A service's token was good."""
        self.sources.verified(service)

    def publish_refused(self, status: int) -> None:
        """A publish, or one event of several, was refused."""
        self.refused_publishes[status] += 1

    def invalid_event(self, event_type: str, service: str | None) -> None:
        """What a service sent was no event; `event_type` is what it said to be, if anything."""
        known = event_type if event_type in self._event_types else OTHER
        _count(self.invalid, (known, self.sources.label(service)), (known, OTHER), MOST_SERIES)

    def rate_exceeded(self, service: str | None) -> None:
        """A publish, or one event of several, was refused because of its service's rate."""
        self.rate_limited[self.sources.label(service)] += 1

    # Subscribers

    def connected(self, kind: str) -> None:
        """A WebSocket for a channel of that kind, or for `MANY`, has been let in."""
        self.connections[kind].connected += 1

    def disconnected(self, kind: str, reason: CloseReason | Departure) -> None:
        """It has ended."""
        self.connections[kind].disconnected[reason.word] += 1

    def join_refused(self, reason: CloseReason) -> None:
        self.refused_joins[reason.word] += 1

    def evicted(self, reason: str) -> None:
        """A subscriber was closed because it was too slow."""
        self.evictions[reason] += 1

    def lagging(self, behind: Sequence[int], current: int) -> None:
        """A look at the subscribers of a channel: so many events these are behind, and so many are at the
        head."""
        if current:
            self.lag.observe(0, current)
        for events in behind:
            self.lag.observe(events)

    # The node

    def repaired(self) -> None:
        """A node's log was brought up to the shared one, from which it had missed something."""
        self.repairs += 1

    def error(self, component: str, error: BaseException) -> None:
        """Something of ours went wrong: a channel crashed, a wire raised what it should not.

        The first error of a class counts as `other`, and begins the class's own count at 0: Prometheus sees a
        rise only of what was there before, and the first error is the one that somebody must hear of.
        """
        key = (type(error).__name__, component)
        if key not in self.errors and len(self.errors) < MOST_ERRORS:
            self.errors[key] = 0
            key = (OTHER, component)
        _count(self.errors, key, (OTHER, component), MOST_ERRORS)

    def totals(self) -> Totals:
        """Everything, as plain numbers."""
        kinds = self.traffic.values()
        return Totals(
            published=sum(self.events.values()),
            delivered=sum(sum(kind.delivered.values()) for kind in kinds),
            replayed=sum(kind.replayed for kind in kinds),
            gaps=sum(sum(kind.gaps.values()) for kind in kinds),
            evictions=self.evictions.total(),
            refused_publishes=self.refused_publishes.total(),
            refused_joins=self.refused_joins.total(),
            errors=self.errors.total(),
            rate_limited=self.rate_limited.total(),
            publish_latency=summed(kind.publish_latency for kind in kinds),
            message_latency=summed(kind.message_latency for kind in kinds),
        )


def _count(table: dict[K, int], key: K, common: K, most: int) -> None:
    """Count for the key, or together with others when the table is full."""
    counted = key if key in table or len(table) < most else common
    table[counted] = table.get(counted, 0) + 1


__all__ = ["OTHER", "Buckets", "Metrics", "NodeState", "Sources", "Totals"]
