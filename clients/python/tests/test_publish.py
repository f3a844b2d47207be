"""Publishing to a real node."""

import json
import pickle
from datetime import datetime
from typing import Any

import anyio
import pytest
from courier_client import (
    ClientClosed,
    InvalidEvent,
    NotAllPublished,
    Receipt,
    Refused,
    TokenFailed,
    Unauthorized,
    Unsendable,
)
from fakes import proxy_before
from nodes import Node, service_token, token
from usual import client, next_event, read, told

pytestmark = pytest.mark.anyio


def nested(levels: int) -> list[Any]:
    deep: list[Any] = []
    for _ in range(levels):
        deep = [deep]
    return deep


async def test_a_receipt_says_where_the_event_stands_and_who_it_reached(shared: Node) -> None:
    async with client(shared.url) as courier, courier.subscribe("user.u1", token=token()) as events:
        receipt = await courier.publish(*told("hello", "user.u1"), trace_id="trace-1")
        event = await next_event(events)
    assert (event.id, event.channel, event.trace_id) == (receipt.position, "user.u1", "trace-1")
    assert (event.type, event.source, event.data) == ("system.announcement", "tests", told("hello")[2])
    assert receipt.clients_reached == 1
    assert receipt.event_type == "system.announcement"
    assert not receipt.deduplicated
    assert receipt.timestamp.tzinfo is not None


async def test_a_receipt_is_the_nodes_answer_as_a_dict_too(shared: Node) -> None:
    async with client(shared.url) as courier:
        receipt = await courier.publish(*told("hello"))
    as_dict = {
        "status": "published",
        "channel": "global",
        "event_type": "system.announcement",
        "clients_reached": receipt.clients_reached,
        "timestamp": receipt["timestamp"],
        "id": receipt.position,
    }
    assert receipt == as_dict == dict(receipt) == json.loads(json.dumps(receipt))
    assert datetime.fromisoformat(receipt["timestamp"]) == receipt.timestamp
    assert repr(receipt).startswith("Receipt({'status': 'published'")
    assert pickle.loads(pickle.dumps(receipt)) == receipt


async def test_ids_of_identity_providers_stay_as_they_are_alone_in_batches_and_in_subscriptions(
    shared: Node,
) -> None:
    user = "auth0|urn:acme:7+b@example~"
    channel = f"user.{user}"
    async with client(shared.url) as courier, courier.subscribe(channel, token=token(user)) as events:
        alone = await courier.publish(*told("alone", channel))
        together = await courier.publish_many([told("a", channel), told("b", channel)])
        got = [await next_event(events) for _ in range(3)]
    assert [receipt.channel for receipt in (alone, *together)] == [channel] * 3
    assert [(event.channel, event.data["title"]) for event in got] == [
        (channel, one) for one in ("alone", "a", "b")
    ]


async def test_what_many_tasks_publish_at_once_travels_in_few_requests(shared: Node) -> None:
    async with proxy_before(shared.port) as proxy, client(proxy.url) as courier:
        began = proxy.requests
        async with anyio.create_task_group() as tasks:
            for number in range(500):
                tasks.start_soon(courier.publish, *told(str(number)))
    assert 1 <= proxy.requests - began <= 5


async def test_those_who_got_their_receipts_together_publish_together_again(shared: Node) -> None:
    async with proxy_before(shared.port) as proxy, client(proxy.url) as courier:

        async def write() -> None:
            for number in range(10):
                await courier.publish(*told(str(number)))

        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(write)
    assert 10 <= proxy.requests <= 11


async def test_a_publish_alone_is_sent_at_once_as_a_single_event(shared: Node) -> None:
    async with proxy_before(shared.port) as proxy, client(proxy.url) as courier:
        for number in range(3):
            await courier.publish(*told(str(number)))
    assert proxy.requests == 3


