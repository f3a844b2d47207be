"""Nodes that share a real Redis: nothing that was acknowledged is lost, whoever dies or hangs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from tests.backplane.redis_servers import RedisServer, needs_redis, redis_server
from tests.system.nodes import CHANNEL, Publisher, Reader, judge, until_ready
from tests.web.servers import TestServer, a_server, announcement, token

pytestmark = [needs_redis, pytest.mark.system]

NUMBERS = [str(number) for number in range(300)]


@asynccontextmanager
async def two_nodes(redis: RedisServer, **overrides: object) -> AsyncIterator[tuple[TestServer, TestServer]]:
    async with (
        a_server(redis_url=redis.url, **overrides) as one,
        a_server(redis_url=redis.url, **overrides) as two,
    ):
        yield one, two


async def test_two_nodes_have_one_order_and_each_replays_what_the_other_took() -> None:
    with redis_server() as redis, trio.fail_after(30):
        async with two_nodes(redis) as (one, two), trio.open_nursery() as nursery:
            readers = [Reader(one), Reader(two)]
            for reader in readers:
                await nursery.start(reader.run)
            publishers = [Publisher(), Publisher()]
            async with trio.open_nursery() as publishing:
                publishing.start_soon(publishers[0].run, one, NUMBERS[::2])
                publishing.start_soon(publishers[1].run, two, NUMBERS[1::2])
            acknowledged = publishers[0].acknowledged | publishers[1].acknowledged
            assert len(acknowledged) == len(NUMBERS)
            for reader in readers:
                await reader.until_got(len(NUMBERS))
                judge(reader, acknowledged)
            assert readers[0].got == readers[1].got
            late = Reader(two)
            late.since = readers[0].ids[0]
            await nursery.start(late.run)
            await late.until_got(len(NUMBERS) - 1)
            assert late.got == readers[0].got[1:]
            nursery.cancel_scope.cancel()


async def test_redis_that_is_killed_and_comes_back_costs_no_acknowledged_event() -> None:
    with redis_server(durable=True) as redis, trio.fail_after(45):
        async with two_nodes(redis) as (one, two), trio.open_nursery() as nursery:
            readers = [Reader(one), Reader(two)]
            for reader in readers:
                await nursery.start(reader.run)
            publishers = [Publisher(), Publisher()]
            async with trio.open_nursery() as publishing:
                for publisher, server, titles in zip(
                    publishers, (one, two), (NUMBERS[::2], NUMBERS[1::2]), strict=True
                ):
                    publishing.start_soon(
                        partial(publisher.run, server, titles, pause=0.005, until_taken=True)
                    )
                await readers[0].until_got(50)
                redis.kill()
                killed = trio.current_time()
                for server in (one, two):
                    await until_ready(server, 503)
                assert trio.current_time() - killed < 1.5
                assert (await one.request("GET", "/health/live")).status == 200
                while not all(publisher.refused for publisher in publishers):
                    await trio.sleep(0.02)
                redis.start()
                for server in (one, two):
                    await until_ready(server)
            acknowledged = publishers[0].acknowledged | publishers[1].acknowledged
            assert len(acknowledged) == len(NUMBERS)
            for reader in readers:
                await reader.until_got(len(NUMBERS))
                judge(reader, acknowledged)
                assert (reader.gaps, reader.closes) == ([], [])
            refused = publishers[0].refused + publishers[1].refused
            assert {status for status, _ in refused} == {503}
            assert all(headers["retry-after"] == "1" for _, headers in refused)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("state", ["empty", "older"])
async def test_redis_that_has_lost_events_begins_a_new_epoch_and_everybody_is_told(state: str) -> None:
    with redis_server("--appendonly", "no") as redis, trio.fail_after(45):
        async with two_nodes(redis) as (one, two), trio.open_nursery() as nursery:
            readers = [Reader(one), Reader(two)]
            for reader in readers:
                await nursery.start(reader.run)
            before = Publisher()
            await before.run(one, NUMBERS[:10])
            if state == "older":
                redis.cli("SAVE")
            await before.run(one, NUMBERS[10:20])
            for reader in readers:
                await reader.until_got(20)
            redis.kill()
            redis.start()
            after = Publisher()
            await after.run(two, NUMBERS[20:30], until_taken=True)
            for reader in readers:
                await reader.until(lambda reader: reader.titles[-1:] == ["29"])
                assert reader.gaps == ["unknown_position"]
                assert reader.closes == []
                told = next(event for event in reader.got if event["type"] == "courier.gap")
                assert told["requested"] == before.acknowledged["19"]
                assert reader.titles == NUMBERS[:30]
                assert reader.ids[20:] == list(after.acknowledged.values())
            assert after.acknowledged["20"].endswith("-1")
            nursery.cancel_scope.cancel()


async def test_feeds_that_are_cut_again_and_again_under_load_lose_nothing() -> None:
    with redis_server() as redis, trio.fail_after(45):
        async with two_nodes(redis) as (one, two), trio.open_nursery() as nursery:
            readers = [Reader(one), Reader(two)]
            for reader in readers:
                await nursery.start(reader.run)
            publishers = [Publisher(), Publisher()]
            cuts = 0

            async def cut() -> None:
                nonlocal cuts
                while True:
                    await trio.sleep(0.15)
                    cuts += int(await trio.to_thread.run_sync(redis.cli, "CLIENT", "KILL", "TYPE", "pubsub"))

            nursery.start_soon(cut)
            async with trio.open_nursery() as publishing:
                publishing.start_soon(partial(publishers[0].run, one, NUMBERS[::2], pause=0.01))
                publishing.start_soon(partial(publishers[1].run, two, NUMBERS[1::2], pause=0.01))
            acknowledged = publishers[0].acknowledged | publishers[1].acknowledged
            assert len(acknowledged) == len(NUMBERS)
            for reader in readers:
                await reader.until_got(len(NUMBERS))
                judge(reader, acknowledged)
                assert (reader.gaps, reader.closes) == ([], [])
            assert cuts > 5
            nursery.cancel_scope.cancel()


async def test_a_rate_limit_and_an_idempotency_key_hold_on_all_nodes_together() -> None:
    with redis_server() as redis, trio.fail_after(30):
        async with two_nodes(redis, rate_limit=5) as (one, two):
            first = await one.publish(CHANNEL, announcement("a"), Idempotency_Key="k")
            again = await two.publish(CHANNEL, announcement("a"), Idempotency_Key="k")
            assert again.json == first.json | {"deduplicated": True}
            assert (await two.publish(CHANNEL, announcement("b"), Idempotency_Key="k")).status == 409
            statuses = [
                (await server.publish(CHANNEL, announcement())).status for server in (one, two, one, two)
            ]
            assert statuses == [200, 200, 429, 429]
            refused = await one.publish(CHANNEL, announcement())
            assert refused.headers["x-ratelimit-remaining"] == "0"


async def test_a_join_for_a_channel_that_nobody_follows_is_refused_while_redis_is_away() -> None:
    with redis_server() as redis, trio.fail_after(30):
        async with a_server(redis_url=redis.url) as server:
            redis.kill()
            await until_ready(server, 503)
            assert await server.refused(f"/ws/{CHANNEL}?token={token()}") == (1013, "Try again later")
            answer = await server.request("GET", f"/history/{CHANNEL}?token={token()}")
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            bad = await server.publish(CHANNEL, {"type": "nothing"})
            assert bad.status == 400, "what is wrong with it can be said without Redis"
