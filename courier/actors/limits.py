"""Limits: how large the things of a node may grow."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from courier.schemas.history import Kept


@dataclass(frozen=True, slots=True)
class Limits:
    """Every buffer of the actors, and what happens when it is full."""

    history_events: int = 10_000
    """Entries a channel's log keeps; then the oldest go."""
    history_seconds: float = 3600
    """How long an entry is kept."""
    history_of_kinds: Mapping[str, Kept] = field(default_factory=dict)
    """Both, for kinds of channels that have their own."""
    history_bytes: int = 256 * 1024 * 1024
    """Bytes that all logs keep together; then the appending channel's oldest go, and the largest log's."""
    inbox_events: int = 1000
    """Events that wait in one channel's inbox; then publishers wait."""
    connections: int = 20_000
    """Those of the node; then `NodeFull`."""
    connections_per_user: int = 100
    """Those of one user; then `NodeFull`. 0: as many as the node may have."""
    subscriptions: int = 200_000
    """Those of all connections; then `NodeFull`."""
    subscriptions_per_user: int = 1000
    """Those of one user; then `NodeFull`. 0: as many as the node may have."""
    returns_a_second: int = 500
    """Subscribers that come back after a drain, spread over the time that the drain may take at the most."""
    idempotency_keys: int = 100_000
    """Keys that are remembered, for five minutes at most; then the oldest go."""
    channels: int = 100_000
    """Channels of the node; then `TooManyChannels`. As many retired ones are remembered."""

    def kept(self, kind: str) -> Kept:
        """What the log of a channel of that kind keeps."""
        return self.history_of_kinds.get(kind) or Kept(self.history_events, self.history_seconds)
