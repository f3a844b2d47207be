"""A hub in memory whose wall clock is Trio's, and the two things that every test does with it."""

import json
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import trio

from courier.actors.hub import Hub, open_hub
from courier.actors.limits import Limits
from courier.actors.subscriber import Subscriber
from courier.backplane import Appended, Publication
from courier.backplane.memory import MemoryBackplane
from courier.metrics import Metrics
from courier.schemas.channels import ChannelName
from courier.schemas.position import Since
from courier.schemas.registry import default_registry
from tests.actors.wires import FakeWire, Held
from tests.names import channel_name

START_MS = 1_700_000_000_000
CHANNEL = channel_name("user.u1")
OTHER = channel_name("user.u2")


class WallClock:
    """Wall time that moves with Trio's clock, from wherever it was set to."""

    ahead_ms = 0

    def __call__(self) -> int:
        return START_MS + self.ahead_ms + round(trio.current_time() * 1000)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """It is right again at the end of the block."""
        try:
            yield
        finally:
            self.ahead_ms = 0


wall_clock = WallClock()


def every_kind() -> Metrics:
    """Counts for the kinds of channels that a node without settings has."""
    return Metrics(kinds=default_registry().kinds.names)


@asynccontextmanager
async def a_hub(
    limits: Limits | None = None, *, metrics: Metrics | None = None, remembered: int = 1000
) -> AsyncIterator[Hub]:
    backplane = MemoryBackplane(started_ms=wall_clock(), remembered=remembered)
    async with open_hub(
        backplane, limits or Limits(), clock=wall_clock, metrics=metrics or every_kind()
    ) as hub:
        yield hub


async def publish(hub: Hub, *numbers: int, channel: ChannelName = CHANNEL) -> list[Appended]:
    """Publish events `{"n": number}` as one message; other tasks run first, as when a request is read."""
    await trio.lowlevel.checkpoint()
    outcomes = await hub.publish(channel, [Publication(b'{"n":%d}' % number) for number in numbers], math.inf)
    return [outcome for outcome in outcomes if isinstance(outcome, Appended)]


async def join(
    hub: Hub,
    wire: FakeWire | None = None,
    *,
    channel: ChannelName = CHANNEL,
    since: Since | None = None,
    owner: str = "u1",
) -> tuple[Subscriber, FakeWire]:
    """Join and open at once."""
    wire = wire or FakeWire()
    subscriber = await hub.join(channel, owner, since)
    Held(subscriber, wire).open()
    return subscriber, wire


def events(wire: FakeWire) -> list[dict[str, object]]:
    """Everything the wire received, parsed."""
    return [json.loads(payload) for payload in wire.payloads]


def numbers(wire: FakeWire) -> list[object]:
    """The `n` of each event received; a gap as its reason."""
    return [event.get("n", event.get("reason")) for event in events(wire)]
