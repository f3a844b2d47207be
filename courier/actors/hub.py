"""Hub: the front door of a node's channels: publish, join, drain."""

import math
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

import trio

from courier.actors.connection import Connection
from courier.actors.errors import ChannelFailed, Draining, NodeFull
from courier.actors.limits import Limits
from courier.actors.log import Replay
from courier.actors.messages import Join
from courier.actors.subscriber import Subscriber
from courier.actors.supervisor import Supervisor, open_supervisor
from courier.actors.wire import Clock
from courier.backplane import Backplane, Outcome, Publication, Stretch
from courier.backplane.reply import Reply
from courier.backplane.steps import Steps, walk
from courier.metrics import Metrics, NodeState
from courier.schemas.channels import ChannelName
from courier.schemas.closing import CloseReason
from courier.schemas.position import Position, Since

CLOSES_A_SECOND = 500
"""How fast a drain closes subscribers, at the least: so that they do not all come back at once."""

OLDER_EVENTS = 500
"""How many events of a replay are read from the backplane at a time."""

LOOKS = 5
"""How often a join looks for its place, which may be lost between the look at the shared log and the repair
of the node's own; then it is refused."""

DRAIN_TICK_SECONDS = 0.02

LAST_WORD_SECONDS = 1.0
"""At the end of a drain: how long who is still there has for the rest of its frame and the close."""


