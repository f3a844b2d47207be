"""Subscribing to a real node."""

import math
import time
from contextlib import aclosing
from datetime import UTC, datetime

import anyio
import pytest
from courier_client import Gap, SubscriptionRefused
from courier_client.websocket import MESSAGE_CHARACTERS
from fakes import proxy_before
from nodes import Node, node, token
from usual import client, next_event, open_sockets, titles, told

from courier.settings import Settings
from tests.backplane.redis_servers import redis_server

pytestmark = pytest.mark.anyio


async def test_events_come_once_and_in_order_from_the_join_on(shared: Node) -> None:
    channel = "backtest.live"
    async with client(shared.url) as courier, courier.subscribe(channel, token=token()) as events:
        await courier.publish_many(told(str(number), channel) for number in range(2500))
        assert await titles(events, 2500) == [str(number) for number in range(2500)]


async def test_since_a_position_or_a_time_what_was_missed_comes_first(shared: Node) -> None:
    channel = "backtest.missed"
    async with client(shared.url) as courier:
        receipts = await courier.publish_many(told(str(number), channel) for number in range(3))
        await anyio.sleep(0.01)
        time_between = datetime.now(UTC)
        await courier.publish(*told("3", channel))
        async with courier.subscribe(channel, since=receipts[1].position, token=token()) as events:
            assert await titles(events, 2) == ["2", "3"]
        async with courier.subscribe(channel, since=time_between, token=token()) as events:
            assert await titles(events, 1) == ["3"]


async def test_a_plain_loop_can_be_left_early_and_leaves_no_socket(shared: Node) -> None:
    channel = "backtest.early"
    async with client(shared.url) as courier:
        first = await courier.publish(*told("first", channel))
        await courier.publish(*told("second", channel))
        before = open_sockets()
        async for _ in courier.subscribe(channel, since=first.position, token=token()):
            break
        assert open_sockets() == before
        async with aclosing(courier.subscribe(channel, since=first.position, token=token())) as events:
            await anext(events)
            assert len(open_sockets()) == len(before) + 1
        assert open_sockets() == before
        assert [event async for event in events] == []


async def test_a_client_that_is_closed_ends_its_subscriptions(shared: Node) -> None:
    async with client(shared.url) as courier, anyio.create_task_group() as tasks:
        events = courier.subscribe("global", token=token())
        ended = anyio.Event()

        async def listen() -> None:
            async for _ in events:
                pass
            ended.set()

        tasks.start_soon(listen)
        while events.position is None:
            await anyio.sleep(0.01)
        await courier.aclose()
        with anyio.fail_after(1):
            await ended.wait()


async def test_a_wait_that_is_cancelled_loses_no_event(shared: Node) -> None:
    channel = "backtest.impatient"
    got: list[str] = []
    async with client(shared.url) as courier, courier.subscribe(channel, token=token()) as events:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(courier.publish_many, [told(str(number), channel) for number in range(1500)])
            while len(got) < 1500:
                with anyio.move_on_after(0.001):
                    async for event in events:
                        assert not isinstance(event, Gap)
                        got.append(event.data["title"])
    assert got == [str(number) for number in range(1500)]


@pytest.mark.parametrize(
    ("channel", "since", "reason"),
    [
        ("user.u2", None, "Unauthorized access to channel"),
        ("no such", None, "Unknown channel"),
        ("global", "yesterday", "Unreadable since"),
    ],
)
async def test_a_refusal_is_raised_and_ends_the_subscription(
    shared: Node, channel: str, since: str | None, reason: str
) -> None:
    async with client(shared.url) as courier:
        events = courier.subscribe(channel, since=since, token=token("u1"))
        with pytest.raises(SubscriptionRefused, match=f"1008 {reason}") as caught:
            await anext(events)
        assert (caught.value.code, caught.value.reason) == (1008, reason)
        assert [event async for event in events] == []


async def test_what_the_log_has_dropped_is_told_as_a_gap_before_the_rest() -> None:
    with node(history_events=5) as short:
        async with client(short.url) as courier:
            receipts = await courier.publish_many(told(str(number)) for number in range(20))
            async with courier.subscribe("global", since=receipts[2].position, token=token()) as events:
                gap = await anext(events)
                assert gap == Gap("global", receipts[2].position, receipts[14].position, "expired")
                assert events.position == receipts[14].position
                assert await titles(events, 5) == ["15", "16", "17", "18", "19"]
                assert events.position == receipts[19].position


