"""RedisOptions: how much the shared logs hold, and how long Redis may take."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from courier.schemas.history import Kept


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """What a node decides of its backplane."""

    history_events: int = 10_000
    """Of one channel; a stream is trimmed by the block, so a few more may be there."""
    history_seconds: float = 3600.0
    history_of_kinds: Mapping[str, Kept] = field(default_factory=dict)
    """Both, for kinds of channels that have their own."""
    history_bytes: int = 256 * 1024 * 1024
    """Of the events of one channel."""
    channels: int = 100_000
    """Of so many channels it is remembered how far their logs were seen to go."""
    remembered_seconds: float = 7 * 86_400.0
    """How much longer than its events the position of a quiet channel is kept."""
    inbox_events: int = 1000
    """Publications of one channel that may be on their way at once."""
    connect_seconds: float = 1.0
    answer_seconds: float = 0.9
    """After so long without an answer Redis is away: within a second, as the backplane promises."""
    ping_seconds: float = 0.4
    """How long a connection is left without traffic before it is asked whether it still is one."""
    look_again_seconds: float = 40.0
    """How often every followed channel is compared with its shared log, though nothing seems missing."""

    def kept(self, kind: str) -> Kept:
        """What the log of a channel of that kind keeps."""
        return self.history_of_kinds.get(kind) or Kept(self.history_events, self.history_seconds)

    def remembered_ms(self, kind: str) -> int:
        """How long the position of a quiet channel of that kind is kept after its last event."""
        return self.kept(kind).milliseconds + round(self.remembered_seconds * 1000)
