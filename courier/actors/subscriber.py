"""Subscriber: a cursor into a channel's log, and a wire to write to."""

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

import trio

from courier.actors.errors import ChannelFailed, WireClosed, WireError, WireStalled
from courier.actors.frames import Page, event_frame, gap_frame
from courier.actors.log import Entry, Log, Replay
from courier.actors.statistics import State, SubscriberStatistics
from courier.backplane import BackplaneAway, Record, Stretch
from courier.logs import get_logger
from courier.metrics import Metrics
from courier.schemas.channels import ChannelName
from courier.schemas.closing import CloseReason
from courier.schemas.control import GapReason
from courier.schemas.events.base import type_of
from courier.schemas.position import Position, Since

PAGE_BYTES = 64 * 1024
"""What the pump of a subscriber that is behind takes from the log at a time."""

OVERRUN_SECONDS = 60.0
"""Who falls off the log's tail again so soon after it was told of it is too slow, and closed."""

GOODBYE_SECONDS = 5.0
"""How long the last word may take when nothing else says so."""

AGAIN_SECONDS = 0.5
"""After how long older events are asked for again, when the backplane could not be reached."""

Clock = Callable[[], int]
"""The wall clock, in Unix milliseconds."""
Spawn = Callable[[Callable[[], Awaitable[None]]], None]
ReadOlder = Callable[[Position], Awaitable[Stretch]]
"""Reads what follows a position and is not in the node's own log any more."""

logger = get_logger(__name__)


class Wire(Protocol):
    """The socket under a subscriber. It holds at most the rest of one frame that was cut."""

    holding: bool
    """Whether the rest of a frame waits in it to be written."""

    @property
    def held_bytes(self) -> int:
        """How long that rest is."""

    def write_nowait(self, page: Page) -> int:
        """Write what the socket takes at once; returns how many frames are now the wire's: written, or,
        for the last of them, cut and held. Raises `WireClosed`."""

    async def flush(self) -> None:
        """Wait until nothing is held and the socket takes more. Raises `WireClosed`, or `WireStalled`
        when the peer took no byte for as long as it may."""


class Missed(NamedTuple):
    """A gap that a subscriber is to be told of."""

    reason: GapReason
    requested: str


class Beginning(NamedTuple):
    """Where a subscription begins: fixed in the step that added it to its channel."""

    position: Position
    """The one just before its next event."""
    recovered: bool
    """It came back to a place, and nothing is missing since then."""
    replayed: int
    """How many events of the log it gets before those that are still to come."""


