"""Receipt: proof that an event is in its channel's log."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self


class Receipt(dict[str, Any]):
    """What a publish gives: the node's answer as a dict, which is JSON, and typed as attributes."""

    __slots__ = ()

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """The receipt of an answer's JSON; KeyError, TypeError or ValueError when it is none."""
        _ = said["id"], said["channel"], said["event_type"], said["clients_reached"]
        datetime.fromisoformat(said["timestamp"])
        return cls(said)

    @property
    def position(self) -> str:
        """Where the event stands in its channel's log: what subscribers get as its `id`."""
        position: str = self["id"]
        return position

    @property
    def channel(self) -> str:
        """Where it was published."""
        channel: str = self["channel"]
        return channel

    @property
    def event_type(self) -> str:
        """Its type."""
        event_type: str = self["event_type"]
        return event_type

    @property
    def clients_reached(self) -> int:
        """The subscribers that the channel had at that moment."""
        clients_reached: int = self["clients_reached"]
        return clients_reached

    @property
    def timestamp(self) -> datetime:
        """When the event arrived, by Courier's clock; the dict has it as text."""
        return datetime.fromisoformat(self["timestamp"])

    @property
    def deduplicated(self) -> bool:
        """An earlier try had published it: this is that one's receipt."""
        deduplicated: bool = self.get("deduplicated", False)
        return deduplicated

    def __repr__(self) -> str:
        return f"Receipt({super().__repr__()})"
