"""Room: how many publications of each channel may be on their way to a shared log at once."""

import trio

from courier.backplane.errors import InboxFull
from courier.schemas.channels import ChannelName


class _Place:
    """One channel's room."""

    __slots__ = ("freed", "queue", "taken", "users")

    def __init__(self) -> None:
        self.taken = 0
        self.users = 0
        self.queue = trio.Lock()
        self.freed = trio.Event()


class Room:
    """`size` places for each channel: first come, first served."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._places: dict[ChannelName, _Place] = {}

    @property
    def taken(self) -> int:
        """By how many publications, of all channels."""
        return sum(place.taken for place in self._places.values())

    async def take(self, channel: ChannelName, events: int, by: float) -> None:
        """Wait until `by` (`trio.current_time`) for room, and take it; `InboxFull` when there was none.

        More than the whole room is let in when it is empty: a batch goes in one piece.
        """
        place = self._places.setdefault(channel, _Place())
        place.users += 1
        try:
            if not place.queue.locked() and self._fits(place, events):
                place.taken += events
                return
            with trio.move_on_at(by):
                async with place.queue:
                    while not self._fits(place, events):
                        place.freed = trio.Event()
                        await place.freed.wait()
                    place.taken += events
                    return
            raise InboxFull(
                "too many events of the channel were on their way for as long as a publish may wait"
            )
        finally:
            place.users -= 1
            self._forget(channel, place)

    def take_nowait(self, channel: ChannelName, events: int) -> None:
        """Take room that there is, and that nobody waits for; else `trio.WouldBlock`."""
        place = self._places.get(channel)
        if place is None:
            place = self._places[channel] = _Place()
        if place.queue.locked() or not self._fits(place, events):
            raise trio.WouldBlock
        place.taken += events

    def give_back(self, channel: ChannelName, events: int) -> None:
        place = self._places[channel]
        place.taken -= events
        place.freed.set()
        self._forget(channel, place)

    def _fits(self, place: _Place, events: int) -> bool:
        return place.taken + min(events, self._size) <= self._size

    def _forget(self, channel: ChannelName, place: _Place) -> None:
        if not place.taken and not place.users:
            self._places.pop(channel, None)
