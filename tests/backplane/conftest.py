"""Redis servers that many tests share: whoever takes one empties it first."""

import shutil
from collections.abc import Iterator

import pytest

from tests.backplane.redis_servers import RedisCluster, RedisServer, redis_cluster, redis_server


def _need_redis() -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (Debian: redis-server)")


@pytest.fixture(scope="session")
def one_redis() -> Iterator[RedisServer]:
    _need_redis()
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> RedisServer:
    """The module's own server, emptied."""
    running.cli("FLUSHALL")
    return running


@pytest.fixture(scope="session")
def one_cluster() -> Iterator[RedisCluster]:
    _need_redis()
    with redis_cluster() as cluster:
        yield cluster
