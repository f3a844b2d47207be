"""Taking access back on several nodes that share a Redis, which may be away or lose what it had."""

import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import trio

from courier.backplane.redis import open_redis
from courier.backplane.revocations import Revocation
from tests.backplane.conftest import one_cluster as one_cluster
from tests.backplane.redis_servers import RedisCluster, RedisServer, redis_server
from tests.web.servers import TestServer, a_server, closed, token
from tests.web.test_revocations import LATER, REVOKED, ask, revoke

OTHERS = 30


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def redis(running: RedisServer) -> RedisServer:
    running.cli("FLUSHALL")
    return running


@asynccontextmanager
async def two_nodes(redis: RedisServer) -> AsyncIterator[tuple[TestServer, TestServer]]:
    given: dict[str, Any] = {"redis_url": redis.url, "publish_auth": "off", "max_connections_per_user": 0}
    async with a_server(**given) as one, a_server(**given) as two:
        yield one, two


async def until_refused(server: TestServer, bearer: str) -> None:
    """A node hears within a second of what another one was told."""
    with trio.fail_after(5):
        while await server.refused(f"/ws/global?token={bearer}") != REVOKED:
            await trio.sleep(0.05)


async def test_a_revoked_users_sockets_close_on_both_nodes_within_a_second_and_no_others(
    redis: RedisServer,
) -> None:
    async with two_nodes(redis) as nodes, AsyncExitStack() as stack:
        bearer = token("alice")  # of a later second it would be good again
        theirs = [await stack.enter_async_context(node.subscribe("global", bearer)) for node in nodes]
        others = [
            await stack.enter_async_context(nodes[number % 2].subscribe("global", token(f"u{number}")))
            for number in range(OTHERS)
        ]
        await revoke(nodes[0], user_id="alice")
        with trio.fail_after(3):  # a second, and what a busy machine needs
            assert [await closed(each) for each in theirs] == [REVOKED, REVOKED]
        for each in others:
            await each.send_message("ping")
            assert await each.get_message() == "pong"
        for node in nodes:
            assert await node.refused(f"/ws/global?token={bearer}") == REVOKED


async def test_a_user_is_disconnected_on_both_nodes(redis: RedisServer) -> None:
    async with two_nodes(redis) as (one, two):
        async with one.subscribe("user.u1") as here, two.subscribe("user.u1") as there:
            answer = await ask(one, "POST", "/admin/disconnect", {"user_id": "u1"})
            assert answer.json == {"status": "disconnecting", "connections": 1}
            with trio.fail_after(3):  # a second, and what a busy machine needs
                assert await closed(here) == await closed(there) == LATER
        async with two.subscribe("user.u1"):
            pass


async def test_a_node_that_was_down_meanwhile_refuses_at_its_first_join_and_hears_what_was_taken_back(
    redis: RedisServer,
) -> None:
    bearer = token("alice")
    async with two_nodes(redis) as (one, _):
        made = await revoke(one, user_id="alice")
        async with a_server(redis_url=redis.url) as late:
            assert await late.refused(f"/ws/global?token={bearer}") == REVOKED
            listed = (await ask(late, "GET", "/admin/revocations")).json["revocations"]
            assert [each["id"] for each in listed] == [made["id"]]
            assert (await ask(late, "DELETE", f"/admin/revocations/{made['id']}")).status == 200
            with trio.fail_after(2):
                while (await ask(one, "GET", "/admin/revocations")).json["total"]:
                    await trio.sleep(0.02)
            async with one.subscribe("global", bearer):
                pass
    async with a_server(redis_url=redis.url) as later, later.subscribe("global", bearer):
        pass


async def test_what_redis_has_lost_is_written_back_by_a_node_that_holds_it() -> None:
    with redis_server() as redis:
        async with a_server(redis_url=redis.url) as node:
            bearer = token("alice")
            made = await revoke(node, user_id="alice")
            redis.kill()
            redis.start()  # with nothing: it keeps no file
            with trio.fail_after(20):
                while redis.cli("EXISTS", "courier:{revocations}:log") == "0":
                    await trio.sleep(0.05)
            async with a_server(redis_url=redis.url) as other:
                await until_refused(other, bearer)
                listed = (await ask(other, "GET", "/admin/revocations")).json["revocations"]
                assert [each["id"] for each in listed] == [made["id"]]


