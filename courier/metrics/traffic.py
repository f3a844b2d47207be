"""Traffic: what is counted of all channels of one kind."""

from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Protocol

from courier.metrics.histogram import Histogram
from courier.metrics.sources import OTHER
from courier.schemas.control import GapReason

LATENCY_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)

_event_type = attrgetter("event_type")
_arrived_ms = attrgetter("arrived_ms")


class Entry(Protocol):
    """What a log keeps, as far as it is counted."""

    @property
    def event_type(self) -> str | GapReason:
        """The event's type; of an entry that is no event the reason of the gap that it tells of."""

    @property
    def arrived_ms(self) -> int: ...


class Traffic:
    """Plain numbers, moved by whole pages: what a page holds is looked at once, however many got it."""

    __slots__ = (
        "connected",
        "delivered",
        "disconnected",
        "gaps",
        "message_latency",
        "publish_latency",
        "replayed",
    )

    def __init__(self, event_types: Iterable[str]) -> None:
        self.delivered = dict.fromkeys([*event_types, OTHER], 0)
        """By type; no other types are ever added."""
        self.replayed = 0
        self.gaps = dict.fromkeys(GapReason, 0)
        self.connected = 0
        self.disconnected = Counter[str]()
        self.publish_latency = Histogram(LATENCY_SECONDS)
        self.message_latency = Histogram(LATENCY_SECONDS)

    def deliver(self, entries: Sequence[Entry], subscribers: int, now_ms: int) -> None:
        """So many subscribers got each of the entries, which arrived while they were subscribed.

        Both times are by the log's clock, in whole milliseconds, rounded the same way: the mean is exact.
        """
        if len(entries) == 1:  # as most pages are
            [entry] = entries
            if self._add(entry.event_type, subscribers):
                self.message_latency.observe(max(0, now_ms - entry.arrived_ms) / 1000, subscribers)
            return
        events = self._add_all(entries, subscribers)
        for arrived_ms, count in Counter(map(_arrived_ms, events)).items():
            self.message_latency.observe(max(0, now_ms - arrived_ms) / 1000, count * subscribers)

    def replay(self, entries: Sequence[Entry]) -> None:
        """A subscriber got each of the entries, which had arrived before it joined."""
        self.replayed += len(self._add_all(entries, 1))

    def gap(self, reason: GapReason, subscribers: int = 1) -> None:
        """So many subscribers were told that they have missed something."""
        self.gaps[reason] += subscribers

    def _add_all(self, entries: Sequence[Entry], subscribers: int) -> Sequence[Entry]:
        """Count the entries; returns those that are events."""
        types = Counter(map(_event_type, entries))
        all_events = True
        for event_type, count in types.items():
            all_events &= self._add(event_type, count * subscribers)
        return entries if all_events else [one for one in entries if type(one.event_type) is not GapReason]

    def _add(self, event_type: str | GapReason, times: int) -> bool:
        """Whether it was an event's."""
        if type(event_type) is GapReason:
            self.gap(event_type, times)
            return False
        self.delivered[event_type if event_type in self.delivered else OTHER] += times
        return True
