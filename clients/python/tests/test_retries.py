"""Publishing to a node that is not always there, or does not always want to."""

import json
from collections.abc import Awaitable, Callable, Iterator

import anyio
import pytest
from courier_client import (
    Conflict,
    NotAllPublished,
    PublishTimeout,
    RateLimited,
    Receipt,
    Refused,
    TokenFailed,
    Unavailable,
)
from fakes import Answer, Asked, batch_of, fake_http, proxy_before, published, refused
from nodes import Node, node, service_token
from usual import Told, client, read, told

pytestmark = pytest.mark.anyio

Answering = Callable[[Asked], Awaitable[Answer | None]]


def in_turn(*answers: Callable[[Asked], Answer | None]) -> Answering:
    """The first answer to the first request, and so on; what comes after them is published."""
    rest = list(answers)

    async def answer(asked: Asked) -> Answer | None:
        return rest.pop(0)(asked) if rest else published(asked)

    return answer


async def test_an_answer_that_was_lost_does_not_publish_twice(shared: Node) -> None:
    channel = "backtest.lost"
    async with proxy_before(shared.port) as proxy, client(proxy.url) as courier:
        first = await courier.publish(*told("first", channel))
        proxy.answers_to_lose = 1
        single = await courier.publish(*told("single", channel))
        proxy.answers_to_lose = 1
        batch = await courier.publish_many(told(str(number), channel) for number in range(5))
        last = await courier.publish(*told("last", channel))
        titles = await read(courier, channel, first.position, 7)
    assert titles == ["single", "0", "1", "2", "3", "4", "last"]
    assert single.deduplicated
    assert all(receipt.deduplicated for receipt in batch)
    assert not last.deduplicated


async def test_what_is_repeated_is_the_same_request_under_the_same_key() -> None:
    async with fake_http(in_turn(lambda _: None, lambda _: None)) as fake, client(fake.url) as courier:
        await courier.publish_many([told("a"), told("b")])
        await courier.publish(*told("c"))
    first, second, third, other = fake.asked
    assert (first.key, first.body) == (second.key, second.body) == (third.key, third.body)
    assert other.key != first.key


async def test_events_that_come_during_an_outage_go_together_after_it() -> None:
    down = True

    async def answer(asked: Asked) -> Answer | None:
        return refused(503, headers={"Retry-After": "0"}) if down else published(asked)

    async with fake_http(answer) as fake, client(fake.url) as courier, anyio.create_task_group() as tasks:
        tasks.start_soon(courier.publish, *told("first", "backtest.first"))
        tasks.start_soon(courier.publish, *told("second", "backtest.second"))
        while not any(asked.path == "/publish/batch" for asked in fake.asked):
            await anyio.sleep(0.01)
        for number in range(100):
            tasks.start_soon(courier.publish, *told(str(number), f"backtest.{number}"))
        await anyio.sleep(0.01)
        down = False
        before = len(fake.asked)
    assert len(fake.asked) - before <= 4


async def test_a_503_is_waited_out_for_as_long_as_it_says() -> None:
    unavailable = refused(503, "Node is draining", headers={"Retry-After": "1"})
    async with fake_http(in_turn(lambda _: unavailable)) as fake, client(fake.url) as courier:
        began = anyio.current_time()
        assert await courier.publish(*told("t"))
        assert 1 <= anyio.current_time() - began < 1.3


async def test_a_429_is_waited_out_and_every_event_is_published_once() -> None:
    with node(rate_limit=10, rate_window_seconds=1) as limited:
        async with client(limited.url) as courier:
            began = anyio.current_time()
            receipts = await courier.publish_many(told(str(number)) for number in range(15))
            assert anyio.current_time() - began >= 0.9
    assert [int(one.position.partition("-")[2]) for one in receipts] == list(range(1, 16))


async def test_a_429_that_lasts_longer_than_there_is_time_is_raised_at_once() -> None:
    limited = refused(429, "Rate limit exceeded", headers={"Retry-After": "60"}, limit=100, remaining=0)
    async with fake_http(in_turn(lambda _: limited)) as fake, client(fake.url) as courier:
        with pytest.raises(
            RateLimited, match=r"429 Rate limit exceeded \(limit 100, remaining 0\)"
        ) as caught:
            await courier.publish(*told("t"), timeout=2)
    assert caught.value.retry_after == 60
    assert not caught.value.unknown
    assert len(fake.asked) == 1


