"""Each write of each script fails in turn: what is left of it, and what the repeat then answers."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from courier.backplane import Appended, BackplaneAway, BackplaneRefused, Publication
from courier.backplane.redis import RedisBackplane, RedisOptions
from courier.schemas.position import UNBORN, Position
from tests.backplane.redis_nodes import ONE, publish, redis_node
from tests.backplane.redis_servers import RedisServer, needs_redis

pytestmark = needs_redis

WHERE, LOG, KEY = (f"courier:{{user.u1}}:{name}" for name in ("where", "log", "key:bot:a"))
KEYED = Publication(b'{"n":9}', "bot:a", b"9")

WRITES = ("pexpire", "hset", "del", "set", "xadd", "xtrim", "publish")
"""All that `publish.lua` and `follow.lua` write with; each is denied in turn."""


@asynccontextmanager
async def denied(server: RedisServer, command: str, backplane: RedisBackplane) -> AsyncIterator[None]:
    server.cli("ACL", "SETUSER", "default", f"-{command}")
    try:
        yield
    finally:
        server.cli("ACL", "SETUSER", "default", f"+{command}")


async def try_to_publish(backplane: RedisBackplane, publication: Publication = KEYED) -> Appended | None:
    """The receipt; None when Redis refuses."""
    with suppress(BackplaneAway, BackplaneRefused):
        [outcome] = await backplane.publish(ONE, [publication], 1e9)
        assert isinstance(outcome, Appended)
        return outcome
    return None


async def until_it_is_published(backplane: RedisBackplane) -> Appended:
    while (receipt := await try_to_publish(backplane)) is None:
        pass
    return receipt


async def everything(backplane: RedisBackplane, epoch: str) -> list[int]:
    stretch = await backplane.read(ONE, Position(epoch, 0), 100)
    assert stretch.gap is None
    assert [record.position.offset for record in stretch.records] == [*range(1, len(stretch.records) + 1)]
    assert stretch.head.offset == len(stretch.records), "an offset was counted, and there is no event"
    return [json.loads(record.event)["n"] for record in stretch.records]


@pytest.mark.parametrize("command", WRITES)
@pytest.mark.parametrize("events", [0, 2])
async def test_a_publish_of_which_one_write_fails_is_all_there_or_not_at_all(
    server: RedisServer, command: str, events: int
) -> None:
    # So small that the log is trimmed at each publish.
    async with redis_node(server.url, RedisOptions(history_bytes=14 if events else 1 << 20)) as (
        backplane,
        _,
    ):
        for number in range(events):
            await publish(backplane, ONE, b'{"n":%d}' % number)
        async with denied(server, command, backplane):
            first = await try_to_publish(backplane)
            second = await try_to_publish(backplane)
        if first is None:
            assert second is None or second.deduplicated
        receipt = await until_it_is_published(backplane)
        stretch = await backplane.read(ONE, None, 100)
        numbers = [json.loads(record.event)["n"] for record in stretch.records]
        assert numbers.count(9) == 1, "acknowledged, and so once in the log"
        assert numbers[-1] == 9
        assert stretch.head == stretch.records[-1].position == receipt.position
        assert receipt.position.offset == events + 1
        assert int(server.cli("PTTL", WHERE)) > 0
        assert int(server.cli("PTTL", LOG)) > 0
        again = await until_it_is_published(backplane)
        assert (again.position, again.deduplicated) == (receipt.position, True)


@pytest.mark.parametrize("key", [WHERE, LOG, KEY])
async def test_a_key_of_another_type_is_no_receipt(server: RedisServer, key: str) -> None:
    async with redis_node(server.url) as (backplane, _):
        await publish(backplane, ONE, b'{"n":0}')
        epoch = server.cli("HGET", WHERE, "epoch")
        server.cli("RENAME", key, "aside") if key != KEY else None
        server.cli("SADD", key, "no such thing")
        assert await try_to_publish(backplane) is None
        assert await try_to_publish(backplane) is None
        server.cli("DEL", key)
        server.cli("RENAME", "aside", key) if key != KEY else None
        receipt = await until_it_is_published(backplane)
        assert (receipt.position, receipt.deduplicated) == (Position(epoch, 2), False)
        assert await everything(backplane, epoch) == [0, 9]


async def test_a_log_that_is_ahead_of_where_it_stands_gives_no_receipt_and_then_begins_anew(
    server: RedisServer,
) -> None:
    async with redis_node(server.url) as (backplane, _):
        [before] = await publish(backplane, ONE, b'{"n":0}')
        server.cli("XADD", LOG, "7", "t", "1", "e", '{"n":7}', "b", "0")
        assert await try_to_publish(backplane) is None
        receipt = await until_it_is_published(backplane)
        assert not receipt.deduplicated
        assert receipt.position == Position(receipt.position.epoch, 1)
        assert receipt.position.epoch != before.position.epoch
        assert await everything(backplane, receipt.position.epoch) == [9]


async def test_a_first_publish_that_fails_leaves_no_log_behind(server: RedisServer) -> None:
    async with redis_node(server.url) as (backplane, _):
        unborn = (await backplane.read(ONE, None, 1)).head
        async with denied(server, "xadd", backplane):
            assert await try_to_publish(backplane) is None
        assert server.cli("EXISTS", WHERE, LOG) == "0"
        assert (await backplane.follow(ONE)).position.epoch == UNBORN
        receipt = await until_it_is_published(backplane)
        assert (receipt.position.offset, receipt.deduplicated) == (1, False)
        assert (await backplane.read(ONE, unborn, 10)).gap is None


@pytest.mark.parametrize("command", ["pexpire", "hset", "del", "publish"])
async def test_a_new_epoch_of_which_one_write_fails_is_begun_by_the_next_call(
    server: RedisServer, command: str
) -> None:
    async with redis_node(server.url) as (backplane, _):
        [first] = await publish(backplane, ONE, b'{"n":0}')
        await publish(backplane, ONE, b'{"n":1}')
        server.cli("HSET", WHERE, "offset", 1)  # as if the second were lost
        async with denied(server, command, backplane):
            with suppress(BackplaneAway, BackplaneRefused):
                await backplane.follow(ONE)
        receipt = await until_it_is_published(backplane)
        assert receipt.position == Position(receipt.position.epoch, 1)
        assert receipt.position.epoch != first.position.epoch
        assert await everything(backplane, receipt.position.epoch) == [9]


@pytest.mark.parametrize("command", ["rpush", "pexpire", "ltrim"])
async def test_a_count_of_a_rate_of_which_one_write_fails_counts_nothing(
    server: RedisServer, command: str
) -> None:
    async with redis_node(server.url) as (backplane, _):
        async with denied(server, command, backplane):
            with suppress(BackplaneAway, BackplaneRefused):
                await backplane.admit("prophet", 1, 10, 60)
        counted = command == "ltrim"  # which a window without anything too old does not need
        assert server.cli("LLEN", "courier:rate:{prophet}") == str(int(counted))
        while True:
            with suppress(BackplaneAway, BackplaneRefused):
                assert (await backplane.admit("prophet", 1, 10, 60)).remaining == 9 - counted
                break
        assert int(server.cli("PTTL", "courier:rate:{prophet}")) > 0
