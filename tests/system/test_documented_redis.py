"""The Redis of docs/operations.md, started as documented: it keeps all, or Courier says what is gone."""

import re
import subprocess
from collections.abc import Iterator

import pytest
import trio

from courier.backplane.redis.inspection import (
    NO_LIMIT,
    NOT_KEPT,
    NOT_REPLAYED,
    THROWN_OUT,
    UNSEEN,
    check_redis,
)
from courier.backplane.redis.scripts import FOLLOW, PUBLISH, READ, WINDOW
from tests.backplane.documented_redis import USERS, DocumentedRedis, block, documented_redis, granted
from tests.backplane.redis_servers import needs_redis, redis_server
from tests.system.nodes import CHANNEL, Publisher, Reader, judge, until_ready
from tests.web.servers import TestServer, a_server, announcement, token

pytestmark = [needs_redis, pytest.mark.system]

BEFORE = [str(number) for number in range(10)]
AFTER = [str(number) for number in range(10, 20)]


@pytest.fixture
def redis() -> Iterator[DocumentedRedis]:
    with documented_redis() as redis:
        yield redis


async def history(server: TestServer) -> list[str]:
    answer = await server.request("GET", f"/history/{CHANNEL}?token={token()}&limit=1000")
    return [event["title"] for event in answer.json["events"]]


async def test_it_keeps_everything_over_a_restart(redis: DocumentedRedis) -> None:
    with trio.fail_after(30):
        publisher = Publisher()
        async with a_server(redis_url=redis.url) as one, trio.open_nursery() as nursery:
            reader = Reader(one)
            await nursery.start(reader.run)
            await publisher.run(one, BEFORE)
            redis.kill()
            redis.start()
            await publisher.run(one, AFTER, until_taken=True)
            await reader.until_got(len(BEFORE + AFTER))
            judge(reader, publisher.acknowledged)
            assert (reader.gaps, reader.closes) == ([], [])
            nursery.cancel_scope.cancel()
        redis.kill()
        redis.start()
        async with a_server(redis_url=redis.url) as another:
            assert await history(another) == BEFORE + AFTER, "a node that has nothing of its own"


def commands(text: str) -> str:
    """Those of a block of the runbook that ask no service manager and no root."""
    return "".join(line for line in text.splitlines(True) if not re.match("systemctl|chown|DATA=", line))


def run(redis: DocumentedRedis, text: str) -> None:
    subprocess.run(
        ["sh", "-euc", commands(text)],
        env={"PATH": "/usr/bin:/bin", "OPS": redis.ops, "DATA": str(redis.directory)},
        cwd=redis.directory,
        check=True,
        timeout=20,
        capture_output=True,
    )


async def test_set_back_to_a_backup_it_goes_on_and_whoever_has_lost_events_is_told(
    redis: DocumentedRedis,
) -> None:
    with trio.fail_after(30):
        async with a_server(redis_url=redis.url) as server, trio.open_nursery() as nursery:
            reader = Reader(server)
            await nursery.start(reader.run)
            publisher = Publisher()
            await publisher.run(server, BEFORE)
            quiet = [(await server.publish("user.quiet", announcement(title))).json["id"] for title in "ab"]
            run(redis, block("DATA=/var/lib/redis"))
            await publisher.run(server, AFTER)
            await reader.until_got(len(BEFORE + AFTER))
            redis.kill()
            run(redis, block("systemctl stop redis-server"))
            redis.start()
            fresh = Publisher()
            await fresh.run(server, ["new"], until_taken=True)
            await reader.until(lambda reader: "new" in reader.titles)
            assert reader.gaps == ["unknown_position"]
            assert reader.titles == [*BEFORE, *AFTER, "new"]
            epochs = [one.partition("-")[0] for one in (reader.ids[-2], fresh.acknowledged["new"])]
            assert epochs[0] != epochs[1]
            bearer = token("quiet")
            answer = await server.request("GET", f"/history/user.quiet?token={bearer}&since={quiet[0]}")
            assert [event["title"] for event in answer.json["events"]] == ["b"]
            assert answer.json["complete"] is True
            nursery.cancel_scope.cancel()


async def test_begun_anew_it_tells_every_subscriber_once_without_a_restart_of_nodes(
    redis: DocumentedRedis,
) -> None:
    with trio.fail_after(30):
        async with a_server(redis_url=redis.url) as server, trio.open_nursery() as nursery:
            reader = Reader(server)
            await nursery.start(reader.run)
            publisher = Publisher()
            await publisher.run(server, BEFORE)
            await reader.until_got(len(BEFORE))
            run(redis, block("redis-cli -u $OPS -n 0 flushdb"))
            await publisher.run(server, AFTER)
            await reader.until(lambda reader: reader.titles == BEFORE + AFTER)
            assert (reader.gaps, reader.closes) == (["unknown_position"], [])
            late = Reader(server)
            late.since = publisher.acknowledged[BEFORE[-1]]
            await nursery.start(late.run)
            await late.until(lambda reader: reader.titles == AFTER)
            assert late.gaps == ["unknown_position"]
            nursery.cancel_scope.cancel()