def wall_clock() -> int:
    """Unix milliseconds, rounded up: an arrival is never before a time that was rounded down."""
    return -(-time.time_ns() // 1_000_000)


class DrainReport(NamedTuple):
    """How a drain went."""

    closed: int
    """Connections that had everything and got a goodbye."""
    flushed: int
    """Connections that lagged to the end: their last frame is whole, and they were told."""
    aborted: int
    """Connections that took no byte any more."""
    undelivered: int
    """Events, summed over subscriptions, that nothing was written of; what an aborted one's socket held when
    it was cut is not known."""


def slots(count: int, seconds: float) -> list[float]:
    """So many moments within the next `seconds`, one for each who is to come back, in random order.

    They are evenly spread, the first is now, and no two are the same.
    """
    order = random.sample(range(count), count)
    return [number * seconds / count for number in order]


class Hub:
    """What the web publishes to and joins. Made by `open_hub`."""

    def __init__(
        self, supervisor: Supervisor, backplane: Backplane, limits: Limits, clock: Clock, metrics: Metrics
    ) -> None:
        self.closing = trio.Event()
        """Set when a drain begins."""
        self.supervisor = supervisor
        self.backplane = backplane
        self.clock = clock
        self.metrics = metrics
        self._limits = limits
        self._connections: dict[str, Subscriber | Connection] = {}
        """By id; a subscriber that has a socket for itself is a connection, too."""
        self._per_owner: Counter[str] = Counter()
        self._subscriptions = 0
        self._subscriptions_per_owner: Counter[str] = Counter()
        self._publishing = 0
        self._drain_by = math.inf
        self._changed = trio.Event()

    @property
    def draining(self) -> bool:
        """Neither events nor subscribers are taken any more."""
        return self.closing.is_set()

    @property
    def connections(self) -> int:
        """Those that have joined, or are joining, and have not left."""
        return len(self._connections)

    @property
    def full(self) -> bool:
        """There is no room for one more connection."""
        return len(self._connections) >= self._limits.connections

    def no_room(self) -> NodeFull:
        """Why one more connection is refused while the node is full."""
        return NodeFull(f"node has {self._limits.connections} connections, the most that it may have")

    def state(self) -> NodeState:
        """What a node is at this moment, for who looks at it from outside."""
        usage = self.backplane.usage
        return NodeState(
            backplane_up=self.backplane.trouble is None,
            channels=len(self.supervisor),
            draining_connections=self.connections if self.draining else 0,
            drain_overdue_seconds=max(0.0, trio.current_time() - self._drain_by),
            log_bytes=self.supervisor.budget.used_bytes,
            log_limit_bytes=self.supervisor.budget.limit_bytes,
            connections_limit=self._limits.connections,
            backplane_bytes=usage and usage.used_bytes,
            backplane_limit_bytes=usage and usage.limit_bytes,
            revocations=len(self.backplane.revocations),
        )

    async def publish(
        self, channel: ChannelName, publications: Sequence[Publication], by: float
    ) -> list[Outcome]:
        """Have the publications appended to the channel's log; an outcome for each, in order.

        Returns when they are in the log. `by` is until when to wait for room. Raises `Draining`,
        `TooManyChannels`, `InboxFull` or `BackplaneAway`; `ChannelFailed` when they are not in the log and
        will not be. Cancelled while it waits, it leaves open which.
        """
        try:
            return await self.publish_nowait(channel, publications).wait()
        except trio.WouldBlock:
            pass
        self._publishing += 1
        try:
            return await self.backplane.publish(channel, publications, by, reached=self._reached(channel))
        finally:
            self._published()

    def publish_nowait(
        self, channel: ChannelName, publications: Sequence[Publication]
    ) -> Reply[list[Outcome]]:
        """As `publish`, when there is room at once; else `trio.WouldBlock`, and nothing is done.

        The reply may have been given already. It fails with what `publish` raises after it has got room.
        """
        if self.draining:
            raise Draining
        reply = self.backplane.publish_nowait(channel, publications, reached=self._reached(channel))
        if not reply.given:
            self._publishing += 1
            reply.then(self._published)
        return reply

    def _reached(self, channel: ChannelName) -> int:
        running = self.supervisor.running(channel)
        return len(running.subscribers) if running else 0

    def _published(self) -> None:
        self._publishing -= 1
        self._changed.set()

    async def read(self, channel: ChannelName, since: Since | None, limit: int) -> Stretch:
        """At most `limit` events of the channel's log: those after `since`, oldest first; None: the newest.

        Raises `Draining`, `TooManyChannels`, `BackplaneAway` or `ChannelFailed`.
        """
        if self.draining:
            raise Draining
        return await self.backplane.read(channel, since, limit)

    def joining(self, channel: ChannelName, owner: str, since: Since | None = None) -> Steps[Subscriber]:
        """The steps of `join`: they wait for the channel only when that does not sleep."""
        self._check_room(owner)
        subscriber = Subscriber(f"{random.getrandbits(64):016x}", channel, owner, self)
        yield from self.subscribing(subscriber, since)
        return subscriber

    def connect(self, owner: str) -> Connection:
        """A connection for many channels of a user. Its holder closes it. Raises `Draining` or `NodeFull`."""
        self._check_room(owner)
        connection = Connection(f"{random.getrandbits(64):016x}", owner, self)
        self._connected(connection)
        return connection

    def _check_room(self, owner: str) -> None:
        if self.draining:
            raise Draining
        if self.full:
            raise self.no_room()
        most = self._limits.connections_per_user
        if 0 < most <= self._per_owner[owner]:
            raise NodeFull(f"user has {most} connections, the most that one may have")

    def subscribing(self, subscriber: Subscriber, since: Since | None) -> Steps[None]:
        """Add a new subscriber to its channel, or close it and raise what `join` does."""
        if self.draining:
            raise Draining
        limits, owner, channel = self._limits, subscriber.owner, subscriber.channel
        if self._subscriptions >= limits.subscriptions:
            raise NodeFull(f"node has {limits.subscriptions} subscriptions, the most that it may have")
        most = limits.subscriptions_per_user
        if 0 < most <= self._subscriptions_per_owner[owner]:
            raise NodeFull(f"user has {most} subscriptions, the most that one may have")
        inbox = self.supervisor.inbox(channel)
        self._subscriptions += 1
        self._subscriptions_per_owner[owner] += 1
        self.metrics.traffic[channel.kind].subscriptions += 1
        if subscriber.home is self:
            self._connected(subscriber)
        try:
            reply: Reply[Replay] = Reply()
            inbox.put(Join(subscriber, since, reply))
            replay = reply.result() if reply.given else (yield reply)
            if replay.gap is not None and since is not None:
                yield partial(self._look_further, channel, subscriber, since)
        except BaseException:
            subscriber.close()
            raise

    async def join(self, channel: ChannelName, owner: str, since: Since | None = None) -> Subscriber:
        """Subscribe: from the return on, and whenever it is opened, it misses nothing.

        `owner` is the user whose connections are counted. The caller closes the subscriber. Raises
        `Draining`, `NodeFull`, `TooManyChannels`, `BackplaneAway` or `ChannelFailed`.
        """
        return await walk(self.joining(channel, owner, since))

    async def _look_further(self, channel: ChannelName, subscriber: Subscriber, since: Since) -> None:
        """The channel's own log does not have all that follows `since`: start where the backplane says.

        The subscriber has joined, so it misses nothing meanwhile; its wire is not open yet.
        """
        for _ in range(LOOKS):
            stretch = await self.backplane.read(channel, since, 1)
            running = self.supervisor.running(channel)
            if running is None:
                raise ChannelFailed
            log = running.log
            if None in (log.cursor_after(stretch.start), log.cursor_after(stretch.head)):
                await self.supervisor.repairs.catch_up(channel)
            cursor = log.cursor_after(stretch.start)
            if cursor is not None:
                subscriber.start(log, Replay(cursor, stretch.gap), since)
                return
        raise ChannelFailed

    async def drain(self, by: float) -> DrainReport:
        """Refuse what is new, then close every connection as soon as it has everything.

        At `by` (`trio.current_time`) those who still lag are asked to come back, and those who take no byte
        are left to be aborted. Returns when all have left, or a little after `by`.
        """
        self.closing.set()
        self._drain_by = by
        with trio.move_on_at(by):
            await self._until(lambda: self._publishing == 0)
            await self.supervisor.settle()
        self.supervisor.frozen = True
        leaving = list(self._connections.values())
        seconds = max(by - trio.current_time(), DRAIN_TICK_SECONDS)
        spread = min(seconds, len(leaving) / self._limits.returns_a_second)
        for connection, slot in zip(leaving, slots(len(leaving), spread), strict=True):
            connection.slot_seconds = slot
        a_tick = math.ceil(max(CLOSES_A_SECOND, 2 * len(leaving) / seconds) * DRAIN_TICK_SECONDS)
        with trio.move_on_at(by):
            for start in range(0, len(leaving), a_tick):
                for connection in leaving[start : start + a_tick]:
                    connection.finish(CloseReason.SHUTTING_DOWN, by + LAST_WORD_SECONDS)
                await trio.sleep(DRAIN_TICK_SECONDS)
            await self._until(lambda: not self._connections)
        for connection in tuple(self._connections.values()):
            connection.end(CloseReason.SHUTTING_DOWN, by + LAST_WORD_SECONDS)
        with trio.move_on_at(by + 2 * LAST_WORD_SECONDS):
            await self._until(lambda: not self._connections)
        return _report(leaving)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed = trio.Event()
            await self._changed.wait()

    # What a subscriber asks: `courier.actors.subscriber.Home`

    def spawn(self, task: Callable[[], Awaitable[None]]) -> None:
        self.supervisor.spawn(task)

    def leave(self, subscriber: Subscriber) -> None:
        self.unsubscribed(subscriber)
        self.disconnected(subscriber)

    # Who is counted

    def unsubscribed(self, subscriber: Subscriber) -> None:
        """A subscriber has left its channel."""
        self._subscriptions -= 1
        self.metrics.traffic[subscriber.channel.kind].subscriptions -= 1
        _less(self._subscriptions_per_owner, subscriber.owner)
        self.supervisor.leave(subscriber)

    def _connected(self, connection: Subscriber | Connection) -> None:
        self._connections[connection.id] = connection
        self._per_owner[connection.owner] += 1

    def disconnected(self, connection: Subscriber | Connection) -> None:
        """A connection has left."""
        del self._connections[connection.id]
        _less(self._per_owner, connection.owner)
        self._changed.set()

    async def read_older(self, channel: ChannelName, position: Position) -> Stretch:
        """What follows a position that the channel's own log does not hold any more.

        It is what stood there, and not what has taken its place, if the two logs still agree afterwards. So
        they are compared before anything is shown that the own log does not hold; if they do not agree, that
        has then gone on to a new epoch, and knows no position of the old one but those that it holds.
        """
        stretch = await self.backplane.read(channel, position, OLDER_EVENTS)
        running = self.supervisor.running(channel)
        if running is None:
            raise ChannelFailed
        cursor = running.log.cursor_after(stretch.start)
        if cursor is not None and cursor < running.log.first:
            await self.supervisor.repairs.catch_up(channel)
        return stretch


def _less(counter: Counter[str], name: str) -> None:
    counter[name] -= 1
    if not counter[name]:
        del counter[name]


def _report(leaving: Sequence[Subscriber | Connection]) -> DrainReport:
    aborted = sum(connection.aborted or not connection.left for connection in leaving)
    lagging = sum(connection.lag > 0 for connection in leaving if connection.left and not connection.aborted)
    return DrainReport(
        closed=len(leaving) - aborted - lagging,
        flushed=lagging,
        aborted=aborted,
        undelivered=sum(connection.lag for connection in leaving),
    )


@asynccontextmanager
async def open_hub(
    backplane: Backplane, limits: Limits, *, clock: Clock = wall_clock, metrics: Metrics | None = None
) -> AsyncIterator[Hub]:
    """A hub and its supervisor for the length of a block. Leaving the block ends all channels at once:
    `drain` first."""
    metrics = metrics or Metrics()
    async with open_supervisor(backplane, limits=limits, clock=clock, metrics=metrics) as supervisor:
        hub = Hub(supervisor, backplane, limits, clock, metrics)
        metrics.state = hub.state
        yield hub
