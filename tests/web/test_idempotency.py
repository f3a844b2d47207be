"""Idempotency keys: a publish that is repeated is in the log once."""

from typing import Any

import pytest

from tests.web.servers import Response, TestServer, a_server, announcement, events


async def publish(
    server: TestServer, event: Any, key: str = "k1", channel: str = "user.u1", service: str = "tests"
) -> Response:
    return await server.publish(channel, event, service=service, Idempotency_Key=key)


async def batch(server: TestServer, items: list[Any], key: str) -> list[Any]:
    body = {"events": [{"channel": channel, "data": event} for channel, event in items]}
    answer = await server.publish("batch", body, Idempotency_Key=key)
    assert answer.status == 200
    results: list[Any] = answer.json["results"]
    return results


async def test_the_same_key_and_event_gets_the_first_receipt_and_is_delivered_once() -> None:
    async with a_server() as server, server.subscribe() as websocket:
        first = (await publish(server, announcement("a"))).json
        again = (await publish(server, announcement("a"))).json
        assert again == first | {"deduplicated": True}
        assert "deduplicated" not in first
        await server.publish("user.u1", announcement("b"))
        assert [event["title"] for event in await events(websocket, 2)] == ["a", "b"]


async def test_another_event_under_the_same_key_is_a_conflict_and_is_not_published() -> None:
    async with a_server() as server, server.subscribe() as websocket:
        await publish(server, announcement("a"))
        answer = await publish(server, announcement("b"))
        assert answer.status == 409
        assert answer.error == {"error": "Idempotency-Key was used for another event of this channel"}
        assert (await publish(server, announcement("b"), "k2")).status == 200
        assert [event["title"] for event in await events(websocket, 2)] == ["a", "b"]


@pytest.mark.parametrize(
    "again",
    [
        {"parameters": {"b": {"y": [{"p": 1, "q": 2}], "x": None}, "a": 1}},
        {"trace_id": None, "timestamp": None},
    ],
    ids=["another order of keys", "null for what was left out"],
)
async def test_an_event_is_the_same_however_it_is_written(again: dict[str, Any]) -> None:
    started = {
        "type": "backtest.started",
        "source": "tests",
        "backtest_id": "b",
        "job_id": "j",
        "user_id": "u1",
        "parameters": {"a": 1, "b": {"x": None, "y": [{"q": 2, "p": 1}]}},
    }
    async with a_server() as server:
        first = (await publish(server, started)).json
        repeat = await publish(server, dict(reversed((started | again).items())))
        assert repeat.json == first | {"deduplicated": True}
        other = started | {"parameters": {"a": 1, "b": {"x": None, "y": [{"q": 1, "p": 2}]}}}
        assert (await publish(server, other)).status == 409


async def test_a_key_is_of_one_service_and_one_channel() -> None:
    async with a_server() as server:
        ids = [
            (await publish(server, announcement("a", source=service), "k1", channel, service)).json["id"]
            for service in ("tests", "others")
            for channel in ("user.u1", "user.u2")
        ]
        assert len(set(ids)) == 4


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\x7f"])
async def test_what_is_no_key_is_400(key: str) -> None:
    async with a_server() as server:
        answer = await publish(server, announcement(), key)
        assert answer.status == 400
        assert answer.error["error"].startswith("Header Idempotency-Key must be")


async def test_an_event_that_was_refused_does_not_use_up_its_key() -> None:
    async with a_server() as server:
        assert (await publish(server, announcement(source="others"))).status == 400
        assert "deduplicated" not in (await publish(server, announcement())).json


async def test_each_event_of_a_batch_has_a_key_of_its_own() -> None:
    async with a_server() as server:
        items = [
            ("user.u1", announcement("a")),
            ("user.u2", announcement("b")),
            ("user.u1", announcement("c")),
        ]
        first = await batch(server, items, "k1")
        again = await batch(server, items, "k1")
        assert again == [receipt | {"deduplicated": True} for receipt in first]
        changed = await batch(server, [*items[:2], ("user.u1", announcement("d"))], "k1")
        assert [result.get("code") for result in changed] == [None, None, 409]
        alone = (await publish(server, announcement("c"), "k1/2")).json
        assert alone == first[2] | {"deduplicated": True}


async def test_keys_are_bounded_and_the_oldest_are_forgotten() -> None:
    async with a_server(max_idempotency_keys=3) as server:
        for number in range(4):
            await publish(server, announcement(), f"k{number}")
        assert "deduplicated" in (await publish(server, announcement(), "k1")).json
        assert "deduplicated" not in (await publish(server, announcement(), "k0")).json
