"""Backplanes in tests: a node without channels, which notes what it is fed."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from courier.backplane import Appended, Outcome, Publication
from courier.backplane.redis import RedisBackplane, RedisOptions, open_redis
from courier.schemas.channels import ChannelName
from tests.backplane.feeds import Recorder
from tests.names import channel_name

GLOBAL = channel_name("global")
ONE, TWO = channel_name("user.u1"), channel_name("user.u2")
SEED = 7


@asynccontextmanager
async def redis_node(
    url: str, options: RedisOptions | None = None, *, seconds: float = 15
) -> AsyncIterator[tuple[RedisBackplane, Recorder]]:
    """A backplane and its feed, for a block that must not take longer than so many seconds."""
    with trio.fail_after(seconds):
        async with open_redis(url, options) as backplane:
            feed = Recorder()
            backplane.feed = feed
            yield backplane, feed


async def publish(
    backplane: RedisBackplane,
    channel: ChannelName,
    *events: bytes,
    reached: int = 0,
) -> list[Appended]:
    """Publish events without keys; there is room within five seconds, or else the test fails."""
    publications = [Publication(event) for event in events]
    by = trio.current_time() + 5
    return appended(await backplane.publish(channel, publications, by, reached=reached))


def appended(outcomes: list[Outcome]) -> list[Appended]:
    assert all(isinstance(outcome, Appended) for outcome in outcomes)
    return [outcome for outcome in outcomes if isinstance(outcome, Appended)]


async def eventually(holds: Callable[[], bool], seconds: float = 5) -> float:
    """Return once `holds()` is true, with how long that took; for what nobody tells a test."""
    began = trio.current_time()
    with trio.fail_after(seconds):
        while not holds():
            await trio.sleep(0.01)
    return trio.current_time() - began
