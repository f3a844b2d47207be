"""Redis answers, and refuses: the node says so, and why, from the first refusal until Redis does it again."""

from collections.abc import Iterator

import pytest
import trio
from coredis.exceptions import ConnectionError
from coredis.parser import Parser

from courier.backplane import BackplaneRefused
from courier.backplane.redis.refusals import refusal
from tests.backplane.redis_nodes import ONE, TWO, eventually, publish, redis_node
from tests.backplane.redis_servers import RedisServer, needs_redis, redis_server

pytestmark = needs_redis

Commands = tuple[tuple[str, ...], tuple[str, ...]]
"""What makes Redis refuse, and what ends that."""

WRITES: dict[str, Commands] = {
    "NOPERM": (("ACL", "SETUSER", "default", "-xadd"), ("ACL", "SETUSER", "default", "+xadd")),
    "OOM": (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
    "NOREPLICAS": (
        ("CONFIG", "SET", "min-replicas-to-write", "1"),
        ("CONFIG", "SET", "min-replicas-to-write", "0"),
    ),
}


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


def without(command: str) -> Commands:
    return ("ACL", "SETUSER", "default", f"-{command}"), ("ACL", "SETUSER", "default", f"+{command}")


@pytest.mark.parametrize("word", WRITES)
async def test_the_first_write_that_is_refused_is_trouble_until_redis_writes_again(
    server: RedisServer, word: str
) -> None:
    refuse, allow = WRITES[word]
    async with redis_node(server.url) as (backplane, _):
        await publish(backplane, ONE, b"1")
        server.cli(*refuse)
        began = trio.current_time()
        with pytest.raises(BackplaneRefused, match=f"the write: {word}"):
            await publish(backplane, ONE, b"2")
        assert trio.current_time() - began < 0.5, "what is refused is not waited for"
        assert backplane.trouble == f"Redis refused the write: {word}"
        await trio.sleep(0.6)
        assert backplane.trouble == f"Redis refused the write: {word}"
        server.cli(*allow)
        assert await eventually(lambda: backplane.trouble is None) < 0.8
        assert (await publish(backplane, ONE, b"3"))[0].position.offset > 1


@pytest.mark.parametrize("word", WRITES)
async def test_a_node_that_starts_finds_out_by_itself_that_redis_refuses(
    server: RedisServer, word: str
) -> None:
    refuse, allow = WRITES[word]
    server.cli(*refuse)
    async with redis_node(server.url) as (backplane, _):
        assert backplane.trouble == f"Redis refused the write: {word}"
        server.cli(*allow)
        await eventually(lambda: backplane.trouble is None)


@pytest.mark.parametrize(
    ("command", "trouble"),
    [
        ("rpush", "Redis refused the write: NOPERM"),
        ("xrevrange", "Redis refused the read: NOPERM"),
        ("subscribe", "Redis refused the subscription: NOPERM"),
    ],
)
async def test_whatever_else_a_node_needs_is_trouble_too_when_redis_refuses_it(
    server: RedisServer, command: str, trouble: str
) -> None:
    refuse, allow = without(command)
    server.cli(*refuse)
    async with redis_node(server.url) as (backplane, _):
        await eventually(lambda: backplane.trouble == trouble)
        server.cli(*allow)
        await eventually(lambda: backplane.trouble is None)
        await backplane.follow(ONE)
        await publish(backplane, ONE, b"1")


async def test_one_log_that_redis_cannot_write_to_is_no_trouble_of_the_others(server: RedisServer) -> None:
    async with redis_node(server.url) as (backplane, _):
        await publish(backplane, ONE, b"1")
        server.cli("DEL", f"courier:{{{ONE}}}:log")
        server.cli("SET", f"courier:{{{ONE}}}:log", "not a stream")
        with pytest.raises(BackplaneRefused, match="the write: WRONGTYPE"):
            await publish(backplane, ONE, b"2")
        assert backplane.trouble is None
        await publish(backplane, TWO, b"1")
        assert backplane.trouble is None


@pytest.mark.parametrize(
    ("sentence", "word"),
    [
        ("LOADING Redis is loading the dataset in memory", "LOADING"),
        ("MISCONF Redis is configured to save RDB snapshots, but", "MISCONF"),
        ("READONLY You can't write against a read only replica.", "READONLY"),
        ("ERR The user executing the script can't run this command or subcommand script: a, on", "NOPERM"),
        ("ERR ACL failure in script: User a has no permissions to run the 'xrevrange' command", "NOPERM"),
        ("ERR max number of clients reached", "MAXCLIENTS"),
        ("ERR something else", "ERR"),
        ("CLUSTERDOWN The cluster is down", "CLUSTERDOWN"),
        ("WRONGPASS invalid username-password pair or user is disabled.", "WRONGPASS"),
    ],
)
def test_a_refusal_has_the_word_that_redis_begins_it_with(sentence: str, word: str) -> None:
    assert refusal(Parser().parse_error(sentence)) == word


def test_what_redis_does_elsewhere_or_did_not_answer_is_no_refusal() -> None:
    moved = Parser().parse_error("MOVED 3999 127.0.0.1:6381")
    lost = (TimeoutError(), OSError(111, "Connection refused"), ConnectionError("connection lost"))
    for error in (*lost, moved, Parser().parse_error("NOSCRIPT No matching script.")):
        assert refusal(error) is None


async def test_a_probe_leaves_nothing_for_long(server: RedisServer) -> None:
    async with redis_node(server.url):
        keys = await _probes(server, 4)
        assert all(0 < int(server.cli("TTL", key)) <= 60 for key in keys)


async def _probes(server: RedisServer, count: int) -> list[str]:
    keys: list[str] = []
    while len(keys) < count:
        await trio.sleep(0.01)
        keys = server.cli("KEYS", "courier:*probe:*").split()
    return keys
