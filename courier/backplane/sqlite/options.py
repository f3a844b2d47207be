"""SqliteOptions: what the file holds, and what a receipt means."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from courier.schemas.history import Kept

Fsync = Literal["always", "never"]
"""`always`: what is acknowledged survives the end of the machine; `never`: the end of the process."""


@dataclass(frozen=True, slots=True)
class SqliteOptions:
    """What a node decides of its backplane."""

    folder: Path
    """Made when it is missing, for its owner alone."""
    fsync: Fsync = "always"
    limit_bytes: int = 10 * 1024**3
    """Of the file; then the oldest events of the largest channels go."""
    history_events: int = 10_000
    """Of one channel."""
    history_seconds: float = 3600.0
    history_of_kinds: Mapping[str, Kept] = field(default_factory=dict)
    """Both, for kinds of channels that have their own."""
    inbox_events: int = 1000
    """Publications of one channel that may be on their way at once."""
    idempotency_keys: int = 100_000
    """Remembered for five minutes at most; then the oldest go."""
    window_seconds: int = 60
    """How long what a service has published counts against its rate."""
    wait_seconds: float = 60.0
    """How long another process may still hold the folder."""

    def kept(self, kind: str) -> Kept:
        """What the log of a channel of that kind keeps."""
        return self.history_of_kinds.get(kind) or Kept(self.history_events, self.history_seconds)

    @property
    def file(self) -> Path:
        return self.folder / "courier.db"
