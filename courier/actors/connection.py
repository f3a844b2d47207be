"""Connection: several subscriptions of one user on one socket."""

import math
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from courier.actors.subscriber import GOODBYE_SECONDS, Home, Subscriber
from courier.actors.wire import Clock, Holder
from courier.backplane import Stretch
from courier.backplane.steps import Steps
from courier.logs import get_logger
from courier.metrics import Metrics
from courier.schemas.channels import ChannelName
from courier.schemas.closing import CloseReason
from courier.schemas.position import Position, Since

logger = get_logger(__name__)


class Front(Home, Protocol):
    """What a connection asks of the hub."""

    def subscribing(self, subscriber: Subscriber, since: Since | None) -> Steps[None]:
        """Add a new subscriber to its channel, or close it and raise what `Hub.join` does."""

    def unsubscribed(self, subscriber: Subscriber) -> None:
        """A subscriber has left its channel."""

    def disconnected(self, connection: "Connection") -> None:
        """The connection has left."""


class Connection:
    """Counts as one connection, however many channels it reads. Made by `Hub.connect`, closed by its holder.

    It is the home of its subscriptions, and in a drain ends when each of them has everything.
    """

    __slots__ = (
        "_finishing",
        "_goodbye_by",
        "_hub",
        "_lag",
        "aborted",
        "holder",
        "id",
        "left",
        "owner",
        "reason",
        "slot_seconds",
        "subscribers",
    )

    def __init__(self, id: str, owner: str, hub: Front) -> None:
        self.id = id
        self.owner = owner
        self.subscribers: dict[Subscriber, None] = {}
        """In the order in which they came."""
        self.holder: Holder | None = None
        self.reason: CloseReason | None = None
        """Why it has ended; None while it has not, and when the peer has left."""
        self.left = self.aborted = False
        self.slot_seconds = 0.0
        """After a drain: how long to wait before coming back."""
        self._hub = hub
        self._finishing: tuple[CloseReason, float] | None = None
        self._goodbye_by = math.inf
        self._lag = 0

    def joining(self, channel: ChannelName, since: Since | None) -> Steps[Subscriber]:
        """The steps to one more subscription; its holder closes it. Raises what `Hub.joining` does."""
        subscriber = Subscriber(self.id, channel, self.owner, self)
        self.subscribers[subscriber] = None
        try:
            yield from self._hub.subscribing(subscriber, since)
        except BaseException:
            self.subscribers.pop(subscriber, None)
            raise
        return subscriber

    @property
    def lag(self) -> int:
        """How many events its subscriptions are behind, or were when it left."""
        return self._lag if self.left else sum(each.lag for each in self.subscribers)

    def finish(self, reason: CloseReason, by: float) -> None:
        """End it as soon as each subscription has everything; its goodbye is to be said by the time `by`."""
        self._finishing = reason, by
        for subscriber in tuple(self.subscribers):
            subscriber.finish(reason, by)
        self._end_if_finished()

    def end(self, reason: CloseReason, by: float | None = None) -> None:
        """End it now, with its goodbye said by the time `by`; the first reason stands."""
        if self.left:
            return
        if self.reason is None:
            self.reason = reason
            self._goodbye_by = trio.current_time() + GOODBYE_SECONDS
        if by is not None:
            self._goodbye_by = by
        if self.holder is not None:
            self.holder.end(self.reason, self._goodbye_by)

    def evict(self, why: str) -> None:
        """End it because it is too slow."""
        if self.reason is None and not self.left:
            self.metrics.evicted(why)
            facts = {"user_id": self.owner, "connection_id": self.id}
            logger.info("Subscriber evicted", **facts, reason=why, lag=self.lag)
            self.end(CloseReason.TOO_SLOW)

    def close(self, *, aborted: bool = False) -> None:
        """Leave, with all subscriptions; the second time nothing happens."""
        if not self.left:
            self._lag = self.lag
            self.left, self.aborted = True, aborted
            for subscriber in tuple(self.subscribers):
                subscriber.close(aborted=aborted)
            self.holder = None
            self._hub.disconnected(self)

    def _end_if_finished(self) -> None:
        if self._finishing is not None and not self.subscribers:
            self.end(*self._finishing)

    # What its subscriptions ask: `courier.actors.subscriber.Home`

    @property
    def metrics(self) -> Metrics:
        return self._hub.metrics

    @property
    def clock(self) -> Clock:
        return self._hub.clock

    def spawn(self, task: Callable[[], Awaitable[None]]) -> None:
        self._hub.spawn(task)

    def leave(self, subscriber: Subscriber) -> None:
        del self.subscribers[subscriber]
        self._hub.unsubscribed(subscriber)
        self._end_if_finished()

    async def read_older(self, channel: ChannelName, position: Position) -> Stretch:
        return await self._hub.read_older(channel, position)
