"""Turns: long work in short pieces, so that what one peer sends never holds up the others."""

import time
from collections.abc import Iterator

import trio

TURN_SECONDS = 0.001
"""How long a turn is, and how long work may go on before it has to wait for one: most is done by then."""


class Turns:
    """Gives turns to all the long work of a node, one at a time and in order.

    However much long work there is, all others together wait for one turn of it at a time, and not for one of
    each.
    """

    def __init__(self) -> None:
        self._turn = trio.Lock()

    async def take(self, work: Iterator[None]) -> None:
        """Run `work` to its end; it yields wherever it may be interrupted. Raises what it raises."""
        if not self.begin(work):
            await self.finish(work)

    def begin(self, work: Iterator[None]) -> bool:
        """Run `work` for as long as nobody has to wait for a turn; whether it has ended."""
        return _done(work)

    async def finish(self, work: Iterator[None]) -> None:
        """Run the rest of it, a turn at a time."""
        while True:
            async with self._turn:
                if _done(work):
                    return


def _done(work: Iterator[None]) -> bool:
    """Whether the work has ended; it is left once it has taken a turn's time."""
    until = time.perf_counter() + TURN_SECONDS
    return all(time.perf_counter() < until for _ in work)
