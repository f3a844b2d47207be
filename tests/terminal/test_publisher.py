"""A batch is tried until its fate is known, and is never published twice."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import trio
from trio.testing import MockClock

from courier.terminal.errors import Refused, Unreachable
from courier.terminal.lines import Line
from courier.terminal.publish import Publisher, Result

Answer = httpx.Response | Exception


class Node:
    """A node that answers by a script, and keeps what it was asked."""

    def __init__(self, *answers: Answer | Callable[[list[Any]], Answer]) -> None:
        self.answers = list(answers)
        self.keys: list[str] = []
        self.batches: list[list[Any]] = []
        self.told: list[str] = []

    def handle(self, request: httpx.Request) -> httpx.Response:
        said = json.loads(request.content)
        events = said["events"] if request.url.path == "/publish/batch" else [{"data": said}]
        self.keys.append(request.headers["Idempotency-Key"])
        self.batches.append([event["data"]["n"] for event in events])
        answer = self.answers.pop(0) if self.answers else good
        answer = answer if isinstance(answer, httpx.Response | Exception) else answer(events)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def publish(self, events: int, patience_seconds: float = 60) -> list[Result]:
        waiting = [Line(n, json.dumps({"n": n}).encode(), "shop") for n in range(1, events + 1)]
        results: list[Result] = []
        transport = httpx.MockTransport(self.handle)
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as http:
            publisher = Publisher(http, "global", patience_seconds, self.told.append)
            while waiting:
                some = await publisher.publish(waiting)
                results += some
                waiting = waiting[len(some) :]
        return results


def good(events: list[Any]) -> httpx.Response:
    results = [{"status": "published", "id": f"e-{event['data']['n']}"} for event in events]
    return httpx.Response(200, json={"results": results})


def busy(events: list[Any]) -> httpx.Response:
    full = {"status": "failed", "code": 503, "error": "Channel's inbox is full"}
    return httpx.Response(200, json={"results": [full for _ in events]})


def refusal(status: int, headers: dict[str, str] | None = None, **detail: Any) -> httpx.Response:
    return httpx.Response(status, json={"detail": {"error": "No"} | detail}, headers=headers)


@pytest.mark.parametrize("first", [httpx.ConnectError("gone"), httpx.ReadTimeout("late"), busy, refusal(503)])
async def test_what_may_have_been_published_goes_again_with_the_same_key(
    first: Any, autojump_clock: MockClock
) -> None:
    node = Node(first)
    results = await node.publish(3)
    assert [result.published for result in results] == [True] * 3
    assert node.batches == [[1, 2, 3]] * 2
    assert node.keys[0] == node.keys[1]


async def test_two_batches_have_two_keys() -> None:
    node = Node()
    await node.publish(1001)
    assert [len(batch) for batch in node.batches] == [1000, 1]
    assert len(set(node.keys)) == 2


@pytest.mark.parametrize("status", [429, 503])
async def test_it_waits_as_long_as_the_node_says_and_tells_so(status: int, autojump_clock: MockClock) -> None:
    node = Node(refusal(status, {"Retry-After": "7"}, limit=100))
    began = trio.current_time()
    await node.publish(1)
    assert trio.current_time() - began == pytest.approx(7)
    assert node.told == [f"{status} No (limit 100); trying again in 7 s"]


async def test_its_patience_has_an_end(autojump_clock: MockClock) -> None:
    node = Node(*[httpx.ConnectError("gone")] * 100)
    began = trio.current_time()
    with pytest.raises(Unreachable, match="No node at http://node: gone"):
        await node.publish(1, patience_seconds=20)
    assert 15 <= trio.current_time() - began <= 20


async def test_a_batch_that_is_never_taken_goes_in_parts_and_in_order() -> None:
    def at_most_30(events: list[Any]) -> httpx.Response:
        return refusal(413, limit=30) if len(events) > 30 else good(events)

    node = Node(*[at_most_30] * 20)
    results = await node.publish(100)
    assert [result.line for result in results if result.published] == list(range(1, 101))
    assert [len(batch) for batch in node.batches] == [100, 50, 25, 25, 25, 25]


async def test_one_event_that_is_too_large_fails_alone() -> None:
    [result] = await Node(refusal(413, limit_bytes=10)).publish(1)
    assert result.answer == {"status": "failed", "code": 413, "error": "No", "limit_bytes": 10}
    assert str(result) == "line 1: 413 No (limit_bytes 10)"


@pytest.mark.parametrize("status", [401, 404, 415])
async def test_what_is_wrong_with_all_of_it_ends_it_at_once(status: int) -> None:
    node = Node(refusal(status))
    with pytest.raises(Refused, match=f"{status} No"):
        await node.publish(5)
    assert len(node.batches) == 1


@pytest.mark.parametrize("status", [400, 403])
async def test_a_refusal_of_some_events_is_theirs_and_those_behind_them_go_on(status: int) -> None:
    def but_7(events: list[Any]) -> httpx.Response:
        return refusal(status) if any(event["data"]["n"] == 7 for event in events) else good(events)

    waiting = [Line(n, json.dumps({"n": n}).encode(), "shop" if n != 7 else "shed") for n in range(1, 11)]
    node = Node(*[but_7] * 50)
    results: list[Result] = []
    async with httpx.AsyncClient(transport=httpx.MockTransport(node.handle), base_url="http://node") as http:
        publisher = Publisher(http, "global", 0, node.told.append)
        while waiting:
            results += (some := await publisher.publish(waiting))
            waiting = waiting[len(some) :]
    assert [result.line for result in results] == list(range(1, 11))
    assert [result.line for result in results if not result.published] == [7]
    assert str(results[6]) == f"line 7: {status} No"


async def test_one_event_that_a_batch_cannot_hold_harms_no_other_of_it() -> None:
    def but_700(events: list[Any]) -> httpx.Response:
        return refusal(400) if any(event["data"]["n"] == 700 for event in events) else good(events)

    node = Node(*[but_700] * 100)
    results = await node.publish(1000)
    assert [result.line for result in results] == list(range(1, 1001))
    assert [result.line for result in results if not result.published] == [700]
    assert len(node.batches) < 60


async def test_an_answer_that_is_none_of_couriers_is_told_as_such() -> None:
    with pytest.raises(Refused, match="404 the answer is not one of Courier's"):
        await Node(httpx.Response(404, text="<html>")).publish(1)
