"""A rate limit in Redis says what the limiter in memory says, and says it to all nodes together."""

import random

import pytest
import trio

from courier.backplane import BackplaneAway
from courier.backplane.admission import Admission
from courier.backplane.redis import RedisBackplane
from courier.web.rate_limit import RateLimiter, SharedRateLimiter, Verdict
from tests.backplane.redis_nodes import SEED, redis_node
from tests.backplane.redis_servers import RedisServer, needs_redis

pytestmark = needs_redis

LIMIT, WINDOW = 12, 1
MICROSECONDS = 1_000_000


@pytest.fixture
def server(server: RedisServer) -> RedisServer:
    server.cli("CONFIG", "RESETSTAT")
    return server


async def test_every_verdict_is_that_of_the_limiter_in_memory(server: RedisServer) -> None:
    randomly = random.Random(SEED)
    in_memory = RateLimiter(LIMIT, WINDOW * MICROSECONDS)  # which takes any unit: here it is microseconds
    admitted = refused = 0
    async with redis_node(server.url) as (backplane, _):
        for step in range(150):
            await trio.sleep(randomly.choice([0, 0, 0, 0.01, 0.03, 0.08]))
            events = randomly.choice([1, 1, 1, 2, 5, LIMIT, LIMIT + 1])
            said = await backplane.admit("prophet", events, LIMIT, WINDOW)
            verdict = in_memory.admit("prophet", events, said.at_microseconds)
            assert said[:2] == (verdict.admitted, verdict.remaining), f"seed {SEED}, step {step}"
            assert round(said.reset_seconds * MICROSECONDS) == verdict.reset_seconds, (
                f"seed {SEED}, step {step}"
            )
            admitted += said.admitted
            refused += not said.admitted
    assert admitted > 20
    assert refused > 20


async def test_what_waits_together_is_decided_in_one_call_and_in_order(server: RedisServer) -> None:
    said: dict[int, Admission] = {}

    async def ask(backplane: RedisBackplane, number: int, events: int) -> None:
        said[number] = await backplane.admit("prophet", events, 10, 60)

    async with redis_node(server.url) as (backplane, _):
        await backplane.admit("another", 1, 10, 60)
        before = server.calls_of("evalsha")
        async with trio.open_nursery() as nursery:
            with server.stopped():
                for number, events in enumerate([4, 4, 4, 2, 1]):
                    nursery.start_soon(ask, backplane, number, events)
                    await trio.sleep(0.01)
        assert server.calls_of("evalsha") - before == 2, "the first, and then all that came while it was away"
    assert [said[number][:2] for number in range(5)] == [
        (True, 6),
        (True, 2),
        (False, 2),
        (True, 0),
        (False, 0),
    ]


async def test_two_nodes_have_one_limit(server: RedisServer) -> None:
    async with redis_node(server.url) as (one, _), redis_node(server.url) as (two, _):
        limiters = [SharedRateLimiter(node, 5, 60, {"forge": 0, "oracle": 2}) for node in (one, two)]
        verdicts = [await limiters[number % 2].admit("prophet", 1) for number in range(7)]
        assert [verdict.admitted for verdict in verdicts] == [True] * 5 + [False] * 2
        assert [verdict.remaining for verdict in verdicts] == [4, 3, 2, 1, 0, 0, 0]
        assert 59 < verdicts[-1].reset_seconds <= 60
        assert [(await limiter.admit("oracle", 1)).admitted for limiter in limiters * 2] == [True] * 2 + [
            False
        ] * 2
        assert await limiters[0].admit("forge", 1000) == Verdict(True, 0, 0, 0.0, 60)


async def test_of_many_at_once_on_two_nodes_exactly_the_limit_is_admitted(server: RedisServer) -> None:
    admitted = 0

    async def ask(backplane: RedisBackplane) -> None:
        nonlocal admitted
        said = await backplane.admit("prophet", 1, 100, 60)
        admitted += said.admitted

    async with (
        redis_node(server.url) as (one, _),
        redis_node(server.url) as (two, _),
        trio.open_nursery() as nursery,
    ):
        for _number in range(150):
            nursery.start_soon(ask, one)
            nursery.start_soon(ask, two)
    assert admitted == 100


async def test_events_never_count_twice_because_no_answer_came(server: RedisServer) -> None:
    async with redis_node(server.url) as (backplane, _):
        await backplane.admit("prophet", 1, 10, 60)

        async def ask() -> None:
            with pytest.raises(BackplaneAway):
                await backplane.admit("prophet", 1, 10, 60)

        async with trio.open_nursery() as nursery:
            with server.stopped():
                nursery.start_soon(ask)
                await trio.sleep(1.1)  # longer than an answer may take, shorter than callers are kept
        assert (await backplane.admit("prophet", 1, 10, 60)).remaining == 7


async def test_a_window_goes_by_itself(server: RedisServer) -> None:
    async with redis_node(server.url) as (backplane, _):
        await backplane.admit("prophet", 1, 10, 60)
        await backplane.admit("refused", 11, 10, 60)
        windows = server.cli("KEYS", "courier:rate:*").split()
        assert [key for key in windows if "{probe:" not in key] == ["courier:rate:{prophet}"]
        assert 59 <= int(server.cli("TTL", "courier:rate:{prophet}")) <= 61


async def test_a_limit_that_was_lowered_counts_at_once(server: RedisServer) -> None:
    async with redis_node(server.url) as (backplane, _):
        assert (await backplane.admit("prophet", 8, 10, 60)).admitted
        assert (await backplane.admit("prophet", 1, 5, 60))[:2] == (False, 0)


async def test_a_clock_that_was_ahead_and_is_set_right_refuses_nobody_for_longer_than_a_window(
    server: RedisServer,
) -> None:
    async with redis_node(server.url) as (backplane, _):
        for _number in range(3):
            await backplane.admit("prophet", 1, 5, 1)
        now = int(server.cli("LINDEX", "courier:rate:{prophet}", -1).split()[0])
        server.cli("RPUSH", "courier:rate:{prophet}", f"{now + 7200 * MICROSECONDS} 2 5")
        said = await backplane.admit("prophet", 1, 5, 1)
        assert (said.admitted, said.remaining) == (False, 0), "the limit holds"
        assert said.reset_seconds <= 1
        await trio.sleep(said.reset_seconds)
        assert (await backplane.admit("prophet", 5, 5, 1))[:2] == (True, 0)
        assert server.cli("LLEN", "courier:rate:{prophet}") == "1"
