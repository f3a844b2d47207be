"""A subscriber at a terminal that comes back."""

import re
from itertools import pairwise

import trio

from courier.terminal.subscribe import follow
from courier.web.server import open_server
from tests.web.servers import PATIENCE_SECONDS, TestServer, settings_for, token


async def test_who_follows_comes_back_at_the_slot_that_the_node_gave() -> None:
    told: list[str] = []

    async def subscriber(url: str) -> None:
        async for _ in follow(url, "user.u1", token(), None, told.append):
            raise AssertionError("nothing was published")

    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            async with open_server(settings_for(drain_seconds=400)) as url:
                for _ in range(4):
                    nursery.start_soon(subscriber, url)
                node = TestServer(url)
                while (await node.request("GET", "/health")).json["metrics"]["active_connections"] < 4:
                    await trio.sleep(0.02)
            while sum(sentence.startswith("Closed: 1001") for sentence in told) < 4:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    at_the_end = [sentence for sentence in told if sentence.startswith("Closed: 1001")]
    waits = sorted(float(re.findall(r"coming back in ([\d.]+) s", sentence)[0]) for sentence in at_the_end)
    assert waits[0] == 0
    assert [round(after - before) for before, after in pairwise(waits)] == [100, 100, 100]
