"""Disk: what is counted of a log on disk."""

from courier.metrics.histogram import Histogram

COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
COMMIT_EVENTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


class Disk:
    """The transactions of a node's log on disk, and its file."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        """Of the file, less its free pages."""
        self.seconds = Histogram(COMMIT_SECONDS)
        """How long each transaction took."""
        self.events = Histogram(COMMIT_EVENTS)
        """How many events each has appended, of those that appended any."""
        self.last_seconds = 0.0

    def committed(self, seconds: float, events: int, used_bytes: int) -> None:
        """A transaction has ended."""
        self.bytes, self.last_seconds = used_bytes, seconds
        self.seconds.observe(seconds)
        if events:
            self.events.observe(events)