async def test_a_node_that_cannot_read_them_admits_nobody_and_cannot_revoke() -> None:
    with redis_server() as redis:
        redis.kill()
        async with a_server(redis_url=redis.url) as node:
            assert (await node.request("GET", "/health/ready")).status == 503
            assert await node.refused(f"/ws/global?token={token()}") == LATER
            assert (await node.request("GET", f"/history/global?token={token()}")).status == 503
            assert (await ask(node, "POST", "/admin/revocations", {"user_id": "u1"})).status == 503
            assert (await ask(node, "GET", "/admin/revocations")).status == 503
            assert (await ask(node, "DELETE", "/admin/revocations/some")).status == 503
            redis.start()
            with trio.fail_after(20):
                while (await node.request("GET", "/health/ready")).status != 200:
                    await trio.sleep(0.05)
            async with node.subscribe("global"):
                pass


async def test_entries_end_and_leave_room_in_redis(redis: RedisServer) -> None:
    async with open_redis(redis.url) as backplane:
        now = int(time.time())
        short = [Revocation(f"s{number}", "user_id", f"u{number}", now, now + 1) for number in range(31)]
        await backplane.revoke(short)
        assert redis.cli("XLEN", "courier:{revocations}:log") == "31"
        await trio.sleep(2.1)
        await backplane.revoke([Revocation("long", "user_id", "alice", now, now + 100)])
        assert redis.cli("XLEN", "courier:{revocations}:log") == "1"
        assert 90 < int(redis.cli("TTL", "courier:{revocations}:log")) <= 100
        assert not backplane.revocations.revokes("user_id", "u1", now, time.time())


async def test_a_revocation_reads_all_others_only_when_these_have_doubled(redis: RedisServer) -> None:
    async with open_redis(redis.url) as backplane:
        now, many = int(time.time()), 40
        redis.cli("CONFIG", "RESETSTAT")
        for number in range(many):
            await backplane.revoke([Revocation(f"r{number}", "user_id", f"u{number}", now, now + 100)])
        found = re.search(r"cmdstat_xrange:calls=(\d+)", redis.cli("INFO", "commandstats"))
        assert found
        assert 2 * many <= int(found[1]) < 2.5 * many  # two for what is new, and six in all for the others


async def test_an_entry_that_cannot_be_read_harms_nobody(redis: RedisServer) -> None:
    bearer = token("alice")
    async with two_nodes(redis) as (one, two):
        await revoke(one, user_id="alice")
        redis.cli("XADD", "courier:{revocations}:log", "*", "end", "9999999999", "text", "nonsense")
        redis.cli("PUBLISH", "courier:{revocations}:feed:0", "nonsense")
        async with a_server(redis_url=redis.url) as late:
            for node in (one, two, late):
                assert await node.refused(f"/ws/global?token={bearer}") == REVOKED
                async with node.subscribe("global", token("bob")):
                    pass


async def test_on_a_cluster_they_are_kept_and_told_as_well(one_cluster: RedisCluster) -> None:
    async with open_redis(one_cluster.url) as one, open_redis(one_cluster.url) as two:
        heard: list[str] = []
        two.revocations.heard = lambda revocations: heard.extend(each.name for each in revocations)
        two.revocations.disconnect = lambda user_id: heard.append(f"away {user_id}")
        now = int(time.time())
        with trio.fail_after(20):
            while not (one.revocations.known and two.revocations.known):
                await trio.sleep(0.05)
            await trio.sleep(0.5)  # until the other listens
            await one.revoke([Revocation(json.dumps(now), "user_id", "zoë", now, now + 60)])
            await one.disconnect("bob")
            while len(heard) < 2:
                await trio.sleep(0.02)
    assert heard == ["zoë", "away bob"]
