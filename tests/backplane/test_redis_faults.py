"""Redis is killed, hangs or loses connections: nobody waits long, nothing is applied twice or lost unsaid."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import pytest
import trio
import trio.testing

from courier.backplane import BackplaneAway, Publication
from courier.backplane.redis import RedisBackplane, RedisOptions
from courier.schemas.channels import ChannelName
from courier.schemas.position import Position
from tests.backplane.feeds import Recorder
from tests.backplane.proxies import open_proxy
from tests.backplane.redis_nodes import ONE, TWO, eventually, publish, redis_node
from tests.backplane.redis_servers import RedisServer, needs_redis, redis_server

pytestmark = needs_redis

ANSWERED_SECONDS = 3.5
"""Within so long every call has an answer, whatever Redis does."""


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server(durable=True) as server:
        yield server


async def refused(backplane: RedisBackplane) -> None:
    """Every kind of call ends with `BackplaneAway`, and in time."""

    async def each(call: Callable[[], Awaitable[object]]) -> None:
        began = trio.current_time()
        with pytest.raises(BackplaneAway):
            await call()
        assert trio.current_time() - began < ANSWERED_SECONDS

    async with trio.open_nursery() as nursery:
        for call in (
            lambda: publish(backplane, ONE, b"never acknowledged"),
            lambda: backplane.read(ONE, None, 10),
            lambda: backplane.follow(ONE),
            lambda: backplane.follow(TWO),
            lambda: backplane.admit("prophet", 1, 10, 60),
        ):
            nursery.start_soon(each, call)


async def test_a_redis_that_is_killed_is_away_within_a_second_and_back_with_all_it_acknowledged(
    server: RedisServer,
) -> None:
    async with redis_node(server.url, seconds=25) as (backplane, feed):
        await backplane.follow(ONE)
        outcomes = await publish(backplane, ONE, b"1", b"2")
        await feed.until(lambda: len(feed.records[ONE]) == 2)
        server.kill()
        assert await eventually(lambda: backplane.trouble is not None) < 1
        await refused(backplane)
        feed.doubts.clear()
        began = trio.current_time()
        server.start()
        await eventually(lambda: backplane.trouble is None)
        assert trio.current_time() - began < 1, "half a second, and what the server's start takes"
        await feed.until(lambda: None in feed.doubts)
        last = outcomes[-1].position
        assert (await backplane.follow(ONE, last)).position == last
        assert [record.event for record in (await backplane.read(ONE, None, 10)).records] == [b"1", b"2"]
        [after] = await publish(backplane, ONE, b"3")
        assert after.position == Position(last.epoch, 3)
        await feed.until(lambda: feed.events(ONE) == [b"1", b"2", b"3"])


async def test_a_redis_that_hangs_is_away_within_a_second_and_holds_nobody_up(server: RedisServer) -> None:
    async with redis_node(server.url, seconds=25) as (backplane, feed):
        await backplane.follow(ONE)
        with server.stopped():
            assert await eventually(lambda: backplane.trouble is not None) < 1.1
            await refused(backplane)
        assert await eventually(lambda: backplane.trouble is None) < 0.5
        feed.doubts.clear()
        feed.records.clear()
        await backplane.follow(ONE)
        await publish(backplane, ONE, b"after")
        await feed.until(lambda: feed.events(ONE)[-1:] == [b"after"])
        stretch = await backplane.read(ONE, None, 10)
        assert [record.event for record in stretch.records].count(b"never acknowledged") <= 1


async def test_a_publish_that_got_no_answer_in_time_is_sent_again_and_applied_once(
    server: RedisServer,
) -> None:
    async with redis_node(server.url) as (backplane, _):
        await backplane.follow(ONE)
        for number in range(1, 3):
            async with trio.open_nursery() as nursery:
                with server.stopped():
                    nursery.start_soon(publish, backplane, ONE, b"%d" % number)
                    nursery.start_soon(publish, backplane, ONE, b"%d" % number)
                    await trio.sleep(1.1)  # longer than an answer may take, shorter than callers are kept
        assert server.calls_of("evalsha") > 3, "something was sent again"
        stretch = await backplane.read(ONE, None, 10)
        assert [record.event for record in stretch.records] == [b"1", b"1", b"2", b"2"]


async def test_connections_that_are_killed_again_and_again_cost_no_publish_and_apply_none_twice(
    server: RedisServer,
) -> None:
    async with redis_node(server.url) as (backplane, _):
        kills = 0
        published = Counter[str]()

        async def publisher(name: str) -> None:
            while kills < 20:
                await publish(backplane, ONE, f"{name}{published[name]}".encode())
                published[name] += 1

        def have_gone_on(before: Counter[str]) -> bool:
            return all(published[name] > before[name] + 1 for name in "abcd")

        async with trio.open_nursery() as nursery:
            for name in "abcd":
                nursery.start_soon(publisher, name)
            while kills < 20:
                # What is sent for the second time must not meet a second kill: there is no third.
                await eventually(partial(have_gone_on, published.copy()))
                server.cli("CLIENT", "KILL", "TYPE", "normal")
                kills += 1
        assert backplane.trouble is None
        stretch = await backplane.read(ONE, Position((await backplane.follow(ONE)).position.epoch, 0), 10_000)
        events = [record.event for record in stretch.records]
        assert len(events) == sum(published.values())
        for name, count in published.items():
            own = [event for event in events if event.startswith(name.encode())]
            assert own == [f"{name}{number}".encode() for number in range(count)]


async def test_a_line_that_is_killed_again_and_again_comes_back_each_time_and_the_feed_is_told_to_look(
    server: RedisServer,
) -> None:
    async with redis_node(server.url) as (backplane, feed):
        await backplane.follow(ONE)
        await backplane.follow(TWO)
        heard: list[str] = []

        def note_who_hears(told: ChannelName | None) -> None:
            if told is None:
                heard.append(server.cli("PUBSUB", "CHANNELS", "courier:*"))

        feed.when_told = note_who_hears
        for number in range(10):
            feed.doubts.clear()
            assert server.cli("CLIENT", "KILL", "TYPE", "pubsub") != "0"
            await publish(backplane, ONE, b"perhaps missed")
            await feed.until(lambda: None in feed.doubts)
            await publish(backplane, ONE, b"%d" % number)
            await feed.until(lambda number=number: feed.events(ONE)[-1:] == [b"%d" % number])  # type: ignore[misc]
            assert backplane.trouble is None
        channels = [[name for name in names.split() if "revocations" not in name] for names in heard]
        assert all(len(names) == 2 for names in channels), "told when all is heard again, and not before"


async def test_now_and_then_the_feed_is_told_to_look_though_nothing_seems_to_be_missing(
    server: RedisServer,
) -> None:
    async with redis_node(server.url, RedisOptions(look_again_seconds=0.05)) as (backplane, feed):
        await backplane.follow(ONE)
        for _ in range(3):
            feed.doubts.clear()
            await feed.until(lambda: feed.doubts == [None])


async def test_a_line_that_hangs_while_all_else_works_is_noticed_and_replaced(server: RedisServer) -> None:
    async with (
        open_proxy(server.port) as proxy,
        redis_node(f"redis://127.0.0.1:{proxy.port}") as (backplane, feed),
    ):
        await backplane.follow(ONE)
        feed.doubts.clear()
        assert proxy.freeze_subscribers() == 1
        await publish(backplane, ONE, b"missed")
        began = trio.current_time()
        await feed.until(lambda: None in feed.doubts)
        assert trio.current_time() - began < 3.2
        assert backplane.trouble is None
        await publish(backplane, ONE, b"heard")
        await feed.until(lambda: feed.events(ONE) == [b"heard"])


@pytest.mark.parametrize(
    ("unable", "able"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0")),
    ],
)
async def test_a_redis_that_takes_no_writes_is_away_though_it_answers(
    server: RedisServer, unable: tuple[str, ...], able: tuple[str, ...]
) -> None:
    async with redis_node(server.url) as (backplane, _):
        await publish(backplane, ONE, b"1")
        server.cli(*unable)
        with pytest.raises(BackplaneAway):
            await publish(backplane, ONE, b"2")
        assert backplane.trouble is not None
        await trio.sleep(0.5)
        assert backplane.trouble is not None
        server.cli(*able)
        assert await eventually(lambda: backplane.trouble is None) < 0.8
        [outcome] = await publish(backplane, ONE, b"2")
        assert outcome.position.offset == 2


async def test_two_hundred_callers_that_are_cancelled_leave_every_connection_in_order(
    server: RedisServer,
) -> None:
    async with redis_node(server.url) as (backplane, _):
        for number in range(200):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(publish, backplane, ONE, b"%d" % number)
                    nursery.start_soon(backplane.read, ONE, None, 10)
                    nursery.start_soon(backplane.admit, "prophet", 1, 1000, 60)
                    for _ in range(number % 20):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()
        assert (await publish(backplane, ONE, b"last"))[0].position.offset > 1
        assert await backplane.read(ONE, None, 1)
        assert backplane.waiting == 0
        connections = server.cli("CLIENT", "LIST", "TYPE", "normal").count(" cmd=")
        assert connections <= 5, "writes, windows, pages, the feed, and this question itself"


async def test_a_node_that_starts_while_redis_is_away_comes_up_and_finds_it_later(
    server: RedisServer,
) -> None:
    server.kill()
    async with redis_node(server.url) as (backplane, feed):
        assert backplane.trouble is not None
        with pytest.raises(BackplaneAway):
            await publish(backplane, ONE, b"1")
        server.start()
        await eventually(lambda: backplane.trouble is None)
        await feed.until(lambda: None in feed.doubts)
        await backplane.follow(ONE)
        await publish(backplane, ONE, b"1")
        await feed.until(lambda: feed.events(ONE) == [b"1"])


async def test_a_redis_restored_from_an_older_copy_starts_a_new_epoch_for_every_node() -> None:
    with redis_server() as server:
        async with redis_node(server.url) as (one, one_feed), redis_node(server.url) as (two, two_feed):
            await one.follow(ONE)
            await two.follow(ONE)
            await publish(one, ONE, b"1")
            server.cli("SAVE")
            [lost] = await publish(one, ONE, b"2")
            for feed in (one_feed, two_feed):
                await feed.until(lambda feed=feed: len(feed.records[ONE]) == 2)  # type: ignore[misc]
            server.kill()
            await eventually(lambda: one.trouble is not None and two.trouble is not None)
            one_feed.doubts.clear()
            two_feed.doubts.clear()
            server.start()
            await _looked_for(one_feed)
            await _looked_for(two_feed)
            origin = await one.follow(ONE, lost.position)
            assert origin.position.epoch != lost.position.epoch
            # By the channel's feed, or in general if that is heard again only now.
            await two_feed.until(lambda: ONE in two_feed.doubts or two_feed.doubts.count(None) > 1)
            assert await two.follow(ONE, lost.position) == origin
            [fresh] = await publish(two, ONE, b"3")
            assert fresh.position == Position(origin.position.epoch, 1)


async def _looked_for(feed: Recorder) -> None:
    await feed.until(lambda: None in feed.doubts)


async def test_whoever_still_waits_when_the_node_leaves_is_told(server: RedisServer) -> None:
    told: list[Exception] = []

    async def one(backplane: RedisBackplane) -> None:
        try:
            await backplane.publish(ONE, [Publication(b"1")], trio.current_time() + 5)
        except BackplaneAway as away:
            told.append(away)

    async with trio.open_nursery() as nursery:
        with server.stopped():
            async with redis_node(server.url) as (backplane, _):
                pass
            assert backplane.trouble is not None
            async with redis_node(server.url) as (backplane, _):
                nursery.start_soon(one, backplane)
                await trio.testing.wait_all_tasks_blocked(0.01)
    assert len(told) == 1
