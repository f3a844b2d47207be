"""Connections to Redis, made with the time limits that coredis leaves out."""

import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, assert_never

import coredis
import trio
from coredis.connection import TCPLocation
from coredis.retry import NoRetryPolicy

from courier.backplane.redis.options import RedisOptions
from courier.redis_url import RedisKind, RedisUrl

Client = coredis.Redis[bytes] | coredis.RedisCluster[bytes]

POOL_SECONDS = 2.0

# It writes a traceback for each attempt to connect while Redis is away; the pump says so once.
logging.getLogger("coredis").setLevel(logging.CRITICAL)


@asynccontextmanager
async def open_client(url: RedisUrl, options: RedisOptions) -> AsyncIterator[Client]:
    """A client for one task, for as long as nothing goes wrong: who meets an error leaves the block and opens
    another, since coredis's pool loses a place with every connection that breaks in use.

    Nothing is sent by itself a second time: whether it may be is the caller's to know.
    """
    common: dict[str, Any] = {
        "connect_timeout": options.connect_seconds,
        "stream_timeout": options.answer_seconds,
    }
    if url.tls:
        common["ssl_context"] = ssl.create_default_context(cafile=url.ca_certs)
    own: dict[str, Any] = {
        **common,
        "username": url.username,
        "password": url.password,
        "retry_policy": NoRetryPolicy(),
    }
    with _cancelled_alone():
        async with _client(url, common, own) as client:
            yield client


@asynccontextmanager
async def _client(url: RedisUrl, common: dict[str, Any], own: dict[str, Any]) -> AsyncIterator[Client]:
    match url.kind:
        case RedisKind.SINGLE:
            [(host, port)] = url.addresses
            async with coredis.Redis(host, port, url.database, pool_timeout=POOL_SECONDS, **own) as client:
                yield client
        case RedisKind.CLUSTER:
            nodes = [TCPLocation(*address) for address in url.addresses]
            cluster: coredis.RedisCluster[bytes] = coredis.RedisCluster(
                startup_nodes=nodes,
                max_connections=4,
                max_connections_per_node=True,
                # Else it asks for the server's configuration, which a user need not see; a slot that nobody
                # serves is an error of the call for it.
                skip_full_coverage_check=True,
                pool_timeout=POOL_SECONDS,
                decode_responses=False,
                **own,
            )
            async with cluster:
                yield cluster
        case RedisKind.SENTINEL:
            async with (
                coredis.Sentinel(
                    [TCPLocation(*address) for address in url.addresses],
                    sentinel_kwargs={**common, "pool_timeout": POOL_SECONDS},
                    db=url.database,
                    timeout=POOL_SECONDS,
                    **own,
                ) as sentinel,
                sentinel.primary_for(url.service) as primary,
            ):
                yield primary
        case _:
            assert_never(url.kind)


@contextmanager
def _cancelled_alone() -> Iterator[None]:
    """A cancelled task leaves by that alone: of a connection that is being made just then, coredis
    says besides that it could not be made."""
    try:
        yield
    except BaseExceptionGroup as group:
        cancelled, _ = group.split(trio.Cancelled)
        if cancelled is None:
            raise
        raise cancelled from None


def first_error(error: Exception) -> Exception:
    """What went wrong first, out of the groups that nurseries make of it."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