class Subscriber:
    """One subscription of one channel: made by `Hub.join`, used by one WebSocket.

    `alive` is a cancel scope for the task that serves the WebSocket: it is cancelled when the subscription
    has ended, and `reason` then says why (None: the peer has gone, and there is nobody to tell).
    """

    __slots__ = (
        "_clock",
        "_ended",
        "_finishing",
        "_from",
        "_gap",
        "_leave",
        "_live_from",
        "_log",
        "_metrics",
        "_overrun_at",
        "_pumping",
        "_read_older",
        "_spawn",
        "_traffic",
        "_wire",
        "aborted",
        "alive",
        "beginning",
        "channel",
        "cursor",
        "goodbye",
        "id",
        "left",
        "owner",
        "ready",
        "reason",
        "slot_seconds",
    )

    def __init__(
        self,
        id: str,
        channel: ChannelName,
        owner: str,
        *,
        spawn: Spawn,
        leave: Callable[["Subscriber"], None],
        read_older: ReadOlder,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self.id = id
        self.channel = channel.name
        self.owner = owner
        self.cursor = 0
        self.beginning: Beginning | None = None
        """None until the channel has added it."""
        self.ready = False
        """It takes frames at once: its wire is open, and its pump has nothing to do."""
        self.alive = trio.CancelScope()
        self.reason: CloseReason | None = None
        self.goodbye = trio.CancelScope(shield=True)
        """For the last word: its deadline is when that must have been said."""
        self.left = False
        self.aborted = False
        """Whether the goodbye could not be said."""
        self.slot_seconds = 0.0
        """After a drain: how long to wait before coming back."""
        self._from = 0
        """Where the cursor began, further on by what it was moved over."""
        self._log: Log | None = None
        self._wire: Wire | None = None
        self._gap: Missed | None = None
        self._live_from = 0
        self._overrun_at = -math.inf
        self._pumping = False
        self._ended = False
        self._finishing: CloseReason | None = None
        self._spawn = spawn
        self._leave = leave
        self._read_older = read_older
        self._metrics = metrics
        self._traffic = metrics.traffic[channel.kind]
        self._clock = clock

    # What the channel does with it

    def start(self, log: Log, replay: Replay, since: Since | None) -> None:
        """Set the cursor; a gap is told before the first event."""
        self._log = log
        self.cursor = self._from = replay.cursor
        self._live_from = log.head
        recovered = since is not None and replay.gap is None
        self.beginning = Beginning(log.position_before(self.cursor), recovered, self.lag)
        self._gap = None if replay.gap is None else Missed(replay.gap, str(since))

    def offer(self, page: Page) -> bool:
        """Write the page, which starts at the cursor, as far as the socket takes it; the pump does the rest.

        Returns whether all of it is the wire's; if so the caller counts it, with all others' who took the
        same page. Call it only when `ready`. Never waits, and never raises for what the wire does.
        """
        wire = self._wire
        assert wire is not None
        try:
            moved = wire.write_nowait(page)
        except Exception as error:  # noqa: BLE001 - whatever a wire raises ends only its own subscriber
            self.fail(error)
            return False
        if moved == len(page.frames):
            self.cursor += moved
            if wire.holding:
                self._wake()
            return True
        if self._log is not None:
            self._count(self._log.entries(self.cursor, moved))
        self.cursor += moved
        self._wake()
        return False

    # What the WebSocket does with it

    def open(self, wire: Wire) -> None:
        """Give it its wire, once the peer has been accepted: what it has missed is written now."""
        self._wire = wire
        self._wake()

    def close(self, *, aborted: bool = False) -> None:
        """Leave. Never waits; the second time nothing happens."""
        if not self.left:
            self.left = True
            self.aborted = aborted
            self._stop()
            self._leave(self)

    # What ends it

    @property
    def lag(self) -> int:
        """How many events it is behind."""
        return 0 if self._log is None else self._log.head - self.cursor

    @property
    def delivered(self) -> int:
        """How many events were written to it, the shared log's gaps among them."""
        return self.cursor - self._from

    @property
    def current(self) -> bool:
        """It has everything: the cursor is at the head and nothing is held back."""
        return self.lag == 0 and self._gap is None and self._wire is not None and not self._wire.holding

    @property
    def state(self) -> State:
        """Where it is in its life."""
        if self._ended:
            return State.CLOSING
        if self._wire is None:
            return State.JOINING
        return State.CURRENT if self.ready else State.BEHIND

    def statistics(self) -> SubscriberStatistics:
        """What it is like at this moment."""
        return SubscriberStatistics(
            self.id,
            self.owner,
            self.channel,
            self.state,
            None if self._log is None else self._log.position_before(self.cursor),
            self.lag,
            0 if self._wire is None else self._wire.held_bytes,
        )

    def finish(self, reason: CloseReason, by: float) -> None:
        """End it as soon as it has everything; the last word is to be said by the time `by`."""
        if self._ended:
            return  # its last word has its time
        self._finishing = reason
        self.goodbye.deadline = by
        self._wake()

    def end(self, reason: CloseReason | None, by: float | None = None) -> None:
        """End it now, with the last word said by the time `by`; the first reason stands."""
        if not self._ended:
            self.reason = reason
            self._stop()
            self.goodbye.deadline = trio.current_time() + GOODBYE_SECONDS
        if by is not None:
            self.goodbye.deadline = by

    def _stop(self) -> None:
        self._ended = True
        self.ready = False
        self.alive.cancel()

    # How it moves

    def _wake(self) -> None:
        """Start the pump if there is something to do for it; end what was to finish if there is not."""
        if self._ended or self._pumping or self._wire is None:
            return
        self.ready = self.current
        if not self.ready:
            self._pumping = True
            self._spawn(self._pump)
        elif self._finishing is not None:
            self.end(self._finishing, self.goodbye.deadline)

    async def _pump(self) -> None:
        """Write until the cursor is at the head. It is a task only while the subscriber is behind."""
        assert self._wire is not None
        try:
            while not self.current:
                await self._wire.flush()
                if self._ended:
                    break
                if self._log is not None and self.cursor < self._log.first:
                    await self._catch_up(self._log, self._wire)
                else:
                    self._advance(self._wire)
        except Exception as error:  # noqa: BLE001 - as in `offer`
            self.fail(error)
        finally:
            self._pumping = False
        self._wake()

    def _advance(self, wire: Wire) -> None:
        """One step of the pump, without a pause in it: the cursor moves with its own write."""
        assert self._log is not None
        if self._told(self._log, wire) and self.lag:
            page = self._log.page(self.cursor, PAGE_BYTES)
            self._write(wire, page, self._log.entries(self.cursor, len(page.frames)))

    async def _catch_up(self, log: Log, wire: Wire) -> None:
        """One step of the pump where the cursor stands at what the node's log does not hold: from another
        shelf, as far as what is there is what stood here. What is on none is a gap."""
        cursor = self.cursor
        try:
            stretch = await self._read_older(log.position_before(cursor))
        except ChannelFailed:
            return  # it goes on with a fresh actor, or has ended all its subscribers
        except BackplaneAway:
            await trio.sleep(AGAIN_SECONDS)
            return
        if self._ended:
            return
        if stretch.gap is None and not stretch.records:
            await trio.sleep(AGAIN_SECONDS)  # the two disagree: the channel will find out which is right
            return
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
        if older and self._told(log, wire):  # a gap is told when there is something to give after it
            self._write(wire, Page.of(entry.frame for entry in older), older)
        if self.cursor >= log.first:
            self._advance(wire)  # in the same step: the next event may cost the log its oldest

    def _entry(self, record: Record) -> Entry:
        position, arrived_ms, event = record
        return Entry(position.offset, arrived_ms, event_frame(position, self.channel, event), type_of(event))

    def _write(self, wire: Wire, page: Page, entries: Sequence[Entry]) -> None:
        moved = wire.write_nowait(page)
        self._count(entries[:moved])
        self.cursor += moved

    def _count(self, entries: Sequence[Entry]) -> None:
        """Count what was written of what stood at the cursor: how late it came is said of what had not
        arrived when the subscriber joined."""
        replayed = max(0, self._live_from - self.cursor)
        self._traffic.replay(entries[:replayed])
        self._traffic.deliver(entries[replayed:], 1, self._clock())

    def _told(self, log: Log, wire: Wire) -> bool:
        """Whether nothing is left to be told before the next event; says it if the wire takes it."""
        if self._gap is not None:
            reason, requested = self._gap
            frame = gap_frame(self.channel, requested, log.position_before(self.cursor), reason)
            if not wire.write_nowait(Page.of([frame])):
                return False
            self._gap = None
            if reason is GapReason.OVERRUN:
                self._overrun_at = trio.current_time()
            self._traffic.gap(reason)
            resumed_from = str(log.position_before(self.cursor))
            facts = {"requested": requested, "resumed_from": resumed_from, "reason": reason}
            logger.info("Gap told", **self._facts(), **facts)
        return True

    def _overrun(self, log: Log, cursor: int) -> bool:
        """What the cursor stood at is gone: once is told as a gap, and again within a minute is too slow.

        Returns whether it goes on, at `cursor`.
        """
        if self._gap is None:  # one that is still owed says it all
            if trio.current_time() - self._overrun_at < OVERRUN_SECONDS:
                self._evict("overrun")
                return False
            self._gap = Missed(GapReason.OVERRUN, str(log.position_before(self.cursor)))
        self._from += cursor - self.cursor
        self.cursor = cursor
        return True

    def _evict(self, why: str) -> None:
        if self._ended:
            return
        self._metrics.evicted(why)
        logger.info("Subscriber evicted", **self._facts(), reason=why, lag=self.lag)
        self.end(CloseReason.TOO_SLOW)

    def _facts(self) -> dict[str, str]:
        return {"channel": self.channel, "user_id": self.owner, "connection_id": self.id}

    def fail(self, error: Exception) -> None:
        """End it because of what its wire raised: that ends only its own subscriber."""
        match error:
            case WireStalled():
                self._evict("stalled")
            case WireClosed():
                self.end(None)
            case _:
                if not isinstance(error, WireError):
                    self._metrics.error("wire", error)
                    logger.error("Wire failed", **self._facts(), exc_info=error)
                self.end(CloseReason.CHANNEL_FAILED)