async def test_one_tasks_events_keep_their_order_beside_many_others(shared: Node) -> None:
    channel = "backtest.order"
    async with client(shared.url) as courier:
        first = await courier.publish(*told("first", channel))

        async def write(name: str) -> None:
            for number in range(50):
                await courier.publish(*told(f"{name} {number}", channel))

        async with anyio.create_task_group() as tasks:
            for name in "abcd":
                tasks.start_soon(write, name)
        titles = await read(courier, channel, first.position, 200)
    for name in "abcd":
        assert [one for one in titles if one[0] == name] == [f"{name} {number}" for number in range(50)]


async def test_the_fields_that_are_wrong_are_named(shared: Node) -> None:
    async with client(shared.url) as courier:
        with pytest.raises(InvalidEvent) as caught:
            await courier.publish("global", "system.announcement", {"title": 1, "message": "m"})
    error = caught.value
    assert [fault["loc"] for fault in error.errors] == [["title"], ["severity"]]
    assert all(fault["msg"] and fault["type"] for fault in error.errors)
    assert str(error).splitlines()[1:] == [
        "  title: Input should be a valid string",
        "  severity: Field required",
    ]
    assert (error.status, error.channel, error.event_type) == (400, "global", "system.announcement")
    assert not error.unknown


async def test_an_invalid_event_of_a_batch_is_refused_alone(shared: Node) -> None:
    async with client(shared.url) as courier:
        bad = ("global", "system.announcement", {"title": "bad"})
        with pytest.raises(NotAllPublished) as caught:
            await courier.publish_many([told("a"), bad, told("b")])
    first, second, third = caught.value.results
    assert isinstance(first, Receipt)
    assert isinstance(second, InvalidEvent)
    assert isinstance(third, Receipt)
    assert caught.value.exceptions == (second,)


async def test_an_event_that_makes_its_batch_unreadable_harms_no_other(shared: Node) -> None:
    fields = {"backtest_id": "b", "job_id": "j", "user_id": "u1", "parameters": {"deep": nested(300)}}
    async with client(shared.url) as courier:
        with pytest.raises(NotAllPublished) as caught:
            await courier.publish_many([told("a"), ("global", "backtest.started", fields), told("b")])
    assert [type(one) for one in caught.value.results] == [Receipt, Refused, Receipt]


async def test_publish_many_takes_an_iterable_that_is_longer_than_its_queue(shared: Node) -> None:
    channel = "backtest.many"
    async with client(shared.url, queue_size=100) as courier:
        first = await courier.publish(*told("first", channel))
        receipts = await courier.publish_many(told(str(number), channel) for number in range(1050))
        titles = await read(courier, channel, first.position, 1050)
    assert titles == [str(number) for number in range(1050)]
    before, *offsets = (int(one.position.partition("-")[2]) for one in [first, *receipts])
    assert offsets == list(range(before + 1, before + 1051))


async def test_publish_many_of_nothing_gives_nothing(shared: Node) -> None:
    async with client(shared.url) as courier:
        assert await courier.publish_many([]) == []


async def test_a_batch_stays_below_the_size_that_the_node_takes(shared: Node) -> None:
    large = {"title": "t", "message": "m" * 60_000, "severity": "info"}
    async with proxy_before(shared.port) as proxy, client(proxy.url) as courier:
        receipts = await courier.publish_many([("global", "system.announcement", large)] * 40)
    assert len(receipts) == 40
    assert 3 <= proxy.requests <= 4


@pytest.mark.parametrize(
    "data",
    [
        {"price": float("nan")},
        {"text": "\ud800"},
        {"source": "another"},
        {"type": "another"},
        {"trace_id": "t"},
        {"thing": object()},
        {"deep": nested(100_000)},
    ],
)
async def test_data_that_cannot_be_sent_is_refused_at_the_call_and_harms_no_other_of_publish_many(
    shared: Node, data: dict[str, Any]
) -> None:
    async with client(shared.url) as courier:
        with pytest.raises(Unsendable, match="cannot be sent"):
            await courier.publish("global", "system.announcement", data)
        with pytest.raises(NotAllPublished) as caught:
            await courier.publish_many([told("a"), ("global", "system.announcement", data), told("b")])
    assert [type(one) for one in caught.value.results] == [Receipt, Unsendable, Receipt]


