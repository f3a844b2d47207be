"""One Redis, one or two nodes, and nothing that fails: what is published, followed and read."""

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import trio

from courier.backplane import Appended, KeyConflict, Outcome, Publication
from courier.backplane.redis import RedisBackplane, RedisOptions, open_redis
from courier.schemas.channels import ChannelName
from courier.schemas.position import Position
from tests.backplane.feeds import Recorder
from tests.backplane.redis_servers import RedisServer, needs_redis, redis_server

pytestmark = needs_redis

GLOBAL = ChannelName.parse("global")
SEED = 7
ONE, TWO = ChannelName.parse("user.u1"), ChannelName.parse("user.u2")


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> RedisServer:
    running.cli("FLUSHALL")
    running.cli("CONFIG", "RESETSTAT")
    return running


@asynccontextmanager
async def node(
    server: RedisServer, options: RedisOptions | None = None
) -> AsyncIterator[tuple[RedisBackplane, Recorder]]:
    with trio.fail_after(10):
        async with open_redis(server.url, options) as backplane:
            feed = Recorder()
            backplane.feed = feed
            yield backplane, feed


async def publish(
    backplane: RedisBackplane,
    channel: ChannelName,
    *events: bytes,
    known: Position | None = None,
    reached: int = 0,
) -> list[Outcome]:
    publications = [Publication(event) for event in events]
    by = trio.current_time() + 1
    return await backplane.publish(channel, publications, by, known=known, reached=reached)


def appended(outcomes: list[Outcome]) -> list[Appended]:
    assert all(isinstance(outcome, Appended) for outcome in outcomes)
    return [outcome for outcome in outcomes if isinstance(outcome, Appended)]


async def test_it_is_up_when_it_is_open(server: RedisServer) -> None:
    async with node(server) as (backplane, _):
        assert backplane.up


async def test_offsets_count_up_from_one_and_arrivals_never_go_back(server: RedisServer) -> None:
    async with node(server) as (backplane, _):
        one = appended(await publish(backplane, ONE, b"1", b"2", reached=7))
        two = appended(await publish(backplane, ONE, b"3"))
        assert [outcome.position.offset for outcome in one + two] == [1, 2, 3]
        assert len({outcome.position.epoch for outcome in one + two}) == 1
        arrivals = [outcome.arrived_ms for outcome in one + two]
        assert arrivals == sorted(arrivals)
        assert [outcome.clients_reached for outcome in one + two] == [7, 7, 0]
        assert not any(outcome.deduplicated for outcome in one + two)


async def test_what_follows_the_origin_is_fed_to_every_node_in_one_order(server: RedisServer) -> None:
    async with node(server) as (one, one_feed), node(server) as (two, two_feed):
        before = appended(await publish(one, ONE, b"before"))[0]
        origin = await one.follow(ONE)
        assert origin == (before.position, before.arrived_ms)
        assert await two.follow(ONE) == origin
        randomly = random.Random(SEED)

        async def publish_some(backplane: RedisBackplane, name: str) -> None:
            for number in range(20):
                events = [f"{name}{number}.{part}".encode() for part in range(randomly.randint(1, 4))]
                await publish(backplane, ONE, *events)

        async with trio.open_nursery() as nursery:
            for name in "abcd":
                nursery.start_soon(publish_some, one if name < "c" else two, name)
        head = (await one.follow(ONE)).position
        for feed in (one_feed, two_feed):
            await feed.until(lambda feed=feed: len(feed.records[ONE]) == head.offset - 1)  # type: ignore[misc]
        assert one_feed.records == two_feed.records
        positions = [record.position for record in one_feed.records[ONE]]
        assert positions == [Position(head.epoch, offset) for offset in range(2, head.offset + 1)]
        stretch = await one.read(ONE, origin.position, 1000)
        assert list(stretch.records) == one_feed.records[ONE]


async def test_the_same_key_and_event_is_appended_once_and_another_event_is_a_conflict(
    server: RedisServer,
) -> None:
    async with node(server) as (backplane, feed):
        await backplane.follow(ONE)

        async def keyed(*publications: tuple[bytes, str, bytes]) -> list[Outcome]:
            given = [Publication(*publication) for publication in publications]
            return await backplane.publish(ONE, given, trio.current_time() + 1, reached=3)

        first, plain = appended(await keyed((b"e", "svc k", b"\x00\n\xff"), (b"plain", "", b"")))
        again, conflict, fresh = await keyed(
            (b"e", "svc k", b"\x00\n\xff"), (b"other", "svc k", b"d2"), (b"f", "svc k2", b"")
        )
        assert again == first._replace(deduplicated=True)
        assert isinstance(conflict, KeyConflict)
        assert isinstance(fresh, Appended)
        assert fresh.position.offset == plain.position.offset + 1 == 3
        await feed.until(lambda: len(feed.records[ONE]) == 3)
        assert feed.events(ONE) == [b"e", b"plain", b"f"]


async def test_two_channels_have_two_logs(server: RedisServer) -> None:
    async with node(server) as (backplane, feed):
        one, two = await backplane.follow(ONE), await backplane.follow(TWO)
        assert one.position.epoch != two.position.epoch
        await publish(backplane, TWO, b"two")
        await feed.until(lambda: bool(feed.records[TWO]))
        assert not feed.records[ONE]
        assert (await backplane.follow(ONE)).position == one.position
