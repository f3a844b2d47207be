"""Wire: what a subscriber writes to, and what holds it."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from courier.schemas.closing import CloseReason

Clock = Callable[[], int]
"""The wall clock, in Unix milliseconds."""
Spawn = Callable[[Callable[[], Awaitable[None]]], None]


class Wire(Protocol):
    """The socket under a subscriber. It never waits, and holds at most the rest of one frame that was cut.

    Whenever it has taken less than it was given, `Subscriber.writable` is called once there is room again.
    When it breaks it takes nothing any more, and its owner calls `Subscriber.close`.
    """

    @property
    def holding(self) -> bool:
        """The rest of a frame waits in it to be written."""

    @property
    def held_bytes(self) -> int:
        """How long that rest is."""

    def write(self, data: bytes) -> int:
        """Write what the socket takes at once; returns how many bytes."""

    def hold(self, rest: bytes) -> None:
        """Write this before anything else: the rest of a frame of which `write` took the beginning."""

    def await_room(self) -> None:
        """Have `Subscriber.writable` called when the socket takes more, once others have had their turn."""


class Corked(Protocol):
    """A wire that gathers what is written to it."""

    def uncork(self) -> None:
        """Write it as one."""


class Holder(Protocol):
    """What holds a subscription, or a connection, and says goodbye when it ends."""

    def end(self, reason: CloseReason, by: float) -> None:
        """It has ended: say why, by the time `by`. A second call only moves that moment."""
