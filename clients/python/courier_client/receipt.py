"""Receipt: proof that an event is in its channel's log."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a publish gives."""

    position: str
    """Where the event stands in its channel's log: what subscribers get as its `id`."""
    channel: str
    event_type: str
    clients_reached: int
    """The subscribers that the channel had at that moment."""
    timestamp: datetime
    """When the event arrived, by Courier's clock."""
    deduplicated: bool
    """An earlier try had published it: this is that one's receipt."""

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """The receipt of an answer's JSON; KeyError, TypeError or ValueError when it is none."""
        return cls(
            said["id"],
            said["channel"],
            said["event_type"],
            said["clients_reached"],
            datetime.fromisoformat(said["timestamp"]),
            said.get("deduplicated", False),
        )
