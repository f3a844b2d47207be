"""Connection: one subscription of a peer in the simulation, and what it must have received."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import trio

from courier.actors.frames import payload_of
from courier.actors.subscriber import Beginning, Home, Subscriber
from courier.backplane import Stretch
from courier.schemas.channels import ChannelName
from courier.schemas.closing import CloseReason
from courier.schemas.position import Moment, Position, Since
from tests.actors.hubs import START_MS
from tests.actors.ledger import Ledger
from tests.actors.many import Stream
from tests.actors.plan import CHANNELS
from tests.actors.wires import FakeWire

if TYPE_CHECKING:
    from tests.actors.crowd import Crowd


class Watching:
    """A subscriber's home, which notes from where on a subscription was given older events."""

    def __init__(self, home: Home, connection: "Connection") -> None:
        self.metrics, self.clock, self.spawn, self.leave = home.metrics, home.clock, home.spawn, home.leave
        self._home = home
        self._connection = connection

    async def read_older(self, channel: ChannelName, position: Position) -> Stretch:
        stretch = await self._home.read_older(channel, position)
        self._connection.shelf = stretch.start
        return stretch


class Socket(FakeWire):
    """A wire that has each gap judged at the moment at which it goes out."""

    def __init__(self, room: float, judge: Callable[[dict[str, str]], None]) -> None:
        super().__init__(room)
        self.judge = judge
        self.busy = 0

    def write(self, data: bytes) -> int:
        if self.busy:
            self.busy -= 1
            self.await_room()
            return 0
        sent = super().write(data)
        if sent and b'"courier.gap"' in data:  # it goes out alone
            self.judge(json.loads(payload_of(data)))
        return sent


@dataclass
class Connection:
    """One subscription of a peer, from the question to the end."""

    peer: int
    channel: int
    since: Since | None
    socket: Socket
    asked_ms: int
    """When the join was asked, by the wall clock."""
    asked_at: Position | None
    """Where the log was then; None when no log was there."""
    given_up_before: int
    """How often the channel had been given up by then."""
    shelf: Position | None = None
    """After what the events begin that were read for it last, since its log did not hold all any more."""
    subscriber: Subscriber | None = None
    beginning: Beginning | None = None
    joined_at: Position | None = None
    """Where the log was when the join was answered."""
    given_up: int = 0
    """How often the channel had been given up by then."""
    error: Exception | None = None
    opened: bool = False
    steady: bool = False
    """It had everything once, and ever since its socket took everything."""
    gone: bool = False
    """The peer has left, or its socket was closed."""
    overruns: list[float] = field(default_factory=list)
    given_next: bool = False
    """With the last gap its socket took everything, and there was something: an event must have followed."""
    aborted: bool = False
    ended_at: float | None = None
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    judged: bool = False
    crowd: "Crowd | None" = None
    """Its socket is that of a connection for many channels."""
    stream: Stream = field(default_factory=lambda: Stream(0, "", None))
    """What came of it there."""
    begins_by: float = -math.inf
    """How long it may have to wait for its turn there."""

    @property
    def name(self) -> str:
        return CHANNELS[self.channel].name

    @property
    def there(self) -> bool:
        return self.ended_at is None

    @property
    def last(self) -> Position | None:
        """What the peer would come back with."""
        last = self.since if isinstance(self.since, Position) else None
        for message in self.messages:
            if message.get("type") != "close":
                last = Position.parse(message.get("resumed_from") or message["id"])
        return last

    @property
    def messages(self) -> list[dict[str, Any]]:
        payloads = self.socket.payloads if self.crowd is None else self.stream.payloads
        return [json.loads(payload) for payload in payloads]

    @property
    def reason(self) -> CloseReason | None:
        """Why it ended, or its socket."""
        reason = None if self.subscriber is None else self.subscriber.reason
        return reason or (None if self.crowd is None else self.crowd.connection.reason)


