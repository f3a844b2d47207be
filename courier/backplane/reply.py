"""Reply: the answer that somebody waits for while another task sees to it."""

from collections.abc import Callable
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class Reply(Generic[T]):
    """An answer that is owed: given once, to one who waits or has stopped waiting."""

    __slots__ = ("_error", "_then", "_value", "_waiting", "given")

    def __init__(self) -> None:
        self.given = False
        self._then: tuple[Callable[[], None], ...] = ()
        self._waiting: trio.Event | None = None
        self._value: T
        self._error: Exception | None = None

    def give(self, value: T) -> None:
        if not self.given:
            self._value = value
            self._settle()

    def fail(self, error: Exception) -> None:
        """Make the one who waits raise `error`; an answer that was given already stands."""
        if not self.given:
            self._error = error
            self._settle()

    def then(self, call: Callable[[], None]) -> None:
        """Have it called when the answer is there, whether somebody still waits for it or not."""
        self._then = (*self._then, call)

    async def wait(self) -> T:
        """The answer; without a pause when it has been given."""
        if not self.given:
            self._waiting = trio.Event()
            await self._waiting.wait()
        return self.result()

    def result(self) -> T:
        """The answer that was given; raises what it failed with."""
        if self._error is not None:
            raise self._error
        return self._value

    def _settle(self) -> None:
        self.given = True
        if self._waiting is not None:
            self._waiting.set()
        calls, self._then = self._then, ()  # which may refer to this: nothing waits for the garbage collector
        for call in calls:
            call()
