"""Supervisor: starts channels, retires them, and outlives their crashes."""

from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import trio

from courier.actors.channel import Channel
from courier.actors.errors import ChannelFailed, TooManyChannels
from courier.actors.inbox import Inbox
from courier.actors.keys import Keys
from courier.actors.limits import Limits
from courier.actors.log import Budget, Log
from courier.actors.messages import Arrive, Deliver, Leave, Message, Read, Trim
from courier.actors.repairs import Repairs
from courier.actors.subscriber import Subscriber
from courier.actors.wire import Clock, Corked, Spawn
from courier.backplane import Backplane, BackplaneAway, InboxFull, Outcome, Publication, Record, Stretch
from courier.backplane.reply import Reply
from courier.logs import get_logger
from courier.metrics import Metrics
from courier.schemas.channels import ChannelName
from courier.schemas.closing import CloseReason
from courier.schemas.position import Since

CRASHES_ALLOWED = 4
CRASH_WINDOW_SECONDS = 60.0
"""A channel that crashes more often than that within this time is given up."""

SWEEP_SECONDS = 1.0
SWEEP_PAUSE = 500
"""How often all channels are looked at for what is too old, and how many before other tasks get a turn."""

LOOK_SECONDS = 5.0
"""How often it is noted how far behind each subscriber is: more often than anybody scrapes, and not whenever
somebody does, so that the figures are the same however many ask."""

CRASHES_REMEMBERED = 1000

SHOWN_PAUSE = 32
"""How many small channels are shown before other tasks get a turn."""

TRIM_SHARE = 16
"""Of the node's byte budget, the part that the largest log gives up at a time."""

logger = get_logger(__name__)


