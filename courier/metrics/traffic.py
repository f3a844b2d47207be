"""Traffic: what is counted of all channels of one kind."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from courier.metrics.histogram import Histogram
from courier.metrics.sources import OTHER
from courier.schemas.closing import CloseReason, Departure
from courier.schemas.control import GapReason

GAP = "courier.gap "
"""How the event type of an entry begins that is none; no event's may. The gap's reason follows."""

LATENCY_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class Entry(Protocol):
    """What a log keeps, as far as it is counted."""

    @property
    def event_type(self) -> str:
        """`GAP` and the reason, of an entry that is no event."""

    @property
    def arrived_ms(self) -> int: ...


class Connections:
    """How many have come and gone, of one kind of channel, or of those for many channels."""

    __slots__ = ("connected", "disconnected")

    def __init__(self) -> None:
        self.connected = 0
        self.disconnected = Counter[str](dict.fromkeys((end.word for end in (*Departure, *CloseReason)), 0))

    @property
    def active(self) -> int:
        return self.connected - self.disconnected.total()


class Traffic:
    """Plain numbers, moved by whole pages: what a page holds is looked at once, however many got it."""

    __slots__ = (
        "delivered",
        "gaps",
        "message_latency",
        "publish_latency",
        "replayed",
        "subscriptions",
    )

    def __init__(self, event_types: Iterable[str]) -> None:
        self.delivered = dict.fromkeys([*event_types, OTHER], 0)
        """By type; no other types are ever added."""
        self.replayed = 0
        self.gaps = {str(reason): 0 for reason in GapReason}
        self.subscriptions = 0
        """Those that there are at this moment."""
        self.publish_latency = Histogram(LATENCY_SECONDS)
        self.message_latency = Histogram(LATENCY_SECONDS)

    def deliver(self, entries: Sequence[Entry], subscribers: int, now_ms: int) -> None:
        """So many subscribers got each of the entries, which arrived while they were subscribed.

        Both times are by the log's clock, in whole milliseconds, rounded the same way: the mean is exact.
        """
        delivered, since_ms, events = self.delivered, now_ms, 0
        for entry in entries:
            try:
                delivered[entry.event_type] += subscribers
            except KeyError:
                if not self._add(entry.event_type, subscribers):
                    continue
            if entry.arrived_ms != since_ms:  # most of a page arrived together
                self._late(now_ms - since_ms, events)
                since_ms, events = entry.arrived_ms, 0
            events += subscribers
        self._late(now_ms - since_ms, events)

    def replay(self, entries: Sequence[Entry]) -> None:
        """A subscriber got each of the entries, which had arrived before it joined."""
        self.replayed += sum(self._add(entry.event_type, 1) for entry in entries)

    def gap(self, reason: str, subscribers: int = 1) -> None:
        """So many subscribers got a gap."""
        self.gaps[reason] += subscribers

    def _late(self, milliseconds: int, events: int) -> None:
        if events:
            self.message_latency.observe(max(milliseconds, 0) / 1000, events)

    def _add(self, event_type: str, times: int) -> bool:
        """Whether it was an event's."""
        if event_type.startswith(GAP):
            self.gap(event_type.removeprefix(GAP), times)
            return False
        self.delivered[event_type if event_type in self.delivered else OTHER] += times
        return True
