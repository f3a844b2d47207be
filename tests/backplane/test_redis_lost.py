"""Redis has lost events: a node that has seen them finds out, though the channel does not run on it."""

from collections.abc import Awaitable, Callable

import pytest

from courier.backplane.redis import RedisBackplane, RedisOptions
from courier.schemas.control import GapReason
from courier.schemas.position import Position
from tests.backplane.redis_nodes import ONE, TWO, publish, redis_node
from tests.backplane.redis_servers import RedisServer, needs_redis

pytestmark = needs_redis


def remember(server: RedisServer) -> None:
    for key in ("where", "log"):
        server.cli("COPY", f"courier:{{user.u1}}:{key}", f"remembered:{{user.u1}}:{key}", "REPLACE")


def go_back(server: RedisServer) -> None:
    """As after a fail-over to a replica that was behind: the channel is as it was when it was remembered."""
    for key in ("where", "log"):
        server.cli("COPY", f"remembered:{{user.u1}}:{key}", f"courier:{{user.u1}}:{key}", "REPLACE")


async def acknowledged(backplane: RedisBackplane) -> None:
    await publish(backplane, ONE, b"4", b"5")


async def read(backplane: RedisBackplane) -> None:
    await backplane.read(ONE, None, 10)


async def followed(backplane: RedisBackplane) -> None:
    backplane.unfollow(ONE, await backplane.follow(ONE))


async def repeated(backplane: RedisBackplane) -> None:
    """Seen by the feed alone, and followed no longer."""
    origin = await backplane.follow(ONE)
    await publish(backplane, ONE, b"4", b"5")
    backplane.unfollow(ONE, origin)


@pytest.mark.parametrize("saw", [acknowledged, read, followed, repeated])
async def test_a_position_that_a_node_saw_is_not_given_again_though_nobody_subscribes(
    server: RedisServer, saw: Callable[[RedisBackplane], Awaitable[None]]
) -> None:
    async with redis_node(server.url) as (other, _), redis_node(server.url) as (backplane, _):
        before = await publish(other, ONE, b"1", b"2", b"3")
        remember(server)
        if saw in (read, followed):
            await acknowledged(other)
        await saw(backplane)
        go_back(server)
        after = await publish(backplane, ONE, b"6", b"7", b"8")
        epoch = before[0].position.epoch
        assert [outcome.position.offset for outcome in after] == [1, 2, 3]
        assert after[0].position.epoch != epoch
        stretch = await other.read(ONE, Position(epoch, 5), 10)
        assert stretch.gap is GapReason.UNKNOWN_POSITION
        assert [record.event for record in stretch.records] == [b"6", b"7", b"8"]


async def test_a_read_finds_that_events_are_lost_before_it_answers(server: RedisServer) -> None:
    async with redis_node(server.url) as (backplane, _), redis_node(server.url) as (other, feed):
        await publish(backplane, ONE, b"1")
        await other.follow(ONE)
        remember(server)
        [last] = await publish(backplane, ONE, b"2")
        await feed.until(lambda: bool(feed.records[ONE]))
        go_back(server)
        feed.doubts.clear()
        stretch = await backplane.read(ONE, Position(last.position.epoch, 1), 10)
        assert stretch.gap is GapReason.UNKNOWN_POSITION
        assert stretch.head.epoch != last.position.epoch
        await feed.until(lambda: ONE in feed.doubts)


async def test_a_channel_that_was_seen_to_have_events_is_not_new_when_redis_has_lost_it(
    server: RedisServer,
) -> None:
    async with redis_node(server.url) as (backplane, _), redis_node(server.url) as (other, _):
        unborn = (await backplane.read(ONE, None, 1)).head
        await publish(backplane, ONE, b"1")
        server.cli("DEL", "courier:{user.u1}:where", "courier:{user.u1}:log")
        await publish(other, ONE, b"2")  # which knows of nothing
        assert (await other.read(ONE, unborn, 10)).gap is None
        for node in (backplane, other):
            assert (await node.read(ONE, unborn, 10)).gap is GapReason.UNKNOWN_POSITION
            await backplane.follow(ONE)  # from now on Redis knows, too


async def test_what_is_remembered_is_bounded(server: RedisServer) -> None:
    async with redis_node(server.url, RedisOptions(channels=1)) as (backplane, _):
        await publish(backplane, ONE, b"1")
        remember(server)
        [second] = await publish(backplane, ONE, b"2")
        await publish(backplane, TWO, b"1")
        go_back(server)
        [again] = await publish(backplane, ONE, b"3")
        assert again.position == second.position, "nobody remembers"