async def test_publishes_beyond_the_rate_limit_say_so_at_once_with_the_limit_and_when_it_ends() -> None:
    with node(rate_limit=10) as limited:
        async with client(limited.url) as courier:
            began = anyio.current_time()
            results: list[Receipt | RateLimited] = []
            for number in range(13):
                try:
                    results.append(await courier.publish(*told(str(number))))
                except RateLimited as error:
                    results.append(error)
            assert anyio.current_time() - began < 10
            assert [type(one) for one in results] == [Receipt] * 10 + [RateLimited] * 3
            for one in results[10:]:
                assert isinstance(one, RateLimited)
                assert (one.facts["limit"], one.facts["window_seconds"]) == (10, 60)
                assert one.facts["reset_at"] in str(one)
                assert not one.unknown
            with pytest.raises(NotAllPublished, match="5 of 5"):
                await courier.publish_many(told(str(number)) for number in range(5))


async def test_a_publish_that_found_no_room_in_the_queue_says_what_held_it_up() -> None:
    away = refused(503, "Redis cannot be reached", headers={"Retry-After": "5"})
    async with fake_http(in_turn(lambda _: away)) as fake, client(fake.url, queue_size=1) as courier:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(courier.publish, *told("first"))
            while not fake.asked:
                await anyio.sleep(0.01)
            await anyio.sleep(0.1)
            with pytest.raises(
                PublishTimeout, match=r"queue was full .* 503 Redis cannot be reached"
            ) as caught:
                await courier.publish(*told("second"), timeout=0.1)
            assert not caught.value.unknown
            tasks.cancel_scope.cancel()


async def test_a_503_that_lasts_longer_than_there_is_time_leaves_open_what_became_of_the_event() -> None:
    away = refused(503, "Redis unreachable", headers={"Retry-After": "60"})
    async with fake_http(in_turn(lambda _: away)) as fake, client(fake.url) as courier:
        with pytest.raises(Unavailable) as caught:
            await courier.publish(*told("t"), timeout=2)
    assert caught.value.unknown


async def test_a_server_that_does_not_answer_in_time_leaves_open_what_became_of_the_event() -> None:
    async def answer(_: Asked) -> Answer | None:
        await anyio.sleep_forever()
        raise AssertionError

    async with fake_http(answer) as fake, client(fake.url) as courier:
        with pytest.raises(PublishTimeout, match="it may be published all the same") as caught:
            await courier.publish(*told("t"), timeout=0.1)
    assert caught.value.unknown


async def test_a_server_that_is_not_there_leaves_nothing_open() -> None:
    async with client("http://127.0.0.1:1") as courier:
        with pytest.raises(PublishTimeout, match="it is not published") as caught:
            await courier.publish(*told("t"), timeout=0.3)
    assert not caught.value.unknown
    assert caught.value.__cause__ is not None


async def test_a_channel_that_fails_keeps_no_other_waiting() -> None:
    async def answer(asked: Asked) -> Answer:
        events = asked.events
        if asked.path == "/publish/backtest.bad":
            return refused(503)
        if asked.path == "/publish/batch":
            return batch_of(*(503 if event["title"] == "bad" else event for event in events))
        return published(asked)

    async with fake_http(answer) as fake, client(fake.url) as courier:
        began = anyio.current_time()

        async def fail() -> None:
            with pytest.raises((Unavailable, PublishTimeout)):
                await courier.publish(*told("bad", "backtest.bad"), timeout=1.5)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fail)
            await anyio.sleep(0.05)
            for number in range(5):
                await courier.publish(*told(str(number), "backtest.good"))
            assert anyio.current_time() - began < 0.5


async def test_events_of_one_channel_keep_their_order_when_the_first_of_them_fails() -> None:
    failures = 2
    log: list[str] = []

    async def answer(asked: Asked) -> Answer:
        nonlocal failures
        if asked.path != "/publish/batch":
            return published(asked)
        failures -= 1
        results: list[object] = []
        for one in json.loads(asked.body)["events"]:
            failing = one["channel"] == "backtest.a" and failures >= 0
            results.append(503 if failing else one["data"])
            if not failing and one["data"]["title"] not in log:
                log.append(one["data"]["title"])
        return batch_of(*results)

    async with fake_http(answer) as fake, client(fake.url) as courier:
        await courier.publish_many(
            told(f"{name}{number}", f"backtest.{name}") for number in range(5) for name in "ab"
        )
    assert [one for one in log if one[0] == "a"] == [f"a{number}" for number in range(5)]
    assert [one for one in log if one[0] == "b"] == [f"b{number}" for number in range(5)]


async def test_few_that_failed_of_a_batch_go_alone_by_the_keys_that_they_had_in_it() -> None:
    first = in_turn(lambda asked: batch_of(*(503 if e["title"] == "3" else e for e in asked.events)))
    async with fake_http(first) as fake, client(fake.url) as courier:
        await courier.publish_many(told(str(number)) for number in range(5))
    batch, alone = fake.asked
    assert alone.path == "/publish/global"
    assert alone.titles == ["3"]
    assert alone.key == f"{batch.key}/3"


