"""Node: one process of Courier: its settings, its hub, and where it is in its life."""

from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from enum import StrEnum
from functools import partial

import trio

from courier.actors.hub import Hub, open_hub, wall_clock
from courier.actors.limits import Limits
from courier.backplane.admission import Ledger, Windows
from courier.backplane.errors import DataUnusable
from courier.backplane.memory import MemoryBackplane
from courier.logs import get_logger
from courier.metrics import Metrics, NodeState, Sources
from courier.metrics.disk import Disk
from courier.metrics.sources import NEWCOMERS
from courier.pulse import Pulse
from courier.schemas.channels import EVERY_NODES, Kinds
from courier.schemas.history import declared
from courier.settings import Settings
from courier.timeline import Timeline

FAILURES_REMEMBERED = 1000

PATIENCE_SECONDS = 5.0
"""How much longer than a drain another process may hold the data folder."""

logger = get_logger(__name__)


class Phase(StrEnum):
    """Where a node is in its life."""

    READY = "ready"
    LEAVING = "leaving"
    """Still serving all, and telling the balancer to look elsewhere."""
    DRAINING = "draining"
    """Taking nothing new, and giving subscribers what they have not got yet."""


class Node:
    """A running node. Made by `open_node`."""

    def __init__(
        self,
        settings: Settings,
        hub: Hub,
        metrics: Metrics,
        windows: Windows | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.windows = windows
        """Where all nodes count together what each service publishes; None: every node counts for itself."""
        self.ledger = ledger
        """Where a node that counts for itself keeps that over a restart."""
        self.settings = settings
        self.hub = hub
        self.metrics = metrics
        self.timeline = Timeline(hub, metrics)
        self.phase = Phase.READY
        self.pulse = Pulse()
        self.failed_publishes = deque[float](maxlen=FAILURES_REMEMBERED)
        """When publishes last failed by a fault of Courier's own (`trio.current_time`)."""
        hub.supervisor.spawn(self.pulse.beat)
        self._started_at = trio.current_time()
        metrics.state = self.state

    def state(self) -> NodeState:
        """What the node is at this moment, for who looks at it from outside."""
        return self.hub.state()._replace(event_loop_lag_seconds=self.pulse.worst_seconds(trio.current_time()))

    @property
    def uptime_seconds(self) -> float:
        return trio.current_time() - self._started_at

    async def leave(self) -> None:
        """Say that it is not ready any more, and serve on for `drain_delay_seconds`. Called once."""
        self.phase = Phase.LEAVING
        if self.settings.drain_delay_seconds:
            logger.info("Leaving", seconds=self.settings.drain_delay_seconds)
            await trio.sleep(self.settings.drain_delay_seconds)

    async def drain(self) -> None:
        """Close every subscriber with all that it is owed, for at most `drain_seconds` and a little.
        Afterwards the server can be stopped. Called once, after `leave`."""
        self.phase = Phase.DRAINING
        logger.info("Draining", connections=self.hub.connections, seconds=self.settings.drain_seconds)
        report = await self.hub.drain(trio.current_time() + self.settings.drain_seconds)
        logger.info("Drained", **report._asdict())


def check_data(settings: Settings) -> None:
    """Return when there is no data folder, or it can be used. Raises DataUnusable."""
    if settings.data is not None:
        from courier.backplane.sqlite import SqliteOptions
        from courier.backplane.sqlite.schema import inspect

        inspect(SqliteOptions(settings.data))


def unusable_in(error: BaseException) -> DataUnusable | None:
    """The first such error among those that ended a node."""
    if isinstance(error, BaseExceptionGroup):
        found = map(unusable_in, error.exceptions)
        return next((each for each in found if each is not None), None)
    return error if isinstance(error, DataUnusable) else None


@asynccontextmanager
async def open_node(
    settings: Settings, event_types: Iterable[str] = (), kinds: Kinds = EVERY_NODES
) -> AsyncIterator[Node]:
    """A node for the length of a block: backplane, then supervisor, then hub. `drain` it before the end.

    `event_types` are those that may be published, and `kinds` those of its channels: both label what is
    counted.
    """
    history = declared(kinds, settings.history_events, settings.history_seconds)
    limits = Limits(
        history_events=settings.history_events,
        history_seconds=settings.history_seconds,
        history_of_kinds=history,
        history_bytes=settings.history_bytes,
        inbox_events=settings.inbox_events,
        connections=settings.max_connections,
        connections_per_user=settings.max_connections_per_user,
        subscriptions=settings.max_subscriptions,
        subscriptions_per_user=settings.max_subscriptions_per_user,
        returns_a_second=settings.returns_a_second,
        idempotency_keys=settings.max_idempotency_keys,
        channels=settings.max_channels,
    )
    newcomers = NEWCOMERS if settings.publish_auth == "off" else 0
    metrics = Metrics(event_types, Sources(settings.rate_limits, newcomers), kinds.names)
    if settings.data is not None:
        from courier.backplane.sqlite import SqliteOptions, open_sqlite  # SQLite is not needed otherwise

        on_disk = SqliteOptions(
            folder=settings.data,
            fsync=settings.fsync,
            limit_bytes=settings.data_bytes,
            history_events=settings.history_events,
            history_seconds=settings.history_seconds,
            history_of_kinds=history,
            inbox_events=settings.inbox_events,
            idempotency_keys=settings.max_idempotency_keys,
            window_seconds=settings.rate_window_seconds,
            wait_seconds=settings.drain_delay_seconds + settings.drain_seconds + PATIENCE_SECONDS,
        )
        metrics.disk = Disk(settings.data_bytes)
        counted, fault = metrics.disk.committed, partial(metrics.error, "disk")
        async with (
            open_sqlite(on_disk, committed=counted, fault=fault) as disk,
            open_hub(disk, limits, metrics=metrics) as hub,
        ):
            yield _started(Node(settings, hub, metrics, ledger=disk))
        return
    if settings.redis_url is None:
        backplane = MemoryBackplane(started_ms=wall_clock(), remembered=limits.channels)
        async with open_hub(backplane, limits, metrics=metrics) as hub:
            yield _started(Node(settings, hub, metrics))
        return
    from courier.backplane.redis import RedisOptions, open_redis  # its client takes a while to import

    options = RedisOptions(
        history_events=settings.history_events,
        history_seconds=settings.history_seconds,
        history_of_kinds=history,
        history_bytes=settings.history_bytes,
        channels=settings.max_channels,
        inbox_events=settings.inbox_events,
    )
    async with (
        open_redis(settings.redis_url, options, fault=partial(metrics.error, "redis")) as redis,
        open_hub(redis, limits, metrics=metrics) as hub,
    ):
        yield _started(Node(settings, hub, metrics, windows=redis))


def _started(node: Node) -> Node:
    """The node, with its own task, which ends with its hub's."""
    node.hub.supervisor.spawn(node.timeline.run)
    return node
