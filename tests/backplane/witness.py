"""Witness: a shared log that remembers all that was ever in it, and judges what subscribers were shown."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from courier.backplane import Appended, Outcome, Publication
from courier.schemas.channels import ChannelName
from courier.schemas.position import UNBORN, Position, Since
from tests.actors.hubs import wall_clock
from tests.actors.many import Stream
from tests.actors.wires import FakeWire
from tests.backplane.shared_log import Memory, SharedLog


class Witness(SharedLog):
    """Notes, of every event that was ever appended, which one came before it."""

    def __init__(self, keep: int, page: int) -> None:
        super().__init__(wall_clock, keep=keep, page=page)
        self.before: defaultdict[tuple[Position, int], set[int | None]] = defaultdict(set)
        """By position and number: the numbers that stood before it; None at the start of an epoch. More than
        one where an event was lost, and published again to the same place."""
        self.epochs: dict[str, set[str]] = {}
        """By channel, those in which something was appended."""
        self.lossy = False
        """Whether it has ever lost events."""
        self.ever: defaultdict[str, list[tuple[Position, int, int]]] = defaultdict(list)
        """By channel, the position, number and arrival of all that was ever appended, in that order."""
        self.clock_set = False
        """Whether the clock was ever set: then a position of a channel without a log may be told as a gap."""
        self.lost: set[tuple[Position, int]] = set()
        self._now: dict[Position, int] = {}

    def _note(
        self, channel: ChannelName, publications: Sequence[Publication], outcomes: Sequence[Outcome]
    ) -> None:
        for publication, outcome in zip(publications, outcomes, strict=True):
            if isinstance(outcome, Appended) and not outcome.deduplicated:
                number = json.loads(publication.event)["n"]
                epoch, offset = outcome.position
                self.before[outcome.position, number].add(self._now.get(Position(epoch, offset - 1)))
                self.ever[channel.name].append((outcome.position, number, outcome.arrived_ms))
                self._now[outcome.position] = number
                self.epochs.setdefault(channel.name, set()).add(epoch)

    def head(self, channel: ChannelName) -> Position:
        return self.origin(channel).position

    def tail(self, channel: ChannelName) -> Position:
        """The position before the oldest event."""
        stream = self._streams.get(channel.name)
        return stream.tail if stream else self.origin(channel).position

    def remembered(self) -> tuple[Memory, dict[Position, int]]:
        return self.remember(), dict(self._now)

    def lose(self, remembered: tuple[Memory, dict[Position, int]] | None) -> None:
        """Go back to what was remembered; None: to nothing."""
        self.lossy = True
        if remembered is None:
            self._now = {}
            self.empty()
        else:
            memory, now = remembered
            self._now = dict(now)
            self.go_back(memory)
        for channel, events in self.ever.items():
            stream = self._streams.get(channel)
            for position, number, _ in events:
                kept = stream is not None and position.epoch == stream.position.epoch
                if not kept or stream is None or position > stream.position:
                    self.lost.add((position, number))


@dataclass
class Subscription:
    """One subscription of a peer, from its join on."""

    channel: ChannelName
    since: Since | None
    wire: FakeWire | Stream
    """What has what came."""
    start: Position
    """The position before the first event, by what the subscriber was told at the join."""
    head: Position
    """Where the shared log was when the join was answered."""
    last: Position = field(init=False)
    """The last position seen: what the peer comes back with."""
    gaps: int = 0
    _read: int = 0
    _number: int | None = None

    def __post_init__(self) -> None:
        self.last = self.since if isinstance(self.since, Position) else self.start

    def judge(self, witness: Witness) -> None:
        """Look at what has come since the last time: each event once, in order, or a gap in its place."""
        messages = self.wire.payloads
        if self.since is None and not witness.lossy and self.start.epoch == self.head.epoch != UNBORN:
            assert self.start.offset <= self.head.offset, "it misses what came after its join"
        for payload in messages[self._read :]:
            message = json.loads(payload)
            if message.get("type") == "courier.gap":
                self._judge_gap(message, witness)
            else:
                self._judge_event(message, witness)
        self._read = len(messages)

    def _judge_event(self, message: dict[str, Any], witness: Witness) -> None:
        position, number = Position.parse(message["id"]), message["n"]
        assert message["channel"] == self.channel.name
        assert (position, number) in witness.before, f"{number} was never at {position}"
        if self.last.epoch == UNBORN:
            for *event, arrived_ms in witness.ever[self.channel.name]:
                if tuple(event) == (position, number):
                    break
                assert arrived_ms <= self.last.offset or tuple(event) in witness.lost, (
                    f"{position} came after {self.last}, but {event} did first"
                )
        else:
            assert position == Position(self.last.epoch, self.last.offset + 1), (
                f"{position} came after {self.last}, and no gap was told"
            )
        if self._number is not None:
            assert self._number in witness.before[position, number], (
                f"{position} is {number}; what it follows was lost, and nobody said so"
            )
        self.last, self._number = position, number

    def _judge_gap(self, message: dict[str, Any], witness: Witness) -> None:
        resumed = Position.parse(message["resumed_from"])
        requested = Position.parse(message["requested"])
        began = self.last.epoch == UNBORN and (requested.epoch == UNBORN or not requested.offset)
        assert requested == self.last or began, f"{message} was told after {self.last}"
        if resumed.epoch == self.last.epoch == UNBORN:
            assert witness.lossy or witness.clock_set, f"{message}, and nothing was lost"
        elif resumed.epoch == self.last.epoch:
            assert resumed.offset > self.last.offset or witness.lossy, f"{message} misses nothing"
            assert resumed.offset <= witness.tail(self.channel).offset or witness.lossy, (
                f"{message}, and the events were there"
            )
        elif self.last.epoch == UNBORN:
            told = witness.lossy or witness.clock_set
            assert 0 < resumed.offset <= witness.tail(self.channel).offset or told, (
                f"{message}, and the events were there"
            )
        else:
            assert witness.lossy, f"{message}, and nothing was lost"
        self.last, self._number = resumed, None
        self.gaps += 1
