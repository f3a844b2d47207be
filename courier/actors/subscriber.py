"""Subscriber: a cursor into a channel's log, and a wire to write to."""

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

import trio

from courier.actors.errors import ChannelFailed
from courier.actors.frames import Page, event_frame, gap_frame
from courier.actors.log import Entry, Log, Replay
from courier.actors.statistics import State, SubscriberStatistics
from courier.actors.wire import Clock, Holder, Wire
from courier.backplane import BackplaneAway, Record, Stretch
from courier.logs import get_logger
from courier.metrics import Metrics
from courier.schemas.channels import ChannelName
from courier.schemas.closing import CloseReason
from courier.schemas.control import GapReason
from courier.schemas.events.base import type_of
from courier.schemas.position import Position, Since

PAGE_BYTES = 64 * 1024
"""What a subscriber that is behind takes from the log at a time."""

OVERRUN_SECONDS = 60.0
"""A subscriber that falls off the log's tail again so soon after a gap for it is too slow, and is closed."""

GOODBYE_SECONDS = 5.0
"""How long a goodbye may take when nothing else says so."""

AGAIN_SECONDS = 0.5
"""After how long older events are asked for again, when the backplane could not be reached."""

logger = get_logger(__name__)


class Home(Protocol):
    """What a subscriber asks of the hub that it belongs to."""

    @property
    def metrics(self) -> Metrics: ...

    @property
    def clock(self) -> Clock: ...

    def spawn(self, task: Callable[[], Awaitable[None]]) -> None:
        """Start a task."""

    def leave(self, subscriber: "Subscriber") -> None:
        """The subscriber has left."""

    async def read_older(self, channel: ChannelName, position: Position) -> Stretch:
        """Read what follows a position and is not in the node's own log any more."""


class Missed(NamedTuple):
    """A gap that a subscriber is owed."""

    reason: GapReason
    requested: str
    after: Position
    """Where the peer stands until it has been told."""


class Beginning(NamedTuple):
    """Where a subscription begins: fixed in the step that added it to its channel."""

    position: Position
    """The one just before its next event."""
    recovered: bool
    """It came back to a place, and nothing is missing since then."""
    replayed: int
    """How many events of the log it gets before those that are still to come."""


