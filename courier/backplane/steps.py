"""Steps: work that goes on by itself until it must wait, so that what need not wait needs no task.

It is a generator that yields whatever has to be waited for, and gets the result of that back. Work that finds
all that it needs never yields: it is one plain call.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from time import perf_counter
from typing import Any, TypeAlias, TypeVar

import trio

from courier.backplane.reply import Reply

TURN_SECONDS = 0.001
"""How long works that were answered go on, one after the other, before other tasks get a turn."""

T = TypeVar("T")

Wait: TypeAlias = Reply[Any] | Callable[[], Awaitable[Any]]
"""What has to be waited for: an answer that is owed, or something that a task must do."""

Steps: TypeAlias = Generator[Wait, Any, T]


async def walk(steps: Steps[T]) -> T:
    """Take all the steps, and wait where they do. Raises what they raise; cancelled, it ends them."""
    try:
        wait = next(steps)
        while True:
            try:
                found = await (wait.wait() if isinstance(wait, Reply) else wait())
            except Exception as error:  # noqa: BLE001 - the steps say what becomes of it
                wait = steps.throw(error)
            else:
                wait = steps.send(found)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        steps.close()


class Walker:
    """Takes the steps of many works, for callers that cannot wait: one task for all that wait for an answer,
    and one for each that waits for anything else, as long as it does.

    An answer is given in the middle of a channel's step. What follows it is therefore not done there, but in
    `run`: it can neither crash the channel nor enter it again.
    """

    def __init__(self, spawn: Callable[..., object]) -> None:
        self.spawn = spawn
        self._answered: deque[_Waiting] = deque()
        self._bell = trio.lowlevel.ParkingLot()

    async def run(self) -> None:
        """Go on, for ever, with the works whose answers have been given."""
        while True:
            if not self._answered:
                await self._bell.park()
            until = perf_counter() + TURN_SECONDS
            while self._answered:
                self._answered.popleft().hear()
                if perf_counter() >= until:
                    break
            if self._answered:
                await trio.lowlevel.checkpoint()

    def start(self, steps: Steps[T], done: Callable[[T | Exception], None]) -> T | None:
        """Take the steps up to the first wait. Returns their result when there is none, and raises what they
        raise.

        Otherwise returns None, and `done` is called later, once, with the result or with what they raised;
        never when the node ends before. It must not raise.
        """
        try:
            wait = next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        _Waiting(self, steps, done).wait(wait)
        return None

    def later(self, waiting: "_Waiting") -> None:
        """Go on with a work whose answer has been given."""
        self._answered.append(waiting)
        self._bell.unpark()


class _Waiting:
    """A work that has begun, and waits."""

    __slots__ = ("_done", "_reply", "_steps", "_walker")

    def __init__(self, walker: Walker, steps: Steps[Any], done: Callable[[Any], None]) -> None:
        self._walker = walker
        self._steps = steps
        self._done = done
        self._reply: Reply[Any] | None = None

    def wait(self, wait: Wait) -> None:
        if not isinstance(wait, Reply):
            self._walker.spawn(self._do, wait)
            return
        self._reply = wait
        if wait.given:
            self._walker.later(self)
        else:
            wait.then(partial(self._walker.later, self))

    def hear(self) -> None:
        """Go on with the answer."""
        assert self._reply is not None
        try:
            found = self._reply.result()
        except Exception as error:  # noqa: BLE001 - the steps say what becomes of it
            wait = self._go_on(self._steps.throw, error)
        else:
            wait = self._go_on(self._steps.send, found)
        if wait is not None:
            self.wait(wait)

    async def _do(self, wait: Wait | None) -> None:
        """Await this, and what the steps want next, up to an answer that is owed."""
        while wait is not None and not isinstance(wait, Reply):
            try:
                found = await wait()
            except Exception as error:  # noqa: BLE001 - as above
                wait = self._go_on(self._steps.throw, error)
            except trio.Cancelled:
                self._steps.close()
                raise
            else:
                wait = self._go_on(self._steps.send, found)
        if wait is not None:
            self.wait(wait)

    def _go_on(self, step: Callable[[Any], Wait], came: Any) -> Wait | None:
        """Take the steps up to the next wait; when there is none, tell their result."""
        try:
            return step(came)
        except StopIteration as end:
            self._done(end.value)
        except Exception as error:  # noqa: BLE001 - it is for `done`
            self._done(error)
        return None
