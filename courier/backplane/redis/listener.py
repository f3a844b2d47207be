"""Listener: what a node hears of the logs that it follows, on whatever node it was published."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress

import trio
from coredis.exceptions import RedisError

from courier.backplane import BackplaneAway, Feed, Record
from courier.backplane.known import Known
from courier.backplane.redis.calls import Calls
from courier.backplane.redis.connection import Client, first_error
from courier.backplane.redis.line import Line, Push, open_line
from courier.backplane.redis.probes import Probes
from courier.backplane.redis.refusals import refusal
from courier.logs import get_logger
from courier.schemas.channels import ChannelName
from courier.schemas.position import Position

logger = get_logger(__name__)

RETRY_SECONDS = 0.2
FOLLOW_SECONDS = 2.0
"""How long a caller waits for its subscription, and for the line to come back if it has to."""
UNANSWERED_SECONDS = 1.5
"""After so long without an answer to a subscription the line is no good."""


_ALL_NODES = ChannelName("revocations", "global", None)
"""Stands for the feed that all nodes listen to, where a line asks for a channel."""


class _Subscription:
    """What is wanted of a channel, what Redis was asked for last, and how many answers are due."""

    __slots__ = ("asked", "due", "heard", "wanted")

    def __init__(self) -> None:
        self.wanted = False
        self.asked = False
        self.due = 0
        self.heard = trio.Event()
        """Set while all that is published is heard."""


class Listener:
    """Keeps subscribed to what is wanted, and gives the feed what arrives.

    Asking is one step that never waits, and Redis answers in order: so what was wanted last is what holds,
    however much is on its way. A line that broke or hangs is replaced; once everything is subscribed again,
    the feed has to look.
    """

    def __init__(
        self,
        open_client: Callable[[], AbstractAsyncContextManager[Client]],
        calls: Calls,
        probes: Probes,
        known: Known,
        feed: Callable[[], Feed | None],
        told: Callable[[bytes | None], None],
    ) -> None:
        """`told` gets each word from the feed of revocations, and None when some may have been missed."""
        self._open_client = open_client
        self._calls = calls
        self._probes = probes
        self._probed = probes.feed.encode()
        self._known = known
        self._feed = feed
        self._told = told
        self._revocations = calls.revocations_feed.encode()
        self._line: Line | None = None
        self._channels: dict[ChannelName, _Subscription] = {}
        self._feeds: dict[bytes, ChannelName] = {}
        """The same channels by the names of their feeds."""
        self._again: set[ChannelName] = set()
        """Channels whose events may have been missed, and which are not heard again yet."""
        self._due = 0
        self._answered_at = 0.0
        self.trouble: str | None = None
        """That Redis allows no subscription, as a short sentence; None while it does, or is away."""

    def __len__(self) -> int:
        """Channels that Redis is asked for, or was a moment ago."""
        return len(self._channels)

    async def want(self, channel: ChannelName) -> None:
        """Return when all that is published from now on will be heard; `BackplaneAway` if that takes long."""
        subscription = self._channels.setdefault(channel, _Subscription())
        self._feeds[self._calls.feed_of(channel).encode()] = channel
        subscription.wanted = True
        self._ask(channel, subscription)
        with trio.move_on_after(FOLLOW_SECONDS):
            await subscription.heard.wait()
            return
        raise BackplaneAway("Redis does not answer a subscription")

    def unwant(self, channel: ChannelName) -> None:
        """Hear no more of it from now on, and unsubscribe it in Redis."""
        subscription = self._channels.get(channel)
        if subscription is not None:
            subscription.wanted = False
            self._ask(channel, subscription)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with (
                    self._open_client() as client,
                    open_line(client) as line,
                    trio.open_nursery() as nursery,
                ):
                    self._begin(line)
                    nursery.start_soon(self._watch_answers)
                    await line.run(self._hear)
            except Exception as failed:  # noqa: BLE001 - whatever it was, only a new connection helps
                error = first_error(failed)
                refused = refusal(error) if self._line is not None else None
                self.trouble = refused and f"Redis refused the subscription: {refused}"
                if self._line is not None:  # while Redis is away the pump says so
                    logger.info("The line to Redis broke", error=repr(error))
            self._line = None
            for subscription in self._channels.values():
                if subscription.heard.is_set():
                    subscription.heard = trio.Event()
            await trio.sleep(RETRY_SECONDS)

    def _begin(self, line: Line) -> None:
        self._line = line
        self._due = 0
        self._again.clear()
        with suppress(RedisError):
            line.subscribe(self._probes.log, self._probes.feed)
            line.unsubscribe(self._probes.log, self._probes.feed)
            line.subscribe(_ALL_NODES, self._calls.revocations_feed)
        for channel, subscription in [*self._channels.items()]:
            subscription.asked = False
            subscription.due = 0
            if subscription.wanted:
                self._again.add(channel)
                self._ask(channel, subscription)
            else:
                self._forget(channel)
        self._all_again()

    def _ask(self, channel: ChannelName, subscription: _Subscription) -> None:
        """Tell Redis what is wanted, if that has changed."""
        if self._line is None:
            if not subscription.wanted:
                self._forget(channel)
            return
        if subscription.wanted == subscription.asked:
            return
        if not self._due:
            self._answered_at = trio.current_time()
        subscription.asked = subscription.wanted
        subscription.due += 1
        self._due += 1
        ask = self._line.subscribe if subscription.wanted else self._line.unsubscribe
        with suppress(RedisError):  # the line is broken: it is about to be replaced, and all asked for again
            ask(channel, self._calls.feed_of(channel))
        if not subscription.wanted:
            self._again.discard(channel)
            if subscription.heard.is_set():
                subscription.heard = trio.Event()

    def _hear(self, push: Push) -> None:
        kind, name, *rest = push
        assert isinstance(name, bytes)
        if name == self._probed:
            self.trouble = None
            return
        if name == self._revocations:
            self._told(rest[0] if kind in (b"message", b"smessage") and isinstance(rest[0], bytes) else None)
            return
        channel = self._feeds.get(name)
        subscription = None if channel is None else self._channels.get(channel)
        match kind:
            case b"message" | b"smessage":
                if channel is not None and subscription is not None and subscription.wanted:
                    self._dispatch(channel, rest[0])
            case b"subscribe" | b"unsubscribe" | b"ssubscribe" | b"sunsubscribe":
                if channel is None or subscription is None or not subscription.due:
                    # Nobody asked: the channel's slot has moved to another server of the cluster.
                    raise ConnectionResetError("Redis has ended a subscription")
                self._answered(channel, subscription)

    def _answered(self, channel: ChannelName, subscription: _Subscription) -> None:
        subscription.due -= 1
        self._due -= 1
        self._answered_at = trio.current_time()
        if subscription.due:
            return
        if not subscription.asked:
            self._forget(channel)
            return
        subscription.heard.set()
        if channel in self._again:
            self._again.discard(channel)
            self._all_again()

    def _forget(self, channel: ChannelName) -> None:
        self._channels.pop(channel, None)
        self._feeds.pop(self._calls.feed_of(channel).encode(), None)

    def _all_again(self) -> None:
        if not self._again:
            self._doubt(None)

    def _dispatch(self, channel: ChannelName, data: object) -> None:
        assert isinstance(data, bytes)
        head, newline, body = data.partition(b"\n")
        epoch, first, arrived = head.split()
        if not newline:
            self._doubt(channel)
            return
        name, offset, arrived_ms = epoch.decode(), int(first), int(arrived)
        feed = self._feed()
        if feed is not None:
            records = [
                Record(Position(name, offset + number), arrived_ms, event)
                for number, event in enumerate(body.split(b"\n"))
            ]
            self._known.note(channel.name, records[-1].position)
            feed.arrived(channel, records)

    def _doubt(self, channel: ChannelName | None) -> None:
        feed = self._feed()
        if feed is not None:
            feed.doubt(channel)

    async def _watch_answers(self) -> None:
        while True:
            await trio.sleep(UNANSWERED_SECONDS / 3)
            if self._due and trio.current_time() - self._answered_at > UNANSWERED_SECONDS:
                raise TimeoutError("Redis does not answer a subscription")
