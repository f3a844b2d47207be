"""Channel: the actor. Its steps alone touch its log and its subscribers."""

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import assert_never

import trio

from courier.actors.frames import Page, event_frame, event_of, gap_frame
from courier.actors.inbox import Inbox
from courier.actors.keys import Keys
from courier.actors.limits import Limits
from courier.actors.log import Entry, Log
from courier.actors.messages import Arrive, Deliver, Join, Leave, Message, Read, Refill, Trim
from courier.actors.statistics import ChannelStatistics, State
from courier.actors.subscriber import Subscriber
from courier.actors.wire import Clock
from courier.backplane import Appended, Outcome, Publication, Record, Stretch
from courier.logs import get_logger
from courier.metrics import Metrics
from courier.schemas.channels import ChannelName
from courier.schemas.control import GapReason
from courier.schemas.events.base import type_of
from courier.schemas.position import Position, Since

TURN_BYTES = 256 * 1024
"""What one turn may append before it is fanned out: what every subscriber's one write is joined from."""

READ_BYTES = 1024 * 1024
"""How many bytes of events are read from a log at a time, if they are more than one event."""

SHOWN_TOGETHER = 16
"""Up to so many subscribers a channel is shown by the task that shows all small channels, and sleeps on."""

OFFERS_A_TURN = 500
"""How many subscribers are written to before other tasks get their turn."""


logger = get_logger(__name__)


