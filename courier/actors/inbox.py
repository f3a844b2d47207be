"""Inbox: the one way to a channel. Bounded for events; whoever leaves always gets in."""

import math
from contextlib import suppress

import trio

from courier.actors.errors import ChannelFailed
from courier.actors.messages import Deliver, Message


class Inbox:
    """Messages for one channel, first in, first out.

    Events need room, taken with `reserve` before they are put in and given back when the channel takes
    them out. Joins are as many as the node has connections, so they need none; a leave must never wait.
    """

    __slots__ = ("_freed", "_held", "_messages", "_queue", "_room", "_sender", "_size", "closed")

    def __init__(self, size_events: int) -> None:
        self._size = self._room = size_events
        self._sender, self._messages = trio.open_memory_channel[Message](math.inf)
        self._queue = trio.Lock()
        self._freed = trio.Event()
        self._held = 0
        """Messages put in and not taken yet. Trio's own count leaves out one that was handed to a task which
        has not run since; a channel that looked idle then would be retired with a join in its hand."""
        self.closed = False

    def __len__(self) -> int:
        return self._held

    @property
    def idle(self) -> bool:
        """Nobody has put anything in, or has taken room, or waits for room, to do so."""
        return self._room == self._size and not self._queue.locked() and len(self) == 0

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
        self._sender.send_nowait(message)
        self._held += 1

    async def take(self) -> Message:
        """Wait for a message; raises `trio.EndOfChannel` when the inbox is closed and empty."""
        return self._make_room(await self._messages.receive())

    def take_nowait(self) -> Message | None:
        """The next message, or None when there is none at the moment."""
        try:
            return self._make_room(self._messages.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            return None

    def close(self) -> None:
        """Let nothing more in. What is in it can still be taken."""
        self.closed = True
        self._sender.close()
        self._freed.set()

    def _make_room(self, message: Message) -> Message:
        self._held -= 1
        if isinstance(message, Deliver):
            self._room += len(message.events)
            self._freed.set()
        return message
