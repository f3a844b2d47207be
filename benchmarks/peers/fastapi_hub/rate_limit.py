"""RateLimiter: an exact sliding window for each service, in memory."""

from collections import defaultdict, deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a publish may pass, and what its answer's headers say."""

    admitted: bool
    remaining: int
    reset_seconds: float


class RateLimiter:
    """At most `limit` publishes of a service within any `window_seconds`."""

    def __init__(self, limit: int, window_seconds: float) -> None:
        self.limit = limit
        self._window_seconds = window_seconds
        self._admitted: defaultdict[str, deque[float]] = defaultdict(deque)

    def admit(self, service: str, now: float) -> Verdict:
        admitted = self._admitted[service]
        horizon = now - self._window_seconds
        while admitted and admitted[0] <= horizon:
            admitted.popleft()
        passes = len(admitted) < self.limit
        if passes:
            admitted.append(now)
        return Verdict(passes, self.limit - len(admitted), admitted[0] - horizon if admitted else 0.0)
