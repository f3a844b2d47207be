"""What is read from a log in Redis is what a node's own log would say, whatever is left of the stream."""

import random
import time

import pytest
import trio

from courier.actors.log import Budget, Log
from courier.backplane import Origin, Record, Stretch
from courier.backplane.redis import RedisBackplane, RedisOptions
from courier.schemas.control import GapReason
from courier.schemas.position import UNBORN, Moment, Position, Since
from tests.backplane.redis_nodes import ONE, SEED, eventually, publish, redis_node
from tests.backplane.redis_servers import RedisServer, needs_redis

pytestmark = needs_redis

EPOCH, OTHER = "k3v9x0qa", "aaaaaaaa"
WHERE, LOG = "courier:{user.u1}:where", "courier:{user.u1}:log"
HISTORY_SECONDS = 1000.0


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def write(server: RedisServer, arrivals: list[int], born_ms: int, gone: set[int]) -> None:
    """Make a log of events with these arrivals, but for the offsets that are `gone`."""
    arrived = arrivals[-1] if arrivals else born_ms
    server.cli("DEL", WHERE, LOG)
    server.cli("HSET", WHERE, "epoch", EPOCH, "offset", len(arrivals), "arrived", arrived, "born", born_ms)
    script = (
        "for i = 1, #ARGV, 2 do"
        " redis.call('XADD', KEYS[1], ARGV[i], 't', ARGV[i+1], 'e', 'e' .. ARGV[i], 'b', 0) end"
    )
    given = [
        fact for offset, arrived in enumerate(arrivals, 1) if offset not in gone for fact in (offset, arrived)
    ]
    server.cli("EVAL", script, 1, LOG, *given)


def expected(
    arrivals: list[int], born_ms: int, dropped: int, cutoff_ms: int, since: Since
) -> tuple[int, GapReason | None]:
    """Where a node's own log would begin, which saw the first `dropped` events go without knowing when they
    had arrived."""
    log = Log(Origin(Position(EPOCH, 0), born_ms), Budget(1 << 30))
    for arrived_ms in arrivals:
        log.append(b"", arrived_ms, at=arrived_ms)
    log.trim(keep=len(arrivals) - dropped)
    if dropped:
        log.floor_ms = arrivals[dropped] if dropped < len(arrivals) else arrivals[-1]
    log.trim(before=cutoff_ms)
    cursor, gap = log.since(since)
    return log.position_before(cursor).offset, gap


