"""RateLimiter: how many events each service may still publish, by an exact sliding window."""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from courier.backplane.admission import Windows


class Verdict(NamedTuple):
    """What the limiter says of one request. With `limit` 0 there is no limit, and the rest means nothing."""

    admitted: bool
    limit: int
    remaining: int
    """Events that would still be admitted now."""
    reset_seconds: float
    """Seconds until a refused request would be admitted, or until an admitted one makes `remaining` grow."""
    window_seconds: int


UNLIMITED = Verdict(True, 0, 0, 0.0, 0)


class _Window:
    """The events that count for one service: an entry a request, oldest first."""

    __slots__ = ("count", "entries")

    def __init__(self) -> None:
        self.entries: deque[tuple[float, int]] = deque()
        self.count = 0

    def add(self, events: int, now: float) -> None:
        self.entries.append((now, events))
        self.count += events

    def forget(self, until: float) -> None:
        """Drop what was admitted at `until` or before."""
        entries = self.entries
        while entries and entries[0][0] <= until:
            self.count -= entries.popleft()[1]

    def time_of(self, events: int) -> float:
        """When the last of the oldest `events` was admitted: once that one is dropped, so many are free."""
        for admitted_at, count in self.entries:
            events -= count
            if events <= 0:
                return admitted_at
        raise ValueError("The window holds fewer events")


class RateLimiter:
    """Admits at most `limit` events of a service within any `window_seconds`; the caller brings the time.

    `overrides` gives services a limit, and a window, of their own; 0 is no limit. Beside those at most
    `max_services` windows are kept, and one that has run empty makes room for another. While there is none,
    newcomers share one common window. So a flood of made-up names can crowd out newcomers only, and never
    costs a service that has a window a single event. Who moves from the common window to one of its own takes
    along all that the common one holds: it is nobody's way to more than the limit.
    """

    def __init__(
        self,
        limit: int,
        window_seconds: int,
        overrides: Mapping[str, int] | None = None,
        max_services: int = 10_000,
    ) -> None:
        self._limit = limit
        self._window_seconds = window_seconds
        self._overrides = dict(overrides or {})
        self._max_services = max_services
        self._named = {service: _Window() for service in self._overrides}
        # Ordered by their last admission, so that the first is the first to run empty.
        self._windows: OrderedDict[str, _Window] = OrderedDict()
        self._common = _Window()
        self.journal: Counter[tuple[str, int]] | None = None
        """By service and second, the events admitted since it was emptied; None: nobody keeps them."""

    @property
    def windows(self) -> int:
        """Windows that are kept for services without a limit of their own; never more than `max_services`."""
        return len(self._windows)

    def admit(self, service: str, events: int, now: float) -> Verdict:
        """Count `events` of `service` if all of them fit; otherwise count none of them.

        `now` is in seconds, from any clock that never goes back.
        """
        limit = self._overrides.get(service, self._limit)
        if not limit:
            return Verdict(True, 0, 0, 0.0, self._window_seconds)
        horizon = now - self._window_seconds
        window = self._window_of(service, horizon)
        window.forget(horizon)
        free = limit - window.count
        if events > free:
            wait = window.time_of(events - free) - horizon if events <= limit else float(self._window_seconds)
            return Verdict(False, limit, free, wait, self._window_seconds)
        window.add(events, now)
        if service in self._windows:
            self._windows.move_to_end(service)
        if self.journal is not None:
            self.journal[service, int(now)] += events
        return Verdict(True, limit, free - events, window.entries[0][0] - horizon, self._window_seconds)

    def restore(self, admitted: Iterable[tuple[str, float, int]], now: float) -> None:
        """Count what was admitted before a restart: who, how long ago (the oldest first), how many events."""
        for service, seconds_ago, events in admitted:
            at = now - seconds_ago
            self._window_of(service, at - self._window_seconds).add(events, at)

    def _window_of(self, service: str, horizon: float) -> _Window:
        window = self._named.get(service) or self._windows.get(service)
        if window is None:
            self._reclaim(horizon)
            if len(self._windows) >= self._max_services:
                return self._common
            window = self._windows[service] = _Window()
            self._common.forget(horizon)
            if self._common.entries:
                window.add(self._common.count, self._common.entries[-1][0])
        return window

    def _reclaim(self, horizon: float) -> None:
        """Drop at most two windows that have run empty: a newcomer adds one, so they never pile up."""
        for _ in range(2):
            if not self._windows:
                return
            service, window = next(iter(self._windows.items()))
            if window.entries and window.entries[-1][0] > horizon:
                return
            del self._windows[service]


class SharedRateLimiter:
    """The same promise for all nodes together: the windows are kept in what the nodes share.

    `overrides` gives services a limit of their own; 0 is no limit. Windows end by themselves, so there is no
    bound to how many services have one.
    """

    def __init__(
        self, windows: Windows, limit: int, window_seconds: int, overrides: Mapping[str, int] | None = None
    ) -> None:
        self._windows = windows
        self._limit = limit
        self._window_seconds = window_seconds
        self._overrides = dict(overrides or {})

    async def admit(self, service: str, events: int) -> Verdict:
        """Count `events` of `service` if all of them fit; otherwise count none of them.

        Raises `BackplaneAway` when that cannot be known now: then nothing is said, and nothing is refused.
        """
        limit = self._overrides.get(service, self._limit)
        if not limit:
            return Verdict(True, 0, 0, 0.0, self._window_seconds)
        said = await self._windows.admit(service, events, limit, self._window_seconds)
        return Verdict(said.admitted, limit, said.remaining, said.reset_seconds, self._window_seconds)