class Channel:
    """A channel is a log; a subscriber is a cursor.

    `run` takes turns: handle all that the inbox holds, then show what is new to everyone who is up to
    date, then drop what is too old. While it sleeps, a message that is one step is handled where it is
    sent (`at_once`). When either raises, `successor` goes on where it stopped: the log and the cursors say
    who has what.
    """

    __slots__ = (
        "_clock",
        "_doubt",
        "_kept",
        "_keys",
        "_limits",
        "_metrics",
        "_new_bytes",
        "_over_budget",
        "_show_soon",
        "_shown",
        "_traffic",
        "asked_trim",
        "failed",
        "inbox",
        "log",
        "name",
        "subscribers",
        "to_be_shown",
    )

    def __init__(
        self,
        name: ChannelName,
        inbox: Inbox,
        log: Log,
        *,
        limits: Limits,
        clock: Clock,
        metrics: Metrics,
        keys: Keys,
        over_budget: Callable[[], None],
        doubt: Callable[[], None],
        show_soon: Callable[["Channel"], None],
    ) -> None:
        self.name = name
        self.inbox = inbox
        self.log = log
        self.subscribers: dict[Subscriber, None] = {}
        self.failed: Message | None = None
        """The message in hand: after a crash, the one that could not be handled."""
        self._limits = limits
        self._clock = clock
        self._metrics = metrics
        self._traffic = metrics.traffic[name.kind]
        self._kept = limits.kept(name.kind)
        self._keys = keys
        self._over_budget = over_budget
        self._doubt = doubt
        """Asks for a `Refill`."""
        self._show_soon = show_soon
        self.to_be_shown = False
        self.asked_trim: Trim | None = None
        """A trim that waits for the end of its turn."""
        self._shown = -1
        self._new_bytes = 0
        """What was appended and not shown yet."""

    def successor(self) -> "Channel":
        """A fresh actor for the same channel, with its log, its subscribers and its inbox."""
        heir = Channel(
            self.name,
            self.inbox,
            self.log,
            limits=self._limits,
            clock=self._clock,
            metrics=self._metrics,
            keys=self._keys,
            over_budget=self._over_budget,
            doubt=self._doubt,
            show_soon=self._show_soon,
        )
        heir.subscribers = {subscriber: None for subscriber in self.subscribers if not subscriber.left}
        heir.asked_trim = self.asked_trim
        return heir

    @property
    def idle(self) -> bool:
        """There is nothing here that would be missed."""
        return not self.subscribers and not len(self.log) and self.inbox.idle

    def lags(self) -> list[int]:
        """How many events each subscriber is behind."""
        head = self.log.head
        return [head - subscriber.cursor for subscriber in self.subscribers]

    def statistics(self) -> ChannelStatistics:
        """What it is like at this moment; takes as long as it has subscribers."""
        log = self.log
        return ChannelStatistics(
            self.name,
            len(self.subscribers),
            log.position,
            len(log),
            log.bytes,
            log.oldest_ms,
            log.last_ms if len(log) else None,
            max(self.lags(), default=0),
            len(self.inbox),
        )

    async def run(self) -> None:
        """Take turns until the inbox is closed and empty."""
        while True:
            await self.fan_out()
            self.trim()
            try:
                message = await self.inbox.take(self.at_once)
            except trio.EndOfChannel:
                return
            while message is not None:
                self.failed = message
                self.apply(message)
                self.failed = None
                done = self._new_bytes >= TURN_BYTES or self.asked_trim is not None
                message = None if done else self.inbox.take_nowait()

    def at_once(self, message: Message) -> bool:
        """Handle a message while the channel sleeps, if that is one short step; see `Inbox.put`.

        What is new is shown a moment later, all that came meanwhile by one write a subscriber.
        """
        if isinstance(message, Trim) or self._new_bytes >= TURN_BYTES:
            return False
        self.failed = message
        self.apply(message)
        self.failed = None
        if self.log.head != self._shown:
            if not self.subscribers:
                self._all_shown()
            elif len(self.subscribers) > SHOWN_TOGETHER:
                self.inbox.wake()
            elif not self.to_be_shown:
                self.to_be_shown = True
                self._show_soon(self)
        return True

    def show(self) -> None:
        """Show what is new, and drop what is too old, in the place of a turn: while the channel sleeps.

        Called once for every `show_soon`. When it raises, that is the channel's crash.
        """
        self.to_be_shown = False
        if not self.inbox.asleep:
            return  # its own turn does it
        try:
            self._offer(tuple(self.subscribers), self.log.head, {})
            self._all_shown()
        except Exception as error:  # noqa: BLE001 - raised in the channel's own task
            self.inbox.crash(error)

    def _all_shown(self) -> None:
        self._shown, self._new_bytes = self.log.head, 0
        self.trim()

    def apply(self, message: Message) -> None:
        """Handle one message, in one step: nothing else happens in between."""
        match message:
            case Deliver():
                message.reply.give(self._append(message.publications))
            case Arrive(records):
                self._follow(records)
            case Refill(floor_ms, stretch, reply):
                self._refill(stretch, floor_ms)
                reply.give(None)
            case Read(since, limit, reply):
                reply.give(self.read(since, limit))
            case Join(subscriber, since, reply):
                replay = self.log.since(since)
                if not subscriber.left:
                    self.subscribers[subscriber] = None
                    subscriber.start(self.log, replay, since)
                reply.give(replay)
            case Leave(subscriber):
                self.subscribers.pop(subscriber, None)
            case Trim():
                self.asked_trim = message
            case _:
                assert_never(message)

    def _append(self, publications: Sequence[Publication]) -> list[Outcome]:
        """Give each the next position, but for those whose idempotency key is known."""
        log, channel, reached = self.log, self.name.name, len(self.subscribers)
        arrived_ms, now = max(self._clock(), log.last_ms), trio.current_time()
        epoch, offset = log.position
        outcomes: list[Outcome] = []
        frames: list[tuple[bytes, str]] = []
        for publication in publications:
            outcome = self._keys.find(channel, publication, now) if publication.key else None
            if outcome is None:
                offset += 1
                position = Position(epoch, offset)
                frames.append((event_frame(position, channel, publication.event), publication.event_type))
                outcome = Appended(position, arrived_ms, reached)
            outcomes.append(outcome)
        for frame, event_type in frames:
            self._add(frame, arrived_ms, event_type, now)
        for publication, outcome in zip(publications, outcomes, strict=True):
            if publication.key and isinstance(outcome, Appended) and not outcome.deduplicated:
                self._keys.keep(channel, publication, outcome, now)
        return outcomes

    def _add(self, frame: bytes, arrived_ms: int, event_type: str, now: float) -> None:
        self.log.append(frame, arrived_ms, event_type, now)
        self._new_bytes += len(frame)

    def _follow(self, records: Sequence[Record]) -> None:
        """Append what the shared log has appended, when it is what comes next; what was seen is dropped.

        A position further on is a hole: the rest is then read, from where this log stops. One that has
        another event here says that the shared log has lost events, and has given their places away.
        """
        log, now = self.log, trio.current_time()
        for position, arrived_ms, event in records:
            frame = event_frame(position, self.name.name, event)
            if position == log.next_position and not log.forked:
                self._add(frame, arrived_ms, type_of(event), now)
            elif position.epoch != log.epoch or position.offset > log.offset:
                self._doubt()
                return
            elif self._forked(position, arrived_ms, frame):
                return

    def _forked(self, position: Position, arrived_ms: int, frame: bytes) -> bool:
        """Whether the shared log has another event at a position that is behind this log's head."""
        same = self.log.holds(position, frame)
        if same or (same is None and arrived_ms <= self.log.last_ms):
            return False
        self.log.forked = True
        self._doubt()
        return True

    def _refill(self, stretch: Stretch, floor_ms: int) -> None:
        """Append what the shared log holds from just before where this one stopped; what it lost is a gap,
        for all. The last event that both should have tells whether they are still the same log.

        An epoch that was left, and came back with an older state of the shared log, is not taken up again.
        """
        log, start, now = self.log, stretch.start, trio.current_time()
        if log.has_left(start.epoch):
            self._doubt()
            return
        if log.unborn and stretch.gap is None:
            log.be_born(start)
        elif start.epoch != log.epoch or start.offset > log.offset:
            reason = stretch.gap or GapReason.UNKNOWN_POSITION
            frame = gap_frame(self.name.name, str(log.position), start, reason)
            log.jump(
                start, frame, stretch.records[0].arrived_ms if stretch.records else floor_ms, reason, now
            )
            self._new_bytes += len(frame)
            logger.warning(
                "Gap in the shared log", channel=self.name.name, resumed_from=str(start), reason=reason
            )
        for position, arrived_ms, event in stretch.records:
            frame = event_frame(position, self.name.name, event)
            if log.forked:
                return
            if position == log.next_position:
                self._add(frame, arrived_ms, type_of(event), now)
            else:
                self._forked(position, arrived_ms, frame)

    def read(self, since: Since | None, limit: int) -> Stretch:
        """At most `limit` events of this log, and `READ_BYTES`: those after `since`; None: the newest."""
        log = self.log
        if since is None:
            cursor, gap = max(log.first, log.head - limit), None
        else:
            cursor, gap = log.since(since)
        events = log.events(cursor, limit)
        if since is None:
            few = _few(entry for _, entry in reversed(events))
            cursor, events = cursor + len(events) - few, events[len(events) - few :]
        else:
            events = events[: _few(entry for _, entry in events)]
        records = [
            Record(position, entry.arrived_ms, event_of(entry.frame, position, self.name.name))
            for position, entry in events
        ]
        return Stretch(log.position_before(cursor), log.position, records, gap)

    async def fan_out(self) -> None:
        """Offer what is new to every subscriber that is up to date, by one write each of the same bytes.

        It may be cancelled, or raise, between any two of them: the cursors say who has what.
        """
        if self.log.head == self._shown:
            return  # a turn of joins and leaves
        self._new_bytes = 0
        head = self.log.head
        subscribers = tuple(self.subscribers)
        pages: dict[int, Page] = {}
        for start in range(0, len(subscribers), OFFERS_A_TURN):
            if start:
                await trio.lowlevel.checkpoint()
            self._offer(subscribers[start : start + OFFERS_A_TURN], head, pages)
        self._shown = head

    def _offer(self, subscribers: Sequence[Subscriber], head: int, pages: dict[int, Page]) -> None:
        """What is counted is counted once for all who took the same page: nearly all of them."""
        at, takers = head, 0
        try:
            for subscriber in subscribers:
                cursor = subscriber.cursor
                if cursor == head or subscriber.state is not State.CURRENT:
                    continue
                if cursor != at:
                    self._delivered(at, head, takers)
                    at, takers = cursor, 0
                    page = pages.get(at) or pages.setdefault(at, self.log.page(at))
                if subscriber.offer(page):
                    takers += 1
        finally:
            self._delivered(at, head, takers)

    def _delivered(self, cursor: int, head: int, subscribers: int) -> None:
        if subscribers:
            self._traffic.deliver(self.log.entries(cursor, head - cursor), subscribers, self._clock())

    def look(self) -> None:
        """Note how far behind the subscribers are."""
        behind = [lag for lag in self.lags() if lag]
        self._metrics.lagging(behind, len(self.subscribers) - len(behind))

    def trim(self) -> None:
        """Drop what the log need not keep: subscribers that are up to date have seen it."""
        asked, self.asked_trim = self.asked_trim, None
        if asked is not None:
            self.failed = asked
            self.log.trim(keep=self._kept.events, before=asked.before, free_bytes=asked.free_bytes)
            asked.reply.give(None)
            self.failed = None
        elif len(self.log) > self._kept.events:
            self.log.trim(keep=self._kept.events)
        if self.log.budget.excess_bytes:
            self._over_budget()


def _few(entries: Iterable[Entry]) -> int:
    """How many of the entries, but at least the first, are `READ_BYTES` together."""
    sizes = accumulate(len(entry.frame) for entry in entries)
    return sum(1 for place, size in enumerate(sizes) if not place or size <= READ_BYTES)