async def test_every_position_and_moment_begins_where_a_nodes_own_log_would(server: RedisServer) -> None:
    randomly = random.Random(SEED)
    options = RedisOptions(history_seconds=HISTORY_SECONDS)
    for _round in range(25):
        async with redis_node(server.url, options) as (backplane, _):
            count = randomly.randint(0, 25)
            oldest_ms = now_ms() - randomly.choice([100_000, 1_100_000])
            born_ms = oldest_ms - randomly.randint(0, 5)
            arrivals = sorted(oldest_ms + randomly.randint(0, 200_000) // 20 * 20 for _ in range(count))
            dropped = randomly.choice([0, 0, randomly.randint(0, count)])
            write(server, arrivals, born_ms, set(range(1, dropped + 1)))
            cutoff_ms = now_ms() - int(HISTORY_SECONDS * 1000)
            moments = {born_ms - 1, born_ms, born_ms + 1, now_ms()} | {
                arrived_ms + off for arrived_ms in arrivals for off in (-1, 0, 1)
            }
            wanted: list[Since] = [Position(EPOCH, offset) for offset in range(count + 3)]
            wanted += [Position(OTHER, 1), *map(Moment, sorted(moments))]
            answers: dict[Since, Stretch] = {}

            async def ask(since: Since, answers: dict[Since, Stretch] = answers) -> None:
                answers[since] = await backplane.read(ONE, since, 7)

            async with trio.open_nursery() as nursery:
                for since in wanted:
                    nursery.start_soon(ask, since)
            for since, stretch in answers.items():
                start, gap = expected(arrivals, born_ms, dropped, cutoff_ms, since)
                fact = f"seed {SEED}, round {_round}, since {since!r}, {arrivals=}, {dropped=}, {born_ms=}"
                assert (stretch.start, stretch.gap) == (Position(EPOCH, start), gap), fact
                assert stretch.head == Position(EPOCH, count), fact
                assert [tuple(record) for record in stretch.records] == [
                    (Position(EPOCH, offset), arrivals[offset - 1], b"e%d" % offset)
                    for offset in range(start + 1, min(start + 7, count) + 1)
                ], fact


async def test_without_since_the_newest_come_oldest_first(server: RedisServer) -> None:
    async with redis_node(server.url, RedisOptions(history_seconds=HISTORY_SECONDS)) as (backplane, _):
        born_ms = now_ms() - 1_100_000
        arrivals = [born_ms, born_ms + 1, *range(now_ms() - 300, now_ms())]
        write(server, arrivals, born_ms, {1})
        for limit, offsets in ((1, [302]), (130, range(173, 303)), (1000, range(3, 303))):
            stretch = await backplane.read(ONE, None, limit)
            assert [record.position.offset for record in stretch.records] == list(offsets)
            assert stretch.start.offset == offsets[0] - 1
            assert [record.event for record in stretch.records[-1:]] == [b"e302"]
            assert not stretch.more
            assert stretch.gap is None


async def test_pages_join_without_a_hole_or_a_repeat(server: RedisServer) -> None:
    async with redis_node(server.url) as (backplane, _):
        write(server, [now_ms()] * 450, now_ms(), set())
        at, more = Position(EPOCH, 0), True
        found: list[Record] = []
        while more:
            stretch = await backplane.read(ONE, at, 199)
            assert stretch.start == at
            found += stretch.records
            at, more = found[-1].position, stretch.more
        assert [record.position.offset for record in found] == list(range(1, 451))


async def test_a_page_of_large_events_ends_early_and_has_at_least_one(server: RedisServer) -> None:
    async with redis_node(server.url, RedisOptions(answer_seconds=5)) as (backplane, _):
        for _ in range(12):
            await publish(backplane, ONE, *[b"x" * 1_000_000])
        origin = await backplane.follow(ONE)
        stretch = await backplane.read(ONE, Position(origin.position.epoch, 0), 100)
        assert len(stretch.records) == 4
        assert stretch.more
        newest = await backplane.read(ONE, None, 100)
        assert [record.position.offset for record in newest.records] == [9, 10, 11, 12]
        assert newest.start.offset == 8
        await publish(backplane, ONE, b"x" * 6_000_000)
        assert len((await backplane.read(ONE, None, 100)).records) == 1
        assert len((await backplane.read(ONE, origin.position, 100)).records) == 1


async def test_a_channel_that_nobody_knew_is_empty_and_stays_unborn(server: RedisServer) -> None:
    async with redis_node(server.url) as (backplane, _):
        stretch = await backplane.read(ONE, None, 10)
        assert (stretch.start, stretch.gap, list(stretch.records)) == (stretch.head, None, [])
        assert stretch.head.epoch == UNBORN
        assert 0 <= now_ms() - stretch.head.offset < 1000
        assert (await backplane.follow(ONE)).position.epoch == UNBORN
        asked = await backplane.read(ONE, Position(OTHER, 3), 10)
        assert (asked.start.epoch, asked.gap) == (UNBORN, GapReason.UNKNOWN_POSITION)
        assert (await backplane.read(ONE, stretch.head, 10)).gap is None


async def test_a_position_at_the_head_is_no_gap_when_all_events_have_gone(server: RedisServer) -> None:
    async with redis_node(server.url, RedisOptions(history_seconds=0.05)) as (backplane, _):
        first, last = await publish(backplane, ONE, b"1", b"2")
        await eventually(lambda: server.cli("EXISTS", LOG) == "0")
        for since, gap in (
            (last.position, None),
            (first.position, GapReason.EXPIRED),
            (Moment(last.arrived_ms), None),
            (Moment(last.arrived_ms - 1), GapReason.EXPIRED),
            (None, None),
        ):
            stretch = await backplane.read(ONE, since, 10)
            assert (stretch.start, stretch.gap, list(stretch.records)) == (last.position, gap, [])


@pytest.mark.parametrize(
    ("since", "start", "gap", "offsets"),
    [
        (Position(EPOCH, 0), 0, None, [1, 2]),
        (Position(EPOCH, 2), 4, GapReason.EXPIRED, [5, 6]),
        (Position(EPOCH, 3), 4, GapReason.EXPIRED, [5, 6]),
        (Position(EPOCH, 4), 4, None, [5, 6]),
        (Position(EPOCH, 6), 8, GapReason.EXPIRED, []),
        (None, 8, None, []),
    ],
)
async def test_a_stream_with_holes_gives_what_joins_and_says_what_is_missing(
    server: RedisServer, since: Since | None, start: int, gap: GapReason | None, offsets: list[int]
) -> None:
    async with redis_node(server.url) as (backplane, _):
        write(server, [now_ms()] * 8, now_ms(), {3, 4, 7, 8})
        stretch = await backplane.read(ONE, since, 10)
        assert (stretch.start.offset, stretch.gap) == (start, gap)
        assert [record.position.offset for record in stretch.records] == offsets


async def test_a_moment_whose_neighbours_are_missing_is_a_gap(server: RedisServer) -> None:
    async with redis_node(server.url) as (backplane, _):
        begin = now_ms() - 1000
        write(server, [begin + 10 * number for number in range(1, 9)], begin, {3, 4})
        assert (await _starts(backplane, begin + 25)) == (0, GapReason.EXPIRED)
        assert (await _starts(backplane, begin + 55)) == (5, None)
        assert (await _starts(backplane, begin + 15)) == (1, None)


async def _starts(backplane: RedisBackplane, moment_ms: int) -> tuple[int, GapReason | None]:
    stretch = await backplane.read(ONE, Moment(moment_ms), 10)
    return stretch.start.offset, stretch.gap
