"""Repairs: bringing a channel's log up to the one that the nodes share, when it may have missed something."""

from collections.abc import Callable

import trio

from courier.actors.channel import Channel
from courier.actors.errors import ChannelFailed
from courier.actors.messages import Refill
from courier.actors.subscriber import AGAIN_SECONDS
from courier.backplane import Backplane, BackplaneAway
from courier.backplane.reply import Reply
from courier.metrics import Metrics
from courier.schemas.channels import ChannelName
from courier.schemas.position import UNBORN, Position

REFILL_EVENTS = 1000
"""How many events of a hole are read at a time."""

BEYOND_ALL = 10**17
"""An offset that no log has: a node that claims to know it makes the shared log begin a new epoch."""


class Repairs:
    """The channels in doubt: one task catches up each of them, until nobody doubts it."""

    def __init__(
        self,
        backplane: Backplane,
        running: Callable[[ChannelName], Channel | None],
        nursery: trio.Nursery,
        metrics: Metrics,
    ) -> None:
        self._backplane = backplane
        self._running = running
        self._nursery = nursery
        self._metrics = metrics
        self._doubted: dict[str, Position | None] = {}
        """Channels that are being caught up; where their log was when it was doubted again."""
        self._waiting: dict[str, list[Reply[None]]] = {}
        """By channel, those who asked for it since the last look at the shared log began."""

    def doubt(self, channel: Channel) -> None:
        """Have the channel caught up, from where its log is now. Never waits."""
        name = channel.name
        if name.name not in self._doubted:
            self._nursery.start_soon(self._repair, name)
        self._doubted[name.name] = self._doubted.get(name.name) or channel.log.position

    async def catch_up(self, name: ChannelName) -> None:
        """Return when the channel's log has what the shared log had at some moment since the call.

        Raises `BackplaneAway`, or `ChannelFailed` when the channel ends or crashes meanwhile.
        """
        channel = self._running(name)
        if channel is None or channel.inbox.closed:
            raise ChannelFailed
        reply: Reply[None] = Reply()
        self._waiting.setdefault(name.name, []).append(reply)
        self.doubt(channel)
        await reply.wait()

    async def _repair(self, name: ChannelName) -> None:
        """Look until nobody doubts the channel any more: one task a channel, one look for all who ask."""
        waiting: list[Reply[None]] = []
        try:
            while (sure := self._doubted[name.name]) is not None:
                self._doubted[name.name] = None
                waiting = self._waiting.pop(name.name, [])
                try:
                    await self._look(name, sure)
                except (BackplaneAway, ChannelFailed) as error:
                    for reply in waiting:
                        reply.fail(error)
                    if isinstance(error, BackplaneAway):
                        await trio.sleep(AGAIN_SECONDS)
                    self._doubted[name.name] = sure if self._running(name) is not None else None
                for reply in waiting:
                    reply.give(None)
        finally:
            del self._doubted[name.name]
            for reply in [*waiting, *self._waiting.pop(name.name, [])]:
                reply.fail(ChannelFailed())

    async def _look(self, name: ChannelName, sure: Position) -> None:
        """Bring the log up to the shared one. What has come since it was at `sure` is looked at once more: it
        may follow what was lost."""
        channel = self._running(name)
        if channel is None:
            raise ChannelFailed
        log = channel.log
        sure = sure if sure.epoch == log.epoch else log.position
        known = Position(log.epoch, BEYOND_ALL) if log.forked else log.position
        to, floor_ms = await self._backplane.follow(name, known)
        if log.has_left(to.epoch):
            to, floor_ms = await self._backplane.follow(name, Position(to.epoch, BEYOND_ALL))
        # What both have tells whether they are one log.
        since = sure if log.unborn else Position(sure.epoch, max(0, sure.offset - 1))
        unsure = floor_ms != log.last_ms or sure != log.position
        changed = False
        while unsure or log.epoch != to.epoch or (log.offset < to.offset and not log.unborn):
            unsure, before = False, log.position
            stretch = await self._backplane.read(name, since, REFILL_EVENTS)
            reply: Reply[None] = Reply()
            channel.inbox.put(Refill(floor_ms, stretch, reply))
            await reply.wait()
            if since == before == log.position:
                # Without a log on either side there is nothing that could agree.
                changed = stretch.gap is not None and stretch.start.epoch != UNBORN
                break
            since = log.position
            if before.epoch != UNBORN:
                self._metrics.repaired()
        if changed or log.forked:
            await self._look(name, sure)