class Signal:
    """An event that can be used again: set by many, waited for and cleared by one."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        self._event.set()

    def clear(self) -> None:
        self._event = trio.Event()

    async def wait(self) -> None:
        await self._event.wait()


class Crash(NamedTuple):
    """A channel has raised, and went on with a fresh actor, or was given up."""

    at: float
    given_up: bool


class Supervisor:
    """Owns the channels of a node and their tasks; the `Feed` of its backplane. Made by `open_supervisor`."""

    def __init__(
        self,
        nursery: trio.Nursery,
        backplane: Backplane,
        *,
        limits: Limits,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self.budget = Budget(limits.history_bytes)
        self._nursery = nursery
        self._backplane = backplane
        self._limits = limits
        self._clock = clock
        self._metrics = metrics
        self._inboxes: dict[str, Inbox] = {}
        self._channels: dict[str, Channel] = {}
        self._pressed = Signal()
        self._news = Signal()
        self._to_show: list[Channel] = []
        self.corked: list[Corked] | None = None
        """While small channels are shown together: the wires that gather what several of these write."""
        self._keys = Keys(limits.idempotency_keys)
        self.repairs = Repairs(backplane, self.running, nursery, metrics)
        self._early: set[str] = set()
        """Channels that were doubted before they had started."""
        self.crashes: deque[Crash] = deque(maxlen=CRASHES_REMEMBERED)
        """The youngest, of all channels."""
        self.swept_at = trio.current_time()
        """When the sweep began its last round."""
        self.frozen = False
        """What arrives is left alone: the logs end here."""

    @property
    def spawn(self) -> Spawn:
        """Starts a task that lives as long as it likes within the supervisor's life."""
        return self._nursery.start_soon

    def __len__(self) -> int:
        return len(self._inboxes)

    def __iter__(self) -> Iterator[Channel]:
        return iter(tuple(self._channels.values()))

    def running(self, name: ChannelName) -> Channel | None:
        """The channel, if it runs."""
        return self._channels.get(name.name)

    def inbox(self, name: ChannelName) -> Inbox:
        """The inbox of the channel, which is started if it is not running.

        Raises `TooManyChannels` when there is no room for one more.
        """
        inbox = self._inboxes.get(name.name)
        if inbox is None:
            if len(self._inboxes) >= self._limits.channels:
                raise TooManyChannels(f"node has {self._limits.channels} channels, the most that it may have")
            inbox = self._inboxes[name.name] = Inbox(self._limits.inbox_events)
            self._nursery.start_soon(self._keep, name, inbox)
        return inbox

    def leave(self, subscriber: Subscriber) -> None:
        """Let the subscriber's channel know that it has left, if that still runs."""
        inbox = self._inboxes.get(subscriber.channel.name)
        if inbox is not None and not inbox.closed:
            inbox.put(Leave(subscriber))

    async def _keep(self, name: ChannelName, inbox: Inbox) -> None:
        """Run a channel until it is retired; after a crash go on with a fresh actor."""
        crashes: deque[float] = deque(maxlen=CRASHES_ALLOWED)
        try:
            channel = self._channels[name.name] = await self._start(name, inbox)
        except BackplaneAway as away:
            del self._inboxes[name.name]
            self._early.discard(name.name)
            inbox.close()
            _fail_all(inbox, away)
            return
        if name.name in self._early:
            self._early.discard(name.name)
            self.doubt(name)
        while True:
            try:
                await channel.run()
            except Exception as error:  # one channel's crash is never another's
                self._metrics.error("channel", error)
                logger.error("Channel crashed", channel=name.name, exc_info=error)
                failed = channel.failed
                _fail(failed)
                now = trio.current_time()
                given_up = len(crashes) == CRASHES_ALLOWED and now - crashes[0] < CRASH_WINDOW_SECONDS
                self.crashes.append(Crash(now, given_up))
                if given_up:
                    self._give_up(channel)
                    return
                crashes.append(now)
                channel = self._channels[name.name] = channel.successor()
                if isinstance(failed, Arrive):
                    self.doubt(name)  # what came last is no hole that the next event shows
            else:
                return

    async def _start(self, name: ChannelName, inbox: Inbox) -> Channel:
        log = Log(await self._backplane.follow(name), self.budget)
        return Channel(
            name,
            inbox,
            log,
            limits=self._limits,
            clock=self._clock,
            metrics=self._metrics,
            keys=self._keys,
            over_budget=self._pressed.set,
            doubt=lambda: self.doubt(name),
            show_soon=self._show_soon,
        )

    def retire(self, channel: Channel) -> None:
        """End an idle channel; where its log stopped is remembered. Its bytes are the budget's again."""
        channel.inbox.close()
        del self._channels[channel.name.name], self._inboxes[channel.name.name]
        channel.log.trim(keep=0)
        self._backplane.unfollow(channel.name, channel.log.origin)

    def _give_up(self, channel: Channel) -> None:
        """End a channel that cannot be kept running: everyone who waits on it is told."""
        logger.error("Channel given up", channel=channel.name.name, crashes=CRASHES_ALLOWED + 1)
        self.retire(channel)
        _fail(channel.asked_trim)
        _fail_all(channel.inbox)
        for subscriber in channel.subscribers:
            subscriber.end(CloseReason.CHANNEL_FAILED)

    # What the backplane asks: `courier.backplane.Feed`

    async def append(
        self, channel: ChannelName, publications: Sequence[Publication], by: float
    ) -> list[Outcome]:
        inbox = self.inbox(channel)
        with trio.move_on_at(by) as waiting:
            await inbox.reserve(len(publications))
        if waiting.cancelled_caught:
            full = f"inbox of {self._limits.inbox_events} events was full for as long as a publish may wait"
            raise InboxFull(full) from None
        return await _put(inbox, publications).wait()

    def append_nowait(
        self, channel: ChannelName, publications: Sequence[Publication]
    ) -> Reply[list[Outcome]]:
        inbox = self.inbox(channel)
        inbox.reserve_nowait(len(publications))
        return _put(inbox, publications)

    async def history(self, channel: ChannelName, since: Since | None, limit: int) -> Stretch:
        reply: Reply[Stretch] = Reply()
        self.inbox(channel).put(Read(since, limit, reply))
        return await reply.wait()

    def arrived(self, channel: ChannelName, records: Sequence[Record]) -> None:
        inbox = self._inboxes.get(channel.name)
        if inbox is None or inbox.closed or self.frozen:
            return
        try:
            inbox.reserve_nowait(len(records))
        except trio.WouldBlock:
            self.doubt(channel)  # left out, and so a hole
        else:
            inbox.put(Arrive(records))

    def doubt(self, channel: ChannelName | None = None) -> None:
        if self.frozen:
            return
        for name in tuple(self._inboxes) if channel is None else [channel.name]:
            running = self._channels.get(name)
            if running is not None:
                self.repairs.doubt(running)
            elif name in self._inboxes:
                self._early.add(name)

    async def sweep(self) -> None:
        """Look after all channels, for ever: drop what is too old or too much, retire who is idle."""
        while True:
            await trio.sleep(SWEEP_SECONDS)
            self.swept_at = trio.current_time()
            for count, channel in enumerate(self, start=1):
                if self._channels.get(channel.name.name) is not channel:
                    continue  # crashed, or given up, since the walk began
                if channel.idle:
                    self.retire(channel)
                elif channel.log.oldest_at < (before := self._too_old(channel)):
                    channel.inbox.put(Trim(before=before))
                if count % SWEEP_PAUSE == 0:
                    await trio.lowlevel.checkpoint()

    def _too_old(self, channel: Channel) -> float:
        """When an entry of the channel must have been appended to be dropped by now."""
        return self.swept_at - self._limits.kept(channel.name.kind).seconds

    async def look(self) -> None:
        """Note how far behind all subscribers are, again and again, for ever."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            for count, channel in enumerate(self, start=1):
                channel.look()
                if count % SWEEP_PAUSE == 0:
                    await trio.lowlevel.checkpoint()

    def _show_soon(self, channel: Channel) -> None:
        self._to_show.append(channel)
        self._news.set()

    async def show(self) -> None:
        """Show what is new in small channels, for ever: one wake-up for all that was published meanwhile."""
        while True:
            await self._news.wait()
            self._news.clear()
            channels, self._to_show = self._to_show, []
            for start in range(0, len(channels), SHOWN_PAUSE):
                if start:
                    await trio.lowlevel.checkpoint()
                self._show_together(channels[start : start + SHOWN_PAUSE])

    def _show_together(self, channels: Sequence[Channel]) -> None:
        """What several of them write to one connection leaves by one write."""
        corked: list[Corked] = []
        self.corked = corked
        try:
            for channel in channels:
                if self._channels.get(channel.name.name) is channel:
                    channel.show()
        finally:
            self.corked = None
            for wire in corked:
                wire.uncork()

    async def relieve(self) -> None:
        """Keep the logs within the node's byte budget, for ever: the largest log pays.

        If the appending log paid, a busy channel would leave no history to the quiet ones.
        """
        while True:
            await self._pressed.wait()
            while excess := self.budget.excess_bytes:
                largest = max(self, key=lambda channel: channel.log.bytes)
                trim = Trim(free_bytes=excess + self.budget.limit_bytes // TRIM_SHARE)
                with suppress(ChannelFailed):
                    largest.inbox.put(trim)
                    await trim.reply.wait()
                await trio.lowlevel.checkpoint()  # at the node's end all inboxes are closed
            self._pressed.clear()

    async def settle(self) -> None:
        """Have all channels with subscribers catch up, and then freeze every log as it is."""

        async def catch_up(name: ChannelName) -> None:
            with suppress(BackplaneAway, ChannelFailed):
                await self.repairs.catch_up(name)

        try:
            async with trio.open_nursery() as nursery:
                for channel in self:
                    if channel.subscribers:
                        nursery.start_soon(catch_up, channel.name)
        finally:
            self.frozen = True

    def abandon(self) -> None:
        """Answer everyone who still waits: no channel will run any more."""
        self.frozen = True
        for inbox in self._inboxes.values():
            inbox.close()
            _fail_all(inbox)


def _put(inbox: Inbox, publications: Sequence[Publication]) -> Reply[list[Outcome]]:
    """Put them into an inbox in which they have room."""
    reply: Reply[list[Outcome]] = Reply()  # called as a generic it costs a microsecond
    inbox.put(Deliver(publications, reply))
    return reply


def _fail(message: Message | None, error: Exception | None = None) -> None:
    """Answer those who wait for a message that nobody will handle. Appends were answered before."""
    if message is not None and not isinstance(message, Leave | Arrive):
        message.reply.fail(error or ChannelFailed())


def _fail_all(inbox: Inbox, error: Exception | None = None) -> None:
    while (message := inbox.take_nowait()) is not None:
        _fail(message, error)


@asynccontextmanager
async def open_supervisor(
    backplane: Backplane, *, limits: Limits, clock: Clock, metrics: Metrics
) -> AsyncIterator[Supervisor]:
    """A supervisor for the length of a block; whatever still runs at its end is cancelled."""
    async with trio.open_nursery() as nursery:
        supervisor = Supervisor(nursery, backplane, limits=limits, clock=clock, metrics=metrics)
        backplane.feed = supervisor
        nursery.start_soon(supervisor.sweep)
        nursery.start_soon(supervisor.look)
        nursery.start_soon(supervisor.relieve)
        nursery.start_soon(supervisor.show)
        try:
            yield supervisor
        finally:
            supervisor.abandon()
            nursery.cancel_scope.cancel()
