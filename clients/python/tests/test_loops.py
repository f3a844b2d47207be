"""One client for many event loops, as where each job has an `asyncio.run` of its own."""

import asyncio
import gc
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import anyio
import pytest
from courier_client import CourierClient, Receipt
from nodes import Node, service_token, token
from usual import next_event, open_sockets, told


@pytest.mark.parametrize("backends", [["asyncio"] * 4, ["trio"] * 4, ["asyncio", "trio"] * 2])
def test_a_client_publishes_in_one_loop_after_the_other_and_leaves_no_socket(
    shared: Node, backends: list[str]
) -> None:
    before = open_sockets()
    courier = CourierClient(shared.url, "tests", token=service_token())

    async def job() -> list[Receipt]:
        return [await courier.publish(*told(str(number))) for number in range(3)]

    receipts = [receipt for backend in backends for receipt in anyio.run(job, backend=backend)]
    assert len({receipt.position for receipt in receipts}) == 3 * len(backends)
    assert open_sockets() <= before
    assert not courier._publishers._by_loop


def test_loops_that_are_closed_without_a_word_leave_no_socket(shared: Node) -> None:
    before = open_sockets()
    courier = CourierClient(shared.url, "tests", token=service_token())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # asyncio's, for the transport that nobody closed
        for _ in range(5):
            loop = asyncio.new_event_loop()
            assert loop.run_until_complete(courier.publish(*told("t")))
            loop.close()
        asyncio.run(courier.publish(*told("t")))
        del loop
        gc.collect()
    assert open_sockets() <= before
    assert not courier._publishers._by_loop


def test_loops_in_threads_use_one_client_at_once(shared: Node) -> None:
    courier = CourierClient(shared.url, "tests", token=service_token())

    async def job(number: int) -> list[Receipt]:
        return [await courier.publish(*told(f"{number} {turn}")) for turn in range(20)]

    with ThreadPoolExecutor(4) as threads:
        jobs = [
            threads.submit(partial(anyio.run, job, number, backend=("asyncio", "trio")[number % 2]))
            for number in range(8)
        ]
    assert len({receipt.position for one in jobs for receipt in one.result()}) == 160


@pytest.mark.anyio
async def test_close_ends_what_its_loop_has_open_and_may_be_called_twice(shared: Node) -> None:
    before = open_sockets()
    courier = CourierClient(shared.url, "tests", token=service_token())
    async with courier.subscribe("user.u1", token=token()) as events:
        receipt = await courier.publish(*told("t", "user.u1"))
        assert (await next_event(events)).id == receipt.position
        await courier.close()
        assert [event async for event in events] == []
    await courier.close()
    await anyio.sleep(0)  # asyncio closes a transport in the loop's next turn
    assert open_sockets() <= before