async def test_full_it_refuses_and_keeps_what_it_has(redis: DocumentedRedis) -> None:
    with trio.fail_after(30):
        async with a_server(redis_url=redis.url) as server, trio.open_nursery() as nursery:
            reader = Reader(server)
            await nursery.start(reader.run)
            publisher = Publisher()
            await publisher.run(server, BEFORE)
            used = int(re.findall(r"used_memory:(\d+)", redis.cli("INFO", "memory"))[0])
            redis.cli("CONFIG", "SET", "maxmemory", used + 500_000)
            while (answer := await server.publish(CHANNEL, announcement(message="x" * 50_000))).status == 200:
                pass
            assert (answer.status, answer.error["error"]) == (
                503,
                "Redis refused the write: OOM; try again later",
            )
            assert (await server.request("GET", "/health/ready")).json["reason"] == (
                "Redis refused the write: OOM"
            )
            redis.cli("CONFIG", "SET", "maxmemory", used + 50_000_000)
            await until_ready(server)
            await publisher.run(server, AFTER)
            await reader.until(lambda reader: reader.titles[-1:] == AFTER[-1:])
            assert reader.gaps == []
            titles = [title for title in reader.titles if title != "t"]
            assert titles == BEFORE + AFTER
            assert len(reader.ids) == len(set(reader.ids))
            nursery.cancel_scope.cancel()


async def test_on_a_full_disk_it_exits_and_once_there_is_room_again_nothing_acknowledged_is_lost(
    redis: DocumentedRedis,
) -> None:
    with trio.fail_after(30):
        async with a_server(redis_url=redis.url) as server, trio.open_nursery() as nursery:
            reader = Reader(server)
            await nursery.start(reader.run)
            publisher = Publisher()
            await publisher.run(server, BEFORE)
            [log] = redis.directory.glob("appendonlydir/*.incr.aof")
            redis.fill_disk(log.stat().st_size + 100)
            await publisher.run(server, ["lost"])
            assert [status for status, _ in publisher.refused] == [503]
            assert redis.exit_code() == 1
            assert "Can't recover from AOF write error" in (redis.directory / "server.log").read_text()
            await until_ready(server, 503)
            assert (await server.request("GET", "/health/ready")).json["reason"] == "Redis unreachable"
            redis.start()
            await until_ready(server)
            await publisher.run(server, AFTER)
            await reader.until(lambda reader: reader.titles[-1:] == AFTER[-1:])
            judge(reader, publisher.acknowledged)
            assert (reader.gaps, reader.closes) == ([], [])
            nursery.cancel_scope.cancel()


# What Courier sees of it


async def test_nothing_is_said_against_the_documented_one(redis: DocumentedRedis) -> None:
    assert list(await check_redis(redis.url)) == []


async def test_a_user_default_whose_rights_do_not_allow_a_replay_is_said() -> None:
    users = USERS.replace("user default off ~* &* +@all", "user default off")
    assert users != USERS
    with documented_redis(users) as redis:
        assert list(await check_redis(redis.url)) == [NOT_REPLAYED]


async def test_a_redis_that_keeps_nothing_throws_out_or_has_no_limit_is_said() -> None:
    with redis_server("--maxmemory-policy", "allkeys-lru") as redis:
        assert list(await check_redis(redis.url)) == [NOT_KEPT, THROWN_OUT, NO_LIMIT]


async def test_a_user_who_may_not_look_is_told_that_he_may_not() -> None:
    with documented_redis(USERS.replace(" +info +acl|dryrun", "")) as redis:
        assert list(await check_redis(redis.url)) == [UNSEEN]


async def test_the_user_may_do_what_the_scripts_and_the_node_need_and_no_more(redis: DocumentedRedis) -> None:
    texts = "".join(script.text for script in (PUBLISH, FOLLOW, READ, WINDOW))
    in_scripts = {name.lower() for name in re.findall(r"redis\.call\(\s*'(\w+)'", texts)} | {"publish"}
    assert len(in_scripts) > 10
    assert in_scripts <= granted()
    with trio.fail_after(20):
        async with (
            a_server(redis_url=redis.url + "/1", rate_limit=5) as server,
            trio.open_nursery() as nursery,
        ):
            reader = Reader(server)
            await nursery.start(reader.run)
            first = (await server.publish(CHANNEL, announcement("a"), Idempotency_Key="k")).json
            await server.publish(CHANNEL, announcement("a"), Idempotency_Key="k")
            await server.request("GET", f"/history/{CHANNEL}?token={token()}&since={first['id']}")
            await reader.until_got(1)
            while redis.calls_of("ping") < 3:
                await trio.sleep(0.02)
            while "courier_backplane_limit_bytes 2.1" not in (
                (await server.request("GET", "/metrics")).body.decode()
            ):
                await trio.sleep(0.02)
            nursery.cancel_scope.cancel()
    refused = set(re.findall(r"^object\n(.+)$", redis.cli("ACL", "LOG"), re.MULTILINE))
    assert refused <= {"client|setinfo"}, "coredis gives its name to Redis 7.2 and newer, and goes on without"
    called = set(re.findall(r"cmdstat_([\w|-]+):calls=[1-9]", redis.cli("INFO", "commandstats")))
    assert granted() - called - in_scripts == {"unsubscribe"} - called
