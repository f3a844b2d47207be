"""Worlds: for each backplane, a way to open nodes that it joins. The conformance suite runs in all of them.

A world opens what outlives its nodes, and gives `OpenNode`. Nothing says which clock it runs on.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import pytest
import trio

from courier.actors.hub import Hub, open_hub, wall_clock
from courier.actors.limits import Limits
from courier.backplane.memory import MemoryBackplane
from courier.backplane.redis import RedisOptions, open_redis
from courier.backplane.sqlite import SqliteOptions, open_sqlite
from tests.actors.wires import FakeWire
from tests.backplane.fake import FakeBackplane
from tests.backplane.redis_servers import RedisCluster, RedisServer
from tests.backplane.shared_log import SharedLog

PATIENCE_SECONDS = 20.0
"""How long anything that must come may take."""


class OpenNode(Protocol):
    """Opens one more node of the world, for the length of a block."""

    def __call__(self, limits: Limits | None = None) -> AbstractAsyncContextManager[Hub]: ...


@asynccontextmanager
async def memory() -> AsyncIterator[OpenNode]:
    backplane = MemoryBackplane(started_ms=wall_clock(), remembered=1000)
    yield lambda limits=None: open_hub(backplane, limits or Limits())


@asynccontextmanager
async def fake() -> AsyncIterator[OpenNode]:
    shared = SharedLog(wall_clock, keep=1000, page=100)
    yield lambda limits=None: open_hub(FakeBackplane(shared), limits or Limits())


@asynccontextmanager
async def redis(url: str, servers: Sequence[RedisServer]) -> AsyncIterator[OpenNode]:
    for server in servers:
        server.cli("FLUSHALL")

    @asynccontextmanager
    async def open_node(limits: Limits | None = None) -> AsyncIterator[Hub]:
        async with (
            open_redis(url, RedisOptions(history_events=1000)) as backplane,
            open_hub(backplane, limits or Limits()) as hub,
        ):
            yield hub

    yield open_node


@asynccontextmanager
async def sqlite() -> AsyncIterator[OpenNode]:
    with TemporaryDirectory() as folder:
        options = SqliteOptions(Path(folder), history_events=1000)

        @asynccontextmanager
        async def open_node(limits: Limits | None = None) -> AsyncIterator[Hub]:
            async with open_sqlite(options) as backplane, open_hub(backplane, limits or Limits()) as hub:
                yield hub

        yield open_node


SHARED = ("fake", "redis", "redis cluster")
"""Where nodes share their logs, which outlive them."""

BACKPLANES = ("memory", "sqlite", *SHARED)


def world(request: pytest.FixtureRequest) -> AbstractAsyncContextManager[OpenNode]:
    """The world that the fixture's parameter names."""
    match request.param:
        case "memory":
            return memory()
        case "sqlite":
            return sqlite()
        case "fake":
            return fake()
        case "redis":
            server: RedisServer = request.getfixturevalue("one_redis")
            return redis(server.url, [server])
        case _:
            cluster: RedisCluster = request.getfixturevalue("one_cluster")
            return redis(cluster.url, cluster.servers)


class Ear(FakeWire):
    """A wire that takes everything and can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._heard = trio.Event()

    def write(self, data: bytes) -> int:
        count = super().write(data)
        self._heard.set()
        return count

    async def hears(self, count: int) -> None:
        """Return when so many messages have been received in all."""
        with trio.fail_after(PATIENCE_SECONDS):
            while len(self.payloads) < count:
                await self.next_write()

    async def next_write(self) -> None:
        """Return when something more has been received."""
        self._heard = trio.Event()
        await self._heard.wait()
