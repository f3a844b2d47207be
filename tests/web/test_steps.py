"""Steps: what is waited for comes back as a result or an error, and what waits for nothing needs no task."""

from collections.abc import Awaitable, Callable

import pytest
import trio

from courier.backplane.reply import Reply
from courier.web.steps import Steps, Wait, walk


def adding(*waits: Wait) -> Steps[int]:
    """The sum of what is waited for; 1000 for each wait that fails."""
    total = 0
    for wait in waits:
        try:
            total += yield wait
        except ValueError:
            total += 1000
    return total


def later(value: int) -> Callable[[], Awaitable[int]]:
    async def wait() -> int:
        await trio.lowlevel.checkpoint()
        return value

    return wait


async def failing() -> int:
    raise ValueError


def owed(value: int | Exception) -> Reply[int]:
    reply: Reply[int] = Reply()
    if isinstance(value, Exception):
        reply.fail(value)
    else:
        reply.give(value)
    return reply


CASES = [
    pytest.param((), 0, id="nothing"),
    pytest.param((later(1), later(2)), 3, id="tasks"),
    pytest.param((owed(1), later(2), owed(4)), 7, id="answers"),
    pytest.param((failing, later(1), owed(ValueError())), 2001, id="failures"),
]


@pytest.mark.parametrize(("waits", "result"), CASES)
async def test_a_task_walks_through_all_of_them(waits: tuple[Wait, ...], result: int) -> None:
    assert await walk(adding(*waits)) == result


def test_steps_that_wait_for_nothing_are_one_plain_call() -> None:
    with pytest.raises(StopIteration) as end:
        next(adding())
    assert end.value.value == 0


async def test_what_the_steps_raise_is_raised_by_whoever_takes_them() -> None:
    def broken(*waits: Wait) -> Steps[int]:
        for wait in waits:
            assert (yield wait) == 1
        raise ZeroDivisionError

    for waits in ((), (later(1),)):
        with pytest.raises(ZeroDivisionError):
            await walk(broken(*waits))


async def test_a_task_that_is_cancelled_ends_the_steps() -> None:
    closed = False

    def steps() -> Steps[None]:
        nonlocal closed
        try:
            yield trio.sleep_forever
        finally:
            closed = True

    with trio.move_on_after(0):
        await walk(steps())
    assert closed
