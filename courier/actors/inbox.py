"""Inbox: the one way to a channel. Bounded for events; a `Leave` always gets in."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress

import trio

from courier.actors.errors import ChannelFailed
from courier.actors.messages import Arrive, Deliver, Message

AtOnce = Callable[[Message], bool]
"""Handles a message in one step while its channel sleeps; False when the channel itself is to handle it."""


class Inbox:
    """Messages for one channel, first in, first out.

    Events need room, taken with `reserve` before they are put in and given back when the channel takes
    them out. Joins are as many as the node has connections, so they need none; a leave must never wait.

    A channel that sleeps, with nothing before it, need not be woken for what is one step: `put` takes that
    step there and then, and the two trips through the scheduler, there and back, are saved. What the step
    raises is still the channel's crash, and never the sender's.
    """

    __slots__ = ("_at_once", "_error", "_freed", "_messages", "_queue", "_room", "_size", "_wake", "closed")

    def __init__(self, size_events: int) -> None:
        self._size = self._room = size_events
        self._messages = deque[Message]()
        self._wake = trio.Event()
        self._at_once: AtOnce | None = None
        self._error: Exception | None = None
        self._queue = trio.Lock()
        self._freed = trio.Event()
        self.closed = False

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def idle(self) -> bool:
        """Nobody has put anything in, or has taken room, or waits for room, to do so."""
        return (
            self._room == self._size
            and not self._queue.locked()
            and not self._messages
            and self._error is None
        )

    def reserve_nowait(self, events: int) -> None:
        """Take room for so many events; raises `trio.WouldBlock` when there is none.

        More than the whole inbox holds is let in when it is empty: a batch is one message.
        """
        if self.closed:
            raise ChannelFailed
        if self._queue.locked() or self._room < min(events, self._size):
            raise trio.WouldBlock
        self._room -= events

    async def reserve(self, events: int) -> None:
        """Wait, first come first served, until there is room, and take it."""
        with suppress(trio.WouldBlock):
            self.reserve_nowait(events)
            return
        async with self._queue:
            while self._room < min(events, self._size) and not self.closed:
                self._freed = trio.Event()
                await self._freed.wait()
            if self.closed:
                raise ChannelFailed
            self._room -= events

    def put(self, message: Message) -> None:
        """Put a message in; a closed inbox raises `ChannelFailed`."""
        if self.closed:
            raise ChannelFailed
        if self._at_once is not None and not self._messages:
            try:
                if self._at_once(message):
                    self._make_room(message)
                    return
            except Exception as error:  # noqa: BLE001 - raised in the channel's own task
                self._make_room(message)
                self.crash(error)
                return
        self._messages.append(message)
        self._wake.set()

    def wake(self) -> None:
        """Let the channel take a turn: a step taken at once has left something to do."""
        self._wake.set()

    @property
    def asleep(self) -> bool:
        """The channel waits for a message, and there is none."""
        return self._at_once is not None and not self._messages and self._error is None

    def crash(self, error: Exception) -> None:
        """Make `take` raise what a step raised that was taken in the place of the sleeping channel."""
        self._error, self._at_once = error, None
        self._wake.set()

    async def take(self, at_once: AtOnce | None = None) -> Message | None:
        """Wait for a message, and until there is one offer what comes to `at_once`.

        None when the channel was woken for something else. Raises what a step taken at once raised, and
        `trio.EndOfChannel` when the inbox is closed and empty.
        """
        if not self._messages and not self.closed:
            self._wake = trio.Event()
            self._at_once = at_once
            try:
                await self._wake.wait()
            finally:
                self._at_once = None
        else:
            await trio.lowlevel.checkpoint()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        message = self.take_nowait()
        if message is None and self.closed:
            raise trio.EndOfChannel
        return message

    def take_nowait(self) -> Message | None:
        """The next message, or None when there is none at the moment."""
        return self._make_room(self._messages.popleft()) if self._messages else None

    def close(self) -> None:
        """Let nothing more in. What is in it can still be taken."""
        self.closed = True
        self._wake.set()
        self._freed.set()

    def _make_room(self, message: Message) -> Message:
        if isinstance(message, (Deliver, Arrive)):  # a union would be made anew each time
            self._room += message.events
            self._freed.set()
        return message