class Subscriber:
    """One subscription of one channel: made by `Hub.join`, opened and closed by its holder.

    It is moved by `offer` while it is current, and by `writable` while it is behind. No step waits: a task
    of its own it has only while it reads events that the node's log has dropped.
    """

    __slots__ = (
        "_finishing",
        "_from",
        "_gap",
        "_holder",
        "_live_from",
        "_log",
        "_overrun_at",
        "_reads_older",
        "_traffic",
        "_wire",
        "beginning",
        "channel",
        "cursor",
        "goodbye_by",
        "home",
        "id",
        "owner",
        "reason",
        "slot_seconds",
        "state",
    )

    def __init__(self, id: str, channel: ChannelName, owner: str, home: Home) -> None:
        self.id = id
        self.channel = channel
        self.owner = owner
        self.state = State.JOINING
        self.cursor = 0
        self.beginning: Beginning | None = None
        """From when the channel has added it until it is opened."""
        self.reason: CloseReason | None = None
        """Why it has ended; None while it has not, and when the peer has left."""
        self.goodbye_by = math.inf
        """When it ends: until when its goodbye must have been said."""
        self.slot_seconds = 0.0
        """After a drain: how long to wait before coming back."""
        self.home = home
        """Its connection, when that reads other channels, too; else the hub."""
        self._traffic = home.metrics.traffic[channel.kind]
        self._from = 0
        """Where the cursor began, further on by what it was moved over."""
        self._log: Log | None = None
        self._wire: Wire | None = None
        self._holder: Holder | None = None
        self._gap: Missed | None = None
        self._live_from = 0
        self._overrun_at = -math.inf
        self._reads_older = False
        self._finishing: CloseReason | None = None

    # What the channel does with it

    def start(self, log: Log, replay: Replay, since: Since | None) -> None:
        """Set the cursor; a gap comes before the first event."""
        self._log = log
        self.cursor = self._from = replay.cursor
        self._live_from = log.head
        recovered = since is not None and replay.gap is None
        self.beginning = Beginning(log.position_before(self.cursor), recovered, self.lag)
        after = since if isinstance(since, Position) else self.beginning.position
        self._gap = None if replay.gap is None else Missed(replay.gap, str(since), after)

    def offer(self, page: Page) -> bool:
        """Write the page, which starts at the cursor, as far as the socket takes it; `writable` goes on.

        Returns whether the socket took all of it; if so the caller counts it, with all others' who took the
        same page. Call it only while it is current. Never raises for what the wire does.
        """
        assert self._wire is not None
        try:
            sent = self._wire.write(page.data)
            if sent == len(page.data):
                self.cursor += len(page.frames)
                return True
            self.state = State.BEHIND
            self._move(self._hold(page, sent))
        except Exception as error:  # noqa: BLE001 - whatever a wire raises ends only its own subscriber
            self._fail(error)
        return False

    # What its holder does with it

    def open(self, wire: Wire, holder: Holder) -> None:
        """Give it its wire, once the peer has been accepted: what it has missed is written now."""
        self._wire, self._holder, self.beginning = wire, holder, None
        if self.reason is not None:  # it has ended while it joined
            holder.end(self.reason, self.goodbye_by)
        else:
            self.state = State.BEHIND
            self._advance()

    def writable(self) -> None:
        """The wire has room, and holds nothing."""
        if self.state is State.BEHIND and not self._reads_older:
            self._advance()

    def close(self, *, aborted: bool = False) -> None:
        """Leave; `aborted`: its goodbye could not be said. Never waits; the second time nothing happens."""
        if not self.left:
            self.state = State.ABORTED if aborted else State.LEFT
            self._wire = self._holder = None  # which refer to it: nothing waits for the garbage collector
            self.home.leave(self)

    def evict(self, why: str) -> None:
        """End it because it is too slow."""
        if not self._ended:
            self.home.metrics.evicted(why)
            logger.info("Subscriber evicted", **self._facts(), reason=why, lag=self.lag)
            self.end(CloseReason.TOO_SLOW)

    # What it is like

    @property
    def left(self) -> bool:
        return self.state is State.LEFT or self.state is State.ABORTED

    @property
    def aborted(self) -> bool:
        """It has left, and its goodbye could not be said."""
        return self.state is State.ABORTED

    @property
    def lag(self) -> int:
        """How many events it is behind."""
        return 0 if self._log is None else self._log.head - self.cursor

    @property
    def position(self) -> Position | None:
        """Behind the last event or gap that was written to it; None before it has joined."""
        if self._log is None:
            return None
        if self._gap is not None:
            return self._gap.after  # from there it is sent again
        return self._log.position_before(self.cursor)

    @property
    def delivered(self) -> int:
        """How many events were written to it, the shared log's gaps among them."""
        return self.cursor - self._from

    def statistics(self) -> SubscriberStatistics:
        """What it is like at this moment."""
        return SubscriberStatistics(
            self.id,
            self.owner,
            self.channel.name,
            self.state,
            self.position,
            self.lag,
            0 if self._wire is None else self._wire.held_bytes,
        )

    # What ends it

    @property
    def _ended(self) -> bool:
        return self.state is State.CLOSING or self.left

    def finish(self, reason: CloseReason, by: float) -> None:
        """End it as soon as it has everything; its goodbye is to be said by the time `by`."""
        if self._ended:
            return  # its goodbye has its time
        self._finishing, self.goodbye_by = reason, by
        if self.state is State.CURRENT:
            self.end(reason, by)

    def end(self, reason: CloseReason, by: float | None = None) -> None:
        """End it now, with its goodbye said by the time `by`; the first reason stands."""
        if self.left:
            return
        if not self._ended:
            self.reason = reason
            self.state = State.CLOSING
            self.goodbye_by = trio.current_time() + GOODBYE_SECONDS
        if by is not None:
            self.goodbye_by = by
        if self._holder is not None and self.reason is not None:
            self._holder.end(self.reason, self.goodbye_by)

    def _fail(self, error: Exception) -> None:
        """End it because of a fault in writing to it."""
        self.home.metrics.error("wire", error)
        logger.error("Wire failed", **self._facts(), exc_info=error)
        self.end(CloseReason.CHANNEL_FAILED)

    # How it moves while it is behind

    def _advance(self) -> None:
        """Write a page of what it has not got yet; the wire says when there is room for the next one."""
        assert self._log is not None
        assert self._wire is not None
        try:
            if self._wire.holding:
                self._wire.await_room()
            elif self.cursor < self._log.first:
                self._reads_older = True
                self.home.spawn(self._read_older)
            else:
                self._write_next(self._log, self._wire)
        except Exception as error:  # noqa: BLE001 - as in `offer`
            self._fail(error)

    def _write_next(self, log: Log, wire: Wire) -> None:
        """Write the gap that is owed, and a page. The cursor moves in the same step as its own write."""
        if self._tell_gap(log, wire) and self.lag:
            page = log.page(self.cursor, PAGE_BYTES)
            self._move(self._write(wire, page))
        self._settle(wire)

    def _settle(self, wire: Wire) -> None:
        """It is current if nothing is left to write; end it if that is what it was to wait for."""
        if self._ended:
            return
        if self.lag or self._gap is not None or wire.holding:
            wire.await_room()
        else:
            self.state = State.CURRENT
            if self._finishing is not None:
                self.end(self._finishing, self.goodbye_by)

    async def _read_older(self) -> None:
        """Write what stands at the cursor from the backplane, as the node's log does not hold it any more."""
        log, wire = self._log, self._wire
        assert log is not None
        if wire is None:
            return  # it has left since this was asked for
        try:
            stretch = await self._older(log)
            self._reads_older = False
            if not self._ended:
                if stretch is not None:
                    self._show_older(log, wire, stretch)
                self._settle(wire)
        except Exception as error:  # noqa: BLE001 - as in `offer`
            self._fail(error)
        finally:
            self._reads_older = False

    async def _older(self, log: Log) -> Stretch | None:
        """What the backplane has at the cursor; None, after a pause, when it cannot say now."""
        try:
            stretch = await self.home.read_older(self.channel, log.position_before(self.cursor))
        except ChannelFailed:
            return None  # it goes on with a fresh actor, or has ended all its subscribers
        except BackplaneAway:
            pass
        else:
            if stretch.gap is not None or stretch.records:
                return stretch
            # The two logs disagree: the channel will find out which is right.
        await trio.sleep(AGAIN_SECONDS)
        return None

    def _show_older(self, log: Log, wire: Wire, stretch: Stretch) -> None:
        """Write older events, as far as what is there is what stood here. What nobody has is a gap."""
        cursor = self.cursor
        if stretch.gap is not None or log.cursor_after(stretch.records[0].position) != cursor + 1:
            resumed = log.cursor_after(stretch.start)
            if resumed is None or not cursor < resumed < log.first:
                # What stands after the log's last gap may still be read, though the log has dropped it.
                after_gap = log.segments[-1].cursor
                resumed = after_gap if cursor < after_gap < log.first else log.first
            if not self._overrun(log, resumed):
                return
        older = [
            self._entry(record)
            for number, record in enumerate(stretch.records, start=self.cursor + 1)
            if number <= log.first and log.cursor_after(record.position) == number
        ]
        if older and self._tell_gap(log, wire):  # a gap comes when there is something to give after it
            page = Page.of(entry.frame for entry in older)
            self._move(self._write(wire, page), older)
        if self.cursor >= log.first:  # in the same step: the next event may cost the log its oldest
            self._write_next(log, wire)

    def _entry(self, record: Record) -> Entry:
        position, arrived_ms, event = record
        frame = event_frame(position, self.channel.name, event)
        return Entry(position.offset, arrived_ms, frame, type_of(event))

    def _write(self, wire: Wire, page: Page) -> int:
        """Write a page; returns how many frames are now the wire's: written, or, the last of them, held."""
        sent = wire.write(page.data)
        return len(page.frames) if sent == len(page.data) else self._hold(page, sent)

    def _hold(self, page: Page, sent: int) -> int:
        """Have the wire hold the rest of the frame that was cut; returns how many frames are the wire's."""
        assert self._wire is not None
        count, rest = page.cut(sent)
        self._wire.hold(rest)
        return count

    def _move(self, moved: int, older: Sequence[Entry] = ()) -> None:
        """Move the cursor over frames that are the wire's, and count them: how late an event came is counted
        if it had not arrived when the subscriber joined."""
        assert self._log is not None
        entries = older[:moved] or self._log.entries(self.cursor, moved)
        replayed = max(0, self._live_from - self.cursor)
        self._traffic.replay(entries[:replayed])
        self._traffic.deliver(entries[replayed:], 1, self.home.clock())
        self.cursor += moved

    def _tell_gap(self, log: Log, wire: Wire) -> bool:
        """Write the gap that is owed, if there is one; False when the wire does not take it."""
        if self._gap is not None:
            reason, requested, _ = self._gap
            resumed_from = log.position_before(self.cursor)
            if not self._write(
                wire, Page.of([gap_frame(self.channel.name, requested, resumed_from, reason)])
            ):
                return False
            self._gap = None
            if reason is GapReason.OVERRUN:
                self._overrun_at = trio.current_time()
            self._traffic.gap(reason)
            facts = {"requested": requested, "resumed_from": str(resumed_from), "reason": reason}
            logger.info("Gap sent", **self._facts(), **facts)
        return True

    def _overrun(self, log: Log, cursor: int) -> bool:
        """What the cursor stood at is gone: the first time that is a gap, and again within a minute it is too
        slow. Returns whether it goes on, at `cursor`."""
        if self._gap is None:  # one that is still owed says it all
            if trio.current_time() - self._overrun_at < OVERRUN_SECONDS:
                self.evict("overrun")
                return False
            last = log.position_before(self.cursor)
            self._gap = Missed(GapReason.OVERRUN, str(last), last)
        self._from += cursor - self.cursor
        self.cursor = cursor
        return True

    def _facts(self) -> dict[str, str]:
        return {"channel": self.channel.name, "user_id": self.owner, "connection_id": self.id}
