"""A node that is killed while it is published to and subscribed to."""

import anyio
import pytest
from courier_client import CourierClient, Receipt
from nodes import Node, node, token
from usual import client, titles, told

from tests.backplane.redis_servers import needs_redis, redis_server

pytestmark = [pytest.mark.anyio, needs_redis, pytest.mark.timeout(90)]

EVENTS = 10_000
TASKS = 20
CHANNEL = "backtest.killed"


async def test_10_000_events_through_a_node_that_is_killed_three_times_come_once_and_in_order() -> None:
    with redis_server() as redis, node(redis_url=redis.url, history_events=100_000) as self:
        receipts: list[Receipt] = []
        async with client(self.url) as courier, courier.subscribe(CHANNEL, token=token()) as events:
            async with anyio.create_task_group() as tasks:
                for task in range(TASKS):
                    tasks.start_soon(write, courier, task, receipts)
                tasks.start_soon(kill, self, receipts)
                with anyio.fail_after(80):
                    got = await titles(events, EVENTS)
        assert len(set(got)) == EVENTS, "an event came twice"
        for task in range(TASKS):
            mine = [title for title in got if title.startswith(f"{task} ")]
            assert mine == [f"{task} {number}" for number in range(EVENTS // TASKS)]
        offsets = [int(receipt.position.partition("-")[2]) for receipt in receipts]
        assert sorted(offsets) == list(range(1, EVENTS + 1))


async def write(courier: CourierClient, task: int, receipts: list[Receipt]) -> None:
    """Publish a part, one after the other, and each tenth by itself."""
    numbers = iter(range(EVENTS // TASKS))
    for number in numbers:
        if number % 10 == 0:
            receipts.append(await courier.publish(*told(f"{task} {number}", CHANNEL)))
        else:
            rest = [told(f"{task} {one}", CHANNEL) for one in [number, *(next(numbers) for _ in range(8))]]
            receipts += await courier.publish_many(rest)


async def kill(self: Node, receipts: list[Receipt]) -> None:
    """SIGKILL at a quarter, at half and at three quarters."""
    for share in (1, 2, 3):
        while len(receipts) < EVENTS * share // 4:
            await anyio.sleep(0.001)
        self.kill()
        await anyio.to_thread.run_sync(self.start)