async def test_a_channel_that_is_no_text_is_refused_to_its_own_task_only(shared: Node) -> None:
    odd: list[Any] = ["user.\ud800", None, 7, b"global"]
    async with client(shared.url) as courier, anyio.create_task_group() as tasks:

        async def publish_to(channel: Any) -> None:
            with pytest.raises(Unsendable):
                await courier.publish(*told("bad", channel))

        for number in range(20):
            tasks.start_soon(publish_to, odd[number % len(odd)])
            tasks.start_soon(courier.publish, *told(str(number)))


@pytest.mark.parametrize("bad", ["", "a b", "a\nb", "tök", "\ud800"])
async def test_what_is_no_token_is_refused_and_never_shown(shared: Node, bad: str) -> None:
    with pytest.raises(ValueError, match="visible ASCII"):
        client(shared.url, token=bad)
    async with client(shared.url, token=lambda: bad) as courier:
        with pytest.raises(TokenFailed, match="gave no token") as caught:
            await courier.publish(*told("t"))
    assert not bad or bad not in str(caught.value)


async def test_a_token_may_end_with_the_line_that_it_was_read_from(shared: Node) -> None:
    async with client(shared.url, token=service_token() + "\n") as courier:
        assert await courier.publish(*told("t"))


@pytest.mark.parametrize(
    "settings", [{"service_name": "tök"}, {"service_name": "a\nb"}, {"url": "http://" + "a" * 64}]
)
async def test_what_every_request_would_fail_for_is_refused_before(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="name"):
        client(**{"url": "http://127.0.0.1:1"} | settings)


async def test_an_expired_token_without_a_callable_is_unauthorized(shared: Node) -> None:
    async with client(shared.url, token=service_token(exp=1)) as courier:
        with pytest.raises(Unauthorized, match="Service token expired"):
            await courier.publish(*told("t"))


async def test_an_expired_token_is_replaced_by_the_callables_next_one(shared: Node) -> None:
    given = [service_token(exp=1), service_token()]

    async def give() -> str:
        return given.pop(0)

    async with client(shared.url, token=give) as courier:
        assert await courier.publish(*told("t"))
        assert await courier.publish(*told("t"))  # with the one that is held
    assert given == []


async def test_a_fresh_token_that_is_refused_too_is_not_asked_for_again(shared: Node) -> None:
    asked = 0

    def give() -> str:
        nonlocal asked
        asked += 1
        return service_token(exp=1)

    async with client(shared.url, token=give) as courier:
        with pytest.raises(Unauthorized):
            await courier.publish(*told("t"))
    assert asked == 2


async def test_no_token_is_shown_by_what_the_client_says_of_itself(shared: Node) -> None:
    secret = service_token()
    async with client(shared.url, token=secret) as courier:
        events = courier.subscribe("global", token=secret)
        assert secret not in repr(courier) + repr(events) + repr(vars(courier)) + repr(vars(events))


async def test_a_client_that_is_closed_says_so(shared: Node) -> None:
    async with client(shared.url) as courier:
        await courier.publish(*told("t"))
    with pytest.raises(ClientClosed):
        await courier.publish(*told("t"))
    with pytest.raises(ClientClosed):
        courier.subscribe("global")


async def test_who_still_waits_when_the_client_is_closed_is_told(shared: Node) -> None:
    async with client(shared.url) as courier, anyio.create_task_group() as tasks:
        told_so = 0

        async def wait() -> None:
            nonlocal told_so
            with pytest.raises(ClientClosed):
                await courier.publish(*told("t"))
            told_so += 1

        shared.pause()
        try:
            for _ in range(3):
                tasks.start_soon(wait)
            await anyio.sleep(0.05)
            await courier.aclose()
            while told_so < 3:
                await anyio.sleep(0.01)
        finally:
            shared.go_on()


async def test_who_publishes_needs_a_service_name(shared: Node) -> None:
    async with client(shared.url, service_name=None) as courier:
        with pytest.raises(ValueError, match="service_name"):
            await courier.publish(*told("t"))
