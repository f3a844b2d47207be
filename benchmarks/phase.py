"""Phase: what a while of load came to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """What one `drive` came to, from the first event sent to the last one delivered."""

    events: int
    requests: int
    deliveries: int
    bytes: int
    reads: int
    """Of subscribers' sockets; receipts that came between them count as well."""
    seconds: float
    client_seconds: float
    """Processor seconds of the load client."""
    client_waited: float
    """Seconds for which the client was ready to run and another process had its core."""

    @property
    def rate(self) -> float:
        """Deliveries a second."""
        return self.deliveries / self.seconds


@dataclass(frozen=True)
class Storm:
    """What a `storm` came to, from the first connect to the last event that somebody had missed."""

    joins: int
    replayed: int
    joined_ms: list[float]
    """For each join, when its 101 had come."""
    seconds: float
    client_seconds: float
