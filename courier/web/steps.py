"""Steps: work that goes on by itself until it must wait, so that what need not wait needs no task.

It is a generator that yields whatever has to be waited for, and gets the result of that back. Work that finds
all that it needs never yields: it is one plain call, whoever makes it.
"""

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeAlias, TypeVar

from courier.backplane.reply import Reply

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
