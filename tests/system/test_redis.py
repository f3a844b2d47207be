"""Nodes that share a real Redis: nothing that was acknowledged is lost, whoever dies or hangs."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.backplane.redis_servers import RedisServer, needs_redis, redis_server
from tests.system.nodes import CHANNEL, Publisher, Reader, judge, until_ready
from tests.system.processes import a_node
from tests.web.servers import TestServer, a_server, announcement, token

pytestmark = [needs_redis, pytest.mark.system]

NUMBERS = [str(number) for number in range(300)]


@asynccontextmanager
async def two_nodes(redis: RedisServer, rate_limit: int = 0) -> AsyncIterator[tuple[TestServer, TestServer]]:
    async with (
        a_server(redis_url=redis.url, rate_limit=rate_limit) as one,
        a_server(redis_url=redis.url, rate_limit=rate_limit) as two,
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


async def test_a_redis_that_refuses_to_write_makes_the_node_unready_and_says_why_until_it_writes_again() -> (
    None
):
    with redis_server() as redis, trio.fail_after(30):
        async with a_server(redis_url=redis.url) as server:
            assert (await server.publish(CHANNEL, announcement())).status == 200
            redis.cli("ACL", "SETUSER", "default", "-xadd")
            assert (await server.request("GET", "/health/ready")).status == 200, "nothing was refused yet"
            answer = await server.publish(CHANNEL, announcement())
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert answer.error["error"] == "Redis refused the write: NOPERM; try again later"
            ready = await server.request("GET", "/health/ready")
            assert (ready.status, ready.json["reason"]) == (503, "Redis refused the write: NOPERM")
            part = (await server.request("GET", "/health")).json["components"]["backplane"]
            assert part == {"status": "down", "kind": "redis", "reason": "Redis refused the write: NOPERM"}
            assert b"courier_backplane_up 0.0" in (await server.request("GET", "/metrics")).body
            redis.cli("ACL", "SETUSER", "default", "+xadd")
            with trio.fail_after(2):
                await until_ready(server)
            assert (await server.publish(CHANNEL, announcement())).status == 200


class Proxy:
    """A network between a node and Redis, which may swallow every byte and say nothing."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.hanging = False
        self.port = 0

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._serve, [listener])

    async def _serve(self, here: trio.SocketStream) -> None:
        async with await trio.open_tcp_stream("127.0.0.1", self._to) as there, trio.open_nursery() as nursery:
            nursery.start_soon(self._pass, here, there, nursery.cancel_scope)
            nursery.start_soon(self._pass, there, here, nursery.cancel_scope)

    async def _pass(
        self, source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            async for chunk in source:
                if not self.hanging:
                    await sink.send_all(chunk)
        if not self.hanging:
            scope.cancel()


async def test_a_network_that_hangs_is_noticed_and_nobody_waits_for_ever() -> None:
    with redis_server() as redis, trio.fail_after(45):
        async with trio.open_nursery() as nursery:
            proxy = Proxy(redis.port)
            await nursery.start(proxy.run)
            async with (
                a_server(redis_url=f"redis://127.0.0.1:{proxy.port}") as hung,
                a_server(redis_url=redis.url) as well,
            ):
                reader = Reader(hung)
                await nursery.start(reader.run)
                publisher = Publisher()
                await publisher.run(well, NUMBERS[:10])
                await reader.until_got(10)
                proxy.hanging = True
                with trio.fail_after(2):
                    await until_ready(hung, 503)
                with trio.fail_after(5):
                    answer = await hung.publish(CHANNEL, announcement("lost"))
                    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
                with trio.fail_after(5):
                    assert await hung.refused(f"/ws/user.u1?token={token()}&since=zzzzzzzz-1") == (
                        1013,
                        "Try again later",
                    )
                await publisher.run(well, NUMBERS[10:20])
                proxy.hanging = False
                await until_ready(hung)
                await reader.until_got(20)
                judge(reader, publisher.acknowledged)
                assert (reader.gaps, reader.closes) == ([], [])
            nursery.cancel_scope.cancel()


async def test_a_node_that_drains_while_another_publishes_ends_in_time_and_nobody_misses_anything(
    tmp_path: Path,
) -> None:
    with redis_server() as redis, trio.fail_after(55):
        async with (
            a_node(tmp_path / "log", REDIS_URL=redis.url, DRAIN_SECONDS="5") as leaving,
            a_server(redis_url=redis.url) as staying,
            trio.open_nursery() as nursery,
        ):
            readers = [Reader(leaving, staying) for _ in range(5)]
            for reader in readers:
                await nursery.start(reader.run)
            publisher = Publisher()
            async with trio.open_nursery() as publishing:
                publishing.start_soon(partial(publisher.run, staying, NUMBERS, pause=0.005))
                await readers[0].until_got(50)
                leaving.signal_group()
                with trio.fail_after(5 + 5):
                    assert await leaving.exit_code() == 0
            for reader in readers:
                await reader.until_got(len(NUMBERS))
                judge(reader, publisher.acknowledged)
                assert reader.gaps == []
                assert reader.closes == [(1001, "Server shutting down for maintenance")]
            nursery.cancel_scope.cancel()


async def test_a_node_that_is_killed_costs_its_subscribers_nothing_once_they_are_back(tmp_path: Path) -> None:
    with redis_server() as redis, trio.fail_after(55):
        async with (
            a_node(tmp_path / "log", REDIS_URL=redis.url) as dying,
            a_server(redis_url=redis.url) as staying,
            trio.open_nursery() as nursery,
        ):
            readers = [Reader(dying, staying) for _ in range(5)]
            for reader in readers:
                await nursery.start(reader.run)
            publisher = Publisher()
            async with trio.open_nursery() as publishing:
                publishing.start_soon(partial(publisher.run, staying, NUMBERS, pause=0.005))
                await readers[0].until_got(50)
                dying.signal_group(signal.SIGKILL)
            for reader in readers:
                await reader.until_got(len(NUMBERS))
                judge(reader, publisher.acknowledged)
                assert reader.gaps == []
            nursery.cancel_scope.cancel()


async def test_a_node_that_starts_anew_goes_on_where_the_log_is(tmp_path: Path) -> None:
    with redis_server() as redis, trio.fail_after(30):
        async with a_server(redis_url=redis.url) as server:
            first = (await server.publish(CHANNEL, announcement("a"))).json
            await server.publish(CHANNEL, announcement("b"))
        async with a_server(redis_url=redis.url) as server, trio.open_nursery() as nursery:
            reader = Reader(server)
            reader.since = first["id"]
            await nursery.start(reader.run)
            await server.publish(CHANNEL, announcement("c"))
            await reader.until_got(2)
            assert (reader.titles, reader.gaps) == (["b", "c"], [])
            nursery.cancel_scope.cancel()


async def test_what_the_node_does_not_hold_is_replayed_from_redis() -> None:
    with redis_server() as redis, trio.fail_after(45):
        async with (
            a_server(redis_url=redis.url) as one,
            a_server(redis_url=redis.url, history_bytes=20_000) as small,
            trio.open_nursery() as nursery,
        ):
            live = Reader(small)
            await nursery.start(live.run)
            publisher = Publisher()
            await publisher.run(one, NUMBERS)
            await live.until_got(len(NUMBERS))
            late = Reader(small)
            late.since = publisher.acknowledged["0"]
            await nursery.start(late.run)
            await late.until_got(len(NUMBERS) - 1)
            judge(late, {title: publisher.acknowledged[title] for title in NUMBERS[1:]})
            assert late.gaps == []
            nursery.cancel_scope.cancel()
