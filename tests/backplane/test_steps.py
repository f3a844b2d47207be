"""Steps: what is waited for comes back as a result or an error, and what waits for nothing needs no task."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from courier.backplane.reply import Reply
from courier.backplane.steps import Steps, Wait, Walker, walk


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


# Without a task


@asynccontextmanager
async def a_walker() -> AsyncIterator[Walker]:
    async with trio.open_nursery() as nursery:
        walker = Walker(nursery.start_soon)
        nursery.start_soon(walker.run)
        yield walker
        nursery.cancel_scope.cancel()


def tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


@pytest.mark.parametrize(("waits", "result"), CASES)
async def test_a_walker_takes_all_of_them_and_tells_later_what_had_to_be_waited_for(
    waits: tuple[Wait, ...], result: int
) -> None:
    told: list[int | Exception] = []
    async with a_walker() as walker:
        at_once = walker.start(adding(*waits), told.append)
        assert not told
        await wait_all_tasks_blocked()
        assert (at_once, told) == ((None, [result]) if waits else (result, []))


async def test_what_the_steps_raise_is_raised_at_once_and_told_later() -> None:
    def broken(*waits: Wait) -> Steps[int]:
        for wait in waits:
            assert (yield wait) == 1
        raise ZeroDivisionError

    told: list[int | Exception] = []
    async with a_walker() as walker:
        with pytest.raises(ZeroDivisionError):
            walker.start(broken(), told.append)
        walker.start(broken(later(1)), told.append)
        walker.start(broken(owed(1)), told.append)
        await wait_all_tasks_blocked()
    assert [type(error) for error in told] == [ZeroDivisionError] * 2


async def test_works_that_wait_for_answers_need_no_task_and_go_on_outside_of_who_gives_them() -> None:
    told: list[int | Exception] = []
    replies: list[Reply[int]] = [Reply() for _ in range(100)]
    async with a_walker() as walker:
        before = tasks()
        for reply in replies:
            assert walker.start(adding(reply, reply), told.append) is None
        await wait_all_tasks_blocked()
        assert tasks() == before
        for number, reply in enumerate(replies):
            reply.give(number)
        assert not told
        await wait_all_tasks_blocked()
    assert told == [2 * number for number in range(100)]


async def test_others_get_turns_while_a_walker_goes_on_with_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("courier.backplane.steps.TURN_SECONDS", 0.0)
    told: list[Any] = []
    seen = set()
    async with a_walker() as walker:
        for number in range(50):
            walker.start(adding(owed(number)), told.append)
        while len(told) < 50:
            seen.add(len(told))
            await trio.lowlevel.checkpoint()
    assert len(seen) >= 20


async def test_works_end_with_their_walker() -> None:
    closed = False

    def steps() -> Steps[None]:
        nonlocal closed
        try:
            yield trio.sleep_forever
        finally:
            closed = True

    told: list[Exception | None] = []
    async with a_walker() as walker:
        walker.start(steps(), told.append)
        await wait_all_tasks_blocked()
    assert closed
    assert not told
