"""Inspection: how a Redis is set up, and how full it is, as far as Courier's user may ask."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

import coredis
import trio
from coredis.connection import BaseConnection
from coredis.exceptions import RedisError

from courier.backplane import Usage
from courier.backplane.redis.connection import Client, first_error, open_client
from courier.backplane.redis.options import RedisOptions
from courier.backplane.redis.refusals import refusal
from courier.logs import get_logger
from courier.redis_url import parse_redis_url

logger = get_logger(__name__)

LOOK_SECONDS = 15.0
CHECK_SECONDS = 5.0

NOT_KEPT = "Redis keeps nothing over a restart: set appendonly yes"
NOT_REPLAYED = (
    "Redis loses the newest events at a restart, because its user default may not do what is replayed from"
    " the append-only file: user default off ~* &* +@all"
)
THROWN_OUT = "Redis throws out events when it is full: set maxmemory-policy noeviction"
NO_LIMIT = "Redis has no maxmemory, so that a full machine ends it"
UNSEEN = "Redis does not let this user see how it is set up: give it +info and +acl|dryrun"


class Inspection(NamedTuple):
    """What was seen."""

    findings: Sequence[str]
    """What should be set otherwise, a sentence each."""
    usage: Usage | None
    """Of the fullest server; None where that may not be asked."""


async def inspect(client: Client) -> Inspection:
    """Look at every server that keeps logs; RedisError or OSError when one cannot be asked."""
    findings: dict[str, None] = {}
    usages = []
    for place in _places(client):
        try:
            async with place as connection:
                facts = _facts(await connection.create_request(b"INFO", b"persistence", b"memory"))
                replayed = await connection.create_request(
                    b"ACL DRYRUN", b"default", b"XADD", b"courier:{probe}:log", b"*", b"e", b""
                )
        except RedisError as error:
            if refusal(error) != "NOPERM":
                raise
            findings[UNSEEN] = None
            continue
        usage = Usage(int(facts["used_memory"]), int(facts["maxmemory"]))
        usages.append(usage)
        wrong = {
            NOT_KEPT: facts["aof_enabled"] == "0",
            NOT_REPLAYED: facts["aof_enabled"] == "1" and replayed != b"OK",
            THROWN_OUT: facts["maxmemory_policy"] != "noeviction",
            NO_LIMIT: not usage.limit_bytes,
        }
        findings.update((sentence, None) for sentence, holds in wrong.items() if holds)
    fullest = max(usages, key=lambda usage: usage.used_bytes / (usage.limit_bytes or 1), default=None)
    return Inspection([*findings], fullest)


class Inspector:
    """Looks again and again, and warns of each finding once."""

    def __init__(self, open_client: Callable[[], AbstractAsyncContextManager[Client]]) -> None:
        self.usage: Usage | None = None
        """As it was seen last."""
        self._open_client = open_client
        self._warned: set[str] = set()

    async def run(self) -> None:
        """Until cancelled. While Redis is away nothing is seen: others say so."""
        while True:
            try:
                async with self._open_client() as client:
                    findings, self.usage = await inspect(client)
            except Exception as error:  # noqa: BLE001 - it is looked at again
                self.usage = None
                logger.debug("Redis was not inspected", error=repr(first_error(error)))
            else:
                for finding in findings:
                    if finding not in self._warned:
                        self._warned.add(finding)
                        logger.warning("Redis is not set up to keep events", finding=finding)
            await trio.sleep(LOOK_SECONDS)


async def check_redis(url: str) -> Sequence[str]:
    """What is wrong with the set-up of the Redis at `url`, a sentence each."""
    options = RedisOptions()
    try:
        with trio.fail_after(CHECK_SECONDS):
            async with open_client(parse_redis_url(url), options) as client:
                return (await inspect(client)).findings
    except Exception as failed:  # noqa: BLE001 - whatever it was, it is said
        error = first_error(failed)
        return [f"Redis cannot be asked now: {type(error).__name__}: {error}"]


def _places(client: Client) -> list[AbstractAsyncContextManager[BaseConnection]]:
    """A connection to each server that keeps logs."""
    pool = client.connection_pool
    if isinstance(client, coredis.RedisCluster):
        primaries = client.connection_pool.cluster_layout.primaries
        return [pool.acquire(node=node) for node in primaries]
    return [pool.acquire()]


def _facts(text: object) -> dict[str, str]:
    """What INFO tells, by name."""
    assert isinstance(text, bytes)
    return dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)
