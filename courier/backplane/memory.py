"""The memory backplane: one node, and what it remembers of its retired channels."""

from courier.backplane.origin import Origin
from courier.schemas.position import Position, new_epoch


class MemoryBackplane:
    """A bounded table of where retired channels stopped; beyond `remembered` the longest retired go.

    A channel that is not in it starts a new epoch, and its floor is the latest arrival that was forgotten
    (before that, the node's start): a subscriber that asks for older events is told that some may be gone.
    """

    def __init__(self, started_ms: int, remembered: int) -> None:
        self._floor_ms = started_ms
        self._remembered = remembered
        self._retired: dict[str, Origin] = {}

    async def follow(self, channel: str) -> Origin:
        return self._retired.pop(channel, None) or Origin(Position(new_epoch(), 0), self._floor_ms)

    def unfollow(self, channel: str, origin: Origin) -> None:
        self._retired[channel] = origin
        if len(self._retired) > self._remembered:
            forgotten = self._retired.pop(next(iter(self._retired)))
            self._floor_ms = max(self._floor_ms, forgotten.floor_ms)