async def test_an_expired_token_is_refused_or_with_a_callable_replaced_once(shared: Node) -> None:
    async with client(shared.url) as courier:
        with pytest.raises(SubscriptionRefused, match="Token expired"):
            await anext(courier.subscribe("global", token=token(exp=1)))
        given = [token(exp=1), token()]
        async with courier.subscribe("global", token=lambda: given.pop(0)) as events:
            assert events.position is not None
        assert given == []
        given = [token(exp=1), token(exp=2), token()]
        with pytest.raises(SubscriptionRefused, match="Token expired"):
            await anext(courier.subscribe("global", token=lambda: given.pop(0)))
        assert len(given) == 1, "a fresh token is asked for once"


async def test_a_token_that_is_about_to_end_is_renewed_without_losing_the_connection(shared: Node) -> None:
    channel = "backtest.renewed"
    asked = 0

    async def give() -> str:
        nonlocal asked
        asked += 1
        return token(exp=int(time.time()) + (2 if asked == 1 else 3600))

    async with proxy_before(shared.port) as proxy, client(shared.url) as courier:
        through = client(proxy.url)
        async with through, through.subscribe(channel, token=give) as events:
            while asked < 2 or events._session.refresh_at < math.inf:  # until Courier has confirmed it
                with anyio.move_on_after(0.1):
                    await anext(events)
            await courier.publish(*told("after", channel))
            assert await titles(events, 1) == ["after"]
    assert asked == 2
    assert proxy.connections == 1


async def test_a_node_that_leaves_is_come_back_to_and_nothing_is_missed() -> None:
    with redis_server() as redis:
        settings = {"redis_url": redis.url, "drain_seconds": 1}
        with node(**settings) as leaving, node(**settings) as staying:
            async with proxy_before(leaving.port) as proxy, client(staying.url) as courier:
                through = client(proxy.url)
                async with through, through.subscribe("global", token=token()) as events:
                    await courier.publish(*told("before"))
                    assert await titles(events, 1) == ["before"]
                    proxy.to_port = staying.port
                    leaving.leave()
                    number = 0
                    while proxy.connections < 2 or number < 50:
                        await courier.publish(*told(str(number)))
                        assert await titles(events, 1) == [str(number)]
                        number += 1


async def test_a_server_that_is_not_there_yet_is_waited_for() -> None:
    later = Node()
    later.start()
    later.kill()
    async with client(later.url) as courier, anyio.create_task_group() as tasks:
        got: list[str] = []

        async def listen() -> None:
            async with courier.subscribe("global", token=token()) as events:
                await courier.publish(*told("hello"))
                got.extend(await titles(events, 1))

        tasks.start_soon(listen)
        await anyio.sleep(0.2)
        await anyio.to_thread.run_sync(later.start)
    later.kill()
    assert got == ["hello"]


async def test_a_connection_that_is_dead_without_a_word_is_noticed_and_replaced() -> None:
    with node(heartbeat_seconds=0.4) as beating:
        async with proxy_before(beating.port) as proxy, client(beating.url) as courier:
            through = client(proxy.url)
            async with through, through.subscribe("global", token=token()) as events:
                await courier.publish(*told("before"))
                assert await titles(events, 1) == ["before"]
                proxy.freeze()
                await courier.publish(*told("meanwhile"))
                began = anyio.current_time()
                assert await titles(events, 1) == ["meanwhile"]
                assert 0.2 <= anyio.current_time() - began < 3
                assert proxy.connections >= 2


async def test_a_quiet_connection_is_kept_by_both_heartbeats() -> None:
    with node(heartbeat_seconds=0.3) as beating:
        async with proxy_before(beating.port) as proxy, client(proxy.url) as courier:
            async with courier.subscribe("global", token=token()) as events:
                with anyio.move_on_after(1.5):
                    await anext(events)
            assert proxy.connections == 1


async def test_a_loop_that_is_slow_slows_the_node_down_and_misses_nothing(shared: Node) -> None:
    channel = "backtest.slow"
    text = "m" * 20_000
    async with client(shared.url) as courier, courier.subscribe(channel, token=token()) as events:
        large = [(channel, "system.announcement", {"title": str(n), "message": text, "severity": "info"})
                 for n in range(600)]  # fmt: skip
        await courier.publish_many(large)
        assert (await next_event(events)).data["title"] == "0"
        assert len(events._ready) * 20_000 < 200_000, "more is held than was read at a time"
        await anyio.sleep(0.2)
        assert len(events._ready) * 20_000 < 200_000
        assert await titles(events, 599) == [str(number) for number in range(1, 600)]


def test_no_node_can_be_set_to_send_what_is_too_large_here() -> None:
    limits = Settings.model_fields["max_event_bytes"].metadata
    assert 4 * max(limit.le for limit in limits if hasattr(limit, "le")) <= MESSAGE_CHARACTERS