def judge_stream(connection: Connection, ledger: Ledger) -> None:
    """What a connection received: each event once, in order, or a gap that says which it has not got."""
    since = connection.since
    place = since if isinstance(since, Position) else None
    for index, message in enumerate(connection.messages):
        kind = message.get("type")
        if kind == "close":
            assert index == len(connection.messages) - 1, "something came after the close"
        elif kind == "courier.gap":
            resumed = Position.parse(message["resumed_from"])
            if message["reason"] == "overrun":
                requested = Position.parse(message["requested"])
                if place is None:
                    judge_start(connection, ledger, requested)
                else:
                    assert requested == place, f"the gap begins at {requested}, and {place} was the last"
                assert requested.epoch == resumed.epoch
                assert requested.offset < resumed.offset, "a gap that misses nothing"
            else:
                assert index == 0, "only at the start can it be unknown what there was"
                judge_refusal(connection, ledger, resumed, message)
            place = resumed
        else:
            at = Position.parse(message["id"])
            assert message["channel"] == connection.name
            ledger.shown(connection.channel, at, message["n"])
            before = Position(at.epoch, at.offset - 1)
            if place is None:
                judge_start(connection, ledger, before)
            else:
                assert before == place, f"{at} came after {place}, and no gap was told"
            place = at


def judge_start(connection: Connection, ledger: Ledger, start: Position) -> None:
    """A connection that named no position starts just after `start`: is that right?"""
    asked, joined = connection.asked_at, connection.joined_at
    low = asked.offset if asked is not None and asked.epoch == start.epoch else 0
    assert joined is None or joined.epoch == start.epoch
    assert joined is None or start.offset <= joined.offset, "it missed what came after its join"
    if connection.since is None:
        assert start.offset >= low, "it was given what came before its join"
        return
    assert isinstance(connection.since, Moment)
    moment = connection.since.milliseconds
    epochs = ledger.heads[connection.channel]
    for place, arrived in ledger.arrivals.items():
        if place.epoch in epochs and place.epoch != start.epoch and arrived < connection.asked_ms:
            assert arrived <= moment, "it missed what came after the moment, in an epoch that is forgotten"
        if place.epoch == start.epoch and place.offset <= start.offset:
            assert arrived <= moment, "it missed what came after the moment"
        if place.epoch == start.epoch and start.offset < place.offset <= low:
            assert arrived > moment, "it was given what came before the moment"


def judge_refusal(connection: Connection, ledger: Ledger, resumed: Position, gap: dict[str, Any]) -> None:
    """A gap told at a join: was what the peer asked for really not to be had?"""
    since, reason = connection.since, gap["reason"]
    assert since is not None, "nothing was asked, and nothing can be missing"
    if isinstance(since, Position):
        assert gap["requested"] == str(since)
        if reason == "expired":
            assert since.epoch == resumed.epoch
            assert since.offset < resumed.offset, "a gap that misses nothing"
        else:
            assert reason == "unknown_position"
            asked = connection.asked_at
            low = asked.offset if asked is not None and asked.epoch == since.epoch else 0
            assert since.epoch != resumed.epoch or since.offset > low, "a position that the log knew"
    else:
        assert reason == "expired"
        arrived = ledger.arrivals.get(resumed)
        if resumed.offset == 0:
            forgotten = any(at > since.milliseconds for at in ledger.arrivals.values())
            assert since.milliseconds < START_MS or forgotten, "a gap that misses nothing"
        else:
            assert arrived is None or arrived > since.milliseconds, "a gap that misses nothing"


def judge_beginning(connection: Connection, beginning: Beginning) -> None:
    """What a connection was told of its beginning agrees with what it then received."""
    position, recovered, replayed = beginning
    joined = connection.joined_at
    if joined is not None and joined.epoch == position.epoch:
        assert position.offset + replayed <= joined.offset, "it was promised more than there was"
    assert not recovered or connection.since is not None, "it came back, and had not been there"
    first = next((one for one in connection.messages if one.get("type") != "close"), None)
    if first is None:
        return
    refused = "n" not in first and first["reason"] != "overrun"
    assert recovered == (connection.since is not None and not refused), "it was told otherwise"
    if refused:  # the log may have dropped more before the wire was opened
        resumed = Position.parse(first["resumed_from"])
        assert position.epoch == resumed.epoch
        assert position.offset <= resumed.offset
    elif "n" in first:
        at = Position.parse(first["id"])
        assert position == Position(at.epoch, at.offset - 1), "its next event was another one"
    else:
        assert position == Position.parse(first["requested"]), "what it misses begins elsewhere"
