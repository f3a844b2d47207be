"""Metrics: what a node counts, said in the words of the domain."""

from collections import Counter
from dataclasses import dataclass, field


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
