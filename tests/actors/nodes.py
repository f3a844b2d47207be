"""Nodes in memory that share their logs, on Trio's clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from courier.actors.hub import Hub, open_hub
from courier.actors.limits import Limits
from courier.actors.log import Log
from courier.metrics import Metrics
from courier.schemas.channels import ChannelName
from courier.schemas.position import Position
from courier.web.site import Site
from tests.actors.hubs import CHANNEL, wall_clock
from tests.actors.many import a_site
from tests.backplane.fake import FakeBackplane
from tests.backplane.shared_log import SharedLog


@dataclass
class Node:
    """A hub, and its way to the shared log."""

    hub: Hub
    backplane: FakeBackplane
    metrics: Metrics
    site: Site
    """What connections for many channels need of it."""
    given: dict[Position, int] = field(default_factory=dict)
    """What simulations note: which event each position was that it acknowledged."""

    def log(self, channel: ChannelName = CHANNEL) -> Log:
        """The node's own log of a channel, which must be running."""
        running = self.hub.supervisor.running(channel)
        assert running is not None
        return running.log


def a_shared_log(*, keep: int = 10_000, page: int = 500, born: bool = True) -> SharedLog:
    """One whose channel has been published to before, unless it is not `born` yet."""
    shared = SharedLog(wall_clock, keep=keep, page=page)
    if born:
        shared.begin(CHANNEL)
    return shared


@asynccontextmanager
async def a_node(shared: SharedLog, limits: Limits | None = None) -> AsyncIterator[Node]:
    backplane, metrics = FakeBackplane(shared), Metrics()
    async with open_hub(backplane, limits or Limits(), clock=wall_clock, metrics=metrics) as hub:
        yield Node(hub, backplane, metrics, a_site(hub))
