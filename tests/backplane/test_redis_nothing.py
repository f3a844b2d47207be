"""What asks for nothing leaves nothing in Redis, and what it was told stays true."""

import trio

from courier.backplane.redis import RedisOptions
from courier.schemas.control import GapReason
from courier.schemas.position import UNBORN, Position
from tests.backplane.redis_nodes import ONE, publish, redis_node
from tests.backplane.redis_servers import RedisServer, needs_redis
from tests.names import channel_name

pytestmark = needs_redis

WEEK_MS = 7 * 86_400_000


async def test_reads_and_joins_of_channels_that_nobody_published_to_write_no_key(server: RedisServer) -> None:
    async with redis_node(server.url) as (backplane, _):

        async def ask(number: int) -> None:
            channel = channel_name(f"backtest.{number}")
            await backplane.read(channel, None if number % 2 else Position("k3v9x0qa", 1), 10)
            backplane.unfollow(channel, await backplane.follow(channel))

        async with trio.open_nursery() as nursery:
            for number in range(1000):
                nursery.start_soon(ask, number)
        assert server.cli("KEYS", "*backtest*") == ""


async def test_a_full_redis_can_still_be_read(server: RedisServer) -> None:
    async with redis_node(server.url) as (backplane, _):
        await publish(backplane, ONE, b"1")
        server.cli("CONFIG", "SET", "maxmemory", "1")
        try:
            assert [record.event for record in (await backplane.read(ONE, None, 10)).records] == [b"1"]
        finally:
            server.cli("CONFIG", "SET", "maxmemory", "0")


async def test_what_an_empty_channel_was_read_to_stays_exact_on_every_node(server: RedisServer) -> None:
    async with redis_node(server.url) as (one, _), redis_node(server.url) as (two, _):
        unborn = (await one.read(ONE, None, 10)).head
        assert unborn.epoch == UNBORN
        assert (await two.read(ONE, unborn, 10)).gap is None
        await publish(two, ONE, b"1", b"2")
        for node in (one, two):
            stretch = await node.read(ONE, unborn, 10)
            assert (stretch.gap, stretch.start.offset) == (None, 0)
            assert [record.event for record in stretch.records] == [b"1", b"2"]


async def test_a_position_of_an_empty_channel_is_a_gap_when_a_log_may_have_come_and_gone(
    server: RedisServer,
) -> None:
    async with redis_node(server.url) as (backplane, _):
        unborn = (await backplane.read(ONE, None, 10)).head
        old = Position(UNBORN, unborn.offset - WEEK_MS - 1000)
        assert (await backplane.read(ONE, old, 10)).gap is GapReason.UNKNOWN_POSITION
        [first] = await publish(backplane, ONE, b"1")
        ahead = Position(UNBORN, first.arrived_ms)
        for since in (old, ahead):
            stretch = await backplane.read(ONE, since, 10)
            assert (stretch.gap, len(stretch.records)) == (GapReason.UNKNOWN_POSITION, 1)


async def test_a_position_of_an_empty_channel_is_a_gap_after_a_flush_that_no_node_saw(
    server: RedisServer,
) -> None:
    async with redis_node(server.url) as (backplane, _):
        unborn = (await backplane.read(ONE, None, 10)).head
        await publish(backplane, ONE, b"1")
    server.cli("FLUSHALL")
    async with redis_node(server.url) as (backplane, _):
        assert (await backplane.read(ONE, unborn, 10)).gap is GapReason.UNKNOWN_POSITION
        await publish(backplane, ONE, b"2")
        assert (await backplane.read(ONE, unborn, 10)).gap is GapReason.UNKNOWN_POSITION


async def test_a_position_of_an_empty_channel_is_a_gap_when_the_first_events_have_gone(
    server: RedisServer,
) -> None:
    async with redis_node(server.url, RedisOptions(history_seconds=0.2)) as (backplane, _):
        unborn = (await backplane.read(ONE, None, 10)).head
        await publish(backplane, ONE, b"1")
        await trio.sleep(0.3)
        await publish(backplane, ONE, b"2")
        stretch = await backplane.read(ONE, unborn, 10)
        assert (stretch.gap, [record.event for record in stretch.records]) == (GapReason.EXPIRED, [b"2"])
