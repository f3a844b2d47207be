"""Reply: the answer that a caller waits for while a task that outlives it asks Redis."""

from collections.abc import Callable
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class Reply(Generic[T]):
    """An answer that is owed: given once, to one who waits or has stopped waiting."""

    __slots__ = ("_error", "_given", "_value", "when_given")

    def __init__(self) -> None:
        self._given = trio.Event()
        self._value: T
        self._error: Exception | None = None
        self.when_given: Callable[[], None] = _nothing
        """Called when the answer is there, whether somebody still waits for it or not."""

    def give(self, value: T) -> None:
        if not self._given.is_set():
            self._value = value
            self._given.set()
            self.when_given()

    def fail(self, error: Exception) -> None:
        """Make the one who waits raise `error`; an answer that was given already stands."""
        if not self._given.is_set():
            self._error = error
            self._given.set()
            self.when_given()

    async def wait(self) -> T:
        await self._given.wait()
        if self._error is not None:
            raise self._error
        return self._value


def _nothing() -> None:
    pass
