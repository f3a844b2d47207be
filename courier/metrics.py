"""Metrics: what a node counts, said in the words of the domain."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(slots=True)
class Metrics:
    """Totals since the node started."""

    events_published: int = 0
    events_delivered: int = 0
    evictions: Counter[str] = field(default_factory=Counter)
    gaps: Counter[str] = field(default_factory=Counter)
    repairs: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    def published(self, events: int) -> None:
        self.events_published += events

    def delivered(self, events: int) -> None:
        self.events_delivered += events

    def evicted(self, reason: str) -> None:
        """A subscriber was closed because it was too slow."""
        self.evictions[reason] += 1

    def gap(self, reason: str) -> None:
        """A subscriber was told that it missed something."""
        self.gaps[reason] += 1

    def repaired(self) -> None:
        """A node's log was brought up to the shared one, from which it had missed something."""
        self.repairs += 1

    def error(self, kind: str) -> None:
        """Something of ours went wrong: a channel crashed, a wire raised what it should not."""
        self.errors[kind] += 1

    def totals(self) -> "Totals":
        return Totals(
            self.events_published,
            self.events_delivered,
            0,
            self.gaps.total(),
            self.evictions.total(),
            0,
            0,
            self.errors.total(),
            0,
            Buckets(BOUNDS, (0,) * 10),
            Buckets(BOUNDS, (0,) * 10),
        )


BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class Buckets(NamedTuple):
    bounds: tuple[float, ...]
    counts: tuple[int, ...]


class Totals(NamedTuple):
    published: int
    delivered: int
    replayed: int
    gaps: int
    evictions: int
    refused_publishes: int
    refused_joins: int
    errors: int
    rate_limited: int
    publish_latency: Buckets
    message_latency: Buckets