async def test_a_batch_that_is_too_large_for_a_limit_is_cut() -> None:
    async def answer(asked: Asked) -> Answer:
        if len(asked.events) > 4:
            return refused(413, "Batch has more events than the rate limit ever admits", limit=4)
        return published(asked)

    async with fake_http(answer) as fake, client(fake.url) as courier:
        receipts = await courier.publish_many(told(str(number)) for number in range(10))
    assert len(receipts) == 10
    assert [len(asked.events) for asked in fake.asked] == [10, 4, 4, 2]


async def test_an_event_that_is_too_large_is_refused_alone() -> None:
    async def answer(asked: Asked) -> Answer:
        return refused(413, limit_bytes=1000) if len(asked.body) > 1000 else published(asked)

    large = ("global", "system.announcement", {"title": "large", "message": "m" * 2000, "severity": "info"})
    async with fake_http(answer) as fake, client(fake.url) as courier:
        with pytest.raises(NotAllPublished) as caught:
            await courier.publish_many([told("a"), large, told("b")])
    refusal = caught.value.results[1]
    assert isinstance(refusal, Refused)
    assert refusal.status == 413
    assert [isinstance(one, Receipt) for one in caught.value.results] == [True, False, True]


@pytest.mark.parametrize("status", [400, 403, 404, 409, 415, 500])
async def test_a_refusal_that_lasts_is_raised_and_not_repeated(status: int) -> None:
    async with fake_http(in_turn(lambda _: refused(status, "because"))) as fake, client(fake.url) as courier:
        with pytest.raises(Refused, match=f"{status} because") as caught:
            await courier.publish(*told("t"))
    assert len(fake.asked) == 1
    assert isinstance(caught.value, Conflict) == (status == 409)
    assert caught.value.unknown == (status == 500)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", b'{"results":[]}', b'{"results":[1,2]}'])
async def test_an_answer_that_is_not_couriers_is_an_error_that_leaves_the_outcome_open(body: bytes) -> None:
    def odd(_: Asked) -> Answer:
        return 200, {}, body

    async with fake_http(in_turn(odd, odd)) as fake, client(fake.url) as courier:
        with pytest.raises(Refused) as caught:
            await courier.publish(*told("t"))
        assert caught.value.unknown
        with pytest.raises(NotAllPublished):
            await courier.publish_many([told("a"), told("b")])


async def test_a_callable_for_tokens_that_raises_is_told_with_its_reason(shared: Node) -> None:
    def give() -> str:
        raise OSError("the vault is closed")

    async with client(shared.url, token=give) as courier:
        with pytest.raises(TokenFailed) as caught:
            await courier.publish(*told("t"))
    assert isinstance(caught.value.__cause__, OSError)


async def test_a_full_queue_makes_publishes_wait_and_keeps_memory_bounded() -> None:
    slow = anyio.Event()

    async def answer(asked: Asked) -> Answer:
        await slow.wait()
        return published(asked)

    async with fake_http(answer) as fake, client(fake.url, queue_size=10) as courier:
        taken = 0

        def counted() -> Iterator[Told]:
            nonlocal taken
            for number in range(100):
                taken += 1
                yield told(str(number))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(courier.publish_many, counted())
            await anyio.sleep(0.1)
            assert taken <= 11
            with pytest.raises(PublishTimeout) as caught:
                await courier.publish(*told("late"), timeout=0.05)
            assert not caught.value.unknown
            slow.set()
    assert taken == 100


async def test_who_drives_and_is_cancelled_leaves_the_events_of_others_to_them(shared: Node) -> None:
    channel = "backtest.cancelled"
    async with proxy_before(shared.port) as proxy, client(proxy.url, token=service_token()) as courier:
        first = await courier.publish(*told("first", channel))
        shared.pause()
        async with anyio.create_task_group() as tasks:
            with anyio.move_on_after(0.2):
                async with anyio.create_task_group() as leaving:
                    leaving.start_soon(courier.publish, *told("goes", channel))
                    await anyio.sleep(0.05)
                    for number in range(20):
                        tasks.start_soon(courier.publish, *told(str(number), channel))
                    await anyio.sleep(5)
            shared.go_on()
        last = await courier.publish(*told("last", channel))
        titles = await read(courier, channel, first.position, 21)
    assert sorted(title for title in titles if title not in ("goes", "last")) == sorted(map(str, range(20)))
    assert last.position
