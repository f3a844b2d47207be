"""Backoff: how long to wait before the next try."""

import random
from collections.abc import Callable
from dataclasses import dataclass

_MOST_DOUBLINGS = 30


@dataclass(frozen=True)
class Backoff:
    """Full jitter (Exponential Backoff And Jitter, AWS Architecture Blog, 2015): a random moment between now
    and a limit that doubles with each try, so that those who failed together do not come back together."""

    base_seconds: float
    cap_seconds: float
    random: Callable[[], float] = random.random
    """Gives a number from 0 to 1."""

    def seconds(self, attempt: int) -> float:
        """The wait after the failure of try number `attempt`, counted from 0."""
        limit: float = self.base_seconds * 2 ** min(attempt, _MOST_DOUBLINGS)
        return self.random() * min(self.cap_seconds, limit)
