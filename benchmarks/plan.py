"""Plan: what is to be published, where and when."""

from collections.abc import Sequence
from dataclasses import dataclass

_MILLISECOND = 1_000_000


@dataclass
class Plan:
    """`events` events of `size` bytes, to `channels` in turn; times are nanoseconds of `perf_counter_ns`.

    Without a `rate` every event is due as soon as somebody is free to publish it: a closed loop. With one,
    event n is due n / rate seconds after `start`, whatever became of those before it: an open loop. With a
    `batch` of more than one, so many events leave in one request.
    """

    channels: Sequence[str]
    events: int
    size: int
    rate: float | None
    start: int
    batch: int = 1
    sent: int = 0

    @property
    def done(self) -> bool:
        return self.sent == self.events

    def take(self) -> list[str]:
        """Where the events of the next request go; they count as sent."""
        first, last = self.sent, min(self.sent + self.batch, self.events)
        self.sent = last
        return [self.channels[number % len(self.channels)] for number in range(first, last)]

    def stop(self) -> None:
        """What has been sent is all."""
        self.events = self.sent

    def due(self, now: int) -> int:
        """When the next event is due."""
        return now if self.rate is None else self.start + round(self.sent * 1e9 / self.rate)

    def patience(self, now: int) -> float:
        """For how many seconds to wait for sockets; epoll counts milliseconds, so the last one is spun."""
        if self.rate is None or self.done:
            return 0.1
        left = self.due(now) - now
        return (left - _MILLISECOND) / 1e9 if left > 2 * _MILLISECOND else 0.0
