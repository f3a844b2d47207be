"""Known: the last position that a node has seen of each channel. Pure: no clock, no trio."""

from collections.abc import Sequence

from courier.schemas.position import UNBORN, Position

EPOCHS_KEPT = 4
"""A log begins a new epoch when it has lost events. It may go back to an earlier one, too."""


class Known:
    """A bounded table. A log that stands below what is in it has lost events.

    Beyond `limit` channels the one of which nothing was seen for the longest time is forgotten.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._positions: dict[str, tuple[Position, ...]] = {}

    def __len__(self) -> int:
        return len(self._positions)

    def of(self, channel: str) -> Sequence[Position]:
        """The furthest that was seen of each epoch, the epoch that was new last at the end."""
        return self._positions.get(channel, ())

    def note(self, channel: str, position: Position) -> None:
        """Remember an event's position; the place before all events says nothing."""
        if not position.offset or position.epoch == UNBORN:
            return
        seen = self._positions.pop(channel, ())
        if not seen or (len(seen) == 1 and seen[0].epoch == position.epoch):
            self._positions[channel] = (max(seen[0], position) if seen else position,)
        else:
            furthest = {one.epoch: one for one in seen}
            furthest[position.epoch] = max(furthest.get(position.epoch, position), position)
            self._positions[channel] = tuple(furthest.values())[-EPOCHS_KEPT:]
        if len(self._positions) > self._limit:
            del self._positions[next(iter(self._positions))]
