"""Cancelled at any moment, nothing is left behind: no task, no socket, and nothing that is stuck."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from itertools import product
from types import coroutine
from typing import Any

import anyio
import pytest
import trio
from courier_client import CourierClient
from nodes import Node, token
from usual import client, open_sockets, told

pytestmark = pytest.mark.anyio

Step = Callable[[CourierClient], Awaitable[object]]


async def publish(courier: CourierClient) -> None:
    await courier.publish(*told("t"))


async def publish_many(courier: CourierClient) -> None:
    await courier.publish_many(told(str(number)) for number in range(30))


async def publish_from_tasks(courier: CourierClient) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(publish, courier)


async def subscribe(courier: CourierClient) -> None:
    async with courier.subscribe("global", token=token()) as events:
        await courier.publish(*told("t"))
        await anext(events)


async def subscribe_plainly(courier: CourierClient) -> None:
    async for _ in courier.subscribe("global", since="2026-01-01T00:00:00Z", token=token()):
        break


class Cancelled:
    """Runs an async function, and cancels its scope when it suspends for the `k`th time."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.suspended = 0
        self.scope = anyio.CancelScope()

    async def run(self, function: Callable[[], Awaitable[object]]) -> None:
        with self.scope:
            await self._stepping(function())

    @coroutine
    def _stepping(self, awaitable: Any) -> Generator[Any, Any, Any]:
        """Pass on what the function yields to its event loop, and count."""
        steps = awaitable.__await__()
        try:
            wanted = next(steps)
            while True:
                self.suspended += 1
                if self.suspended == self.k:
                    self.scope.cancel()
                try:
                    sent = yield wanted
                except BaseException as error:
                    wanted = steps.throw(error)
                else:
                    wanted = steps.send(sent)
        except StopIteration as done:
            return done.value


def tasks_of_this_loop(backend: str) -> int:
    if backend == "asyncio":
        return len(asyncio.all_tasks())
    statistics: int = trio.lowlevel.current_statistics().tasks_living
    return statistics


@pytest.mark.parametrize(
    "step",
    [publish, publish_many, publish_from_tasks, subscribe, subscribe_plainly],
    ids=lambda step: step.__name__,
)
async def test_cancelled_at_its_kth_wait_it_leaves_no_task_and_no_socket(
    shared: Node, anyio_backend: str, step: Step
) -> None:
    tasks, sockets = tasks_of_this_loop(anyio_backend), open_sockets()
    k = 0
    while True:
        async with client(shared.url) as courier:
            if k % 2:
                await courier.publish(*told("warm"))
            cancelled = Cancelled(k)
            await cancelled.run(lambda: step(courier))
            assert await courier.publish(*told("after"), timeout=5), "the client is stuck"
        await anyio.wait_all_tasks_blocked()
        assert tasks_of_this_loop(anyio_backend) == tasks
        assert open_sockets() == sockets
        if k and cancelled.suspended < k:
            return
        k += 1


async def test_each_of_many_tasks_may_be_cancelled_and_the_others_get_their_receipts(shared: Node) -> None:
    async with client(shared.url) as courier:
        for moment, victim in product(range(8), (0, 1, 11)):
            receipts: list[object] = []

            async def one(number: int, scope: anyio.CancelScope) -> None:
                with scope:
                    receipts.append(await courier.publish(*told(str(number))))  # noqa: B023

            async with anyio.create_task_group() as tasks:
                scopes = [anyio.CancelScope() for _ in range(12)]
                for number, scope in enumerate(scopes):
                    tasks.start_soon(one, number, scope)
                for _ in range(moment):
                    await anyio.lowlevel.checkpoint()
                scopes[victim].cancel()
            assert len(receipts) >= 11
