"""The log as a copy that has missed something: every cursor has a position, and every position its cursor."""

from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from courier.actors import log as log_module
from courier.actors.log import SEGMENTS_KEPT, Budget, Log, Replay
from courier.backplane import Origin
from courier.schemas.control import GapReason
from courier.schemas.position import Moment, Position

ORIGIN = Origin(Position("epoch000", 5), 100)


def a_log() -> Log:
    return Log(ORIGIN, Budget(1 << 20))


def epoch(number: int) -> str:
    return f"epoch{number:03}"


class GapsAgainstAList(RuleBasedStateMachine):
    """A log with jumps does what a list of all its entries says."""

    @initialize()
    def start(self) -> None:
        self.patch = patch.object(log_module, "SEGMENTS_KEPT", 3)
        self.patch.start()
        self.log = a_log()
        self.frames: list[bytes] = []
        self.events: list[bool] = []
        self.before = [ORIGIN.position]
        """The position before each entry, and before the one that comes next."""
        self.epochs = 0

    def teardown(self) -> None:
        self.patch.stop()

    @rule(count=st.integers(1, 5))
    def append(self, count: int) -> None:
        for _ in range(count):
            frame = b"event %d" % len(self.frames)
            self.log.append(frame, 200)
            self._enter(frame, True, Position(self.before[-1].epoch, self.before[-1].offset + 1))

    @rule(ahead=st.integers(1, 4))
    def miss(self, ahead: int) -> None:
        self._jump(Position(self.before[-1].epoch, self.before[-1].offset + ahead))

    @rule(offset=st.integers(0, 3))
    def begin_anew(self, offset: int) -> None:
        self.epochs += 1
        self._jump(Position(epoch(self.epochs), offset))

    def _jump(self, to: Position) -> None:
        frame = b"gap %d" % len(self.frames)
        self.log.jump(to, frame, 200)
        self._enter(frame, False, to)

    def _enter(self, frame: bytes, event: bool, after: Position) -> None:
        self.frames.append(frame)
        self.events.append(event)
        self.before.append(after)

    @rule(keep=st.integers(0, 12))
    def trim(self, keep: int) -> None:
        self.log.trim(keep=keep)

    @rule(data=st.data(), limit=st.integers(1, 6))
    @precondition(lambda self: hasattr(self, "log"))
    def events_from(self, data: st.DataObject, limit: int) -> None:
        cursor = data.draw(st.integers(self.log.first, self.log.head))
        expected = []
        for number in range(cursor, min(len(self.frames), cursor + limit)):
            if not self.events[number]:
                break
            expected.append((self.before[number + 1], self.frames[number]))
        assert [(position, entry.frame) for position, entry in self.log.events(cursor, limit)] == expected

    @rule(below=st.integers(1, 5))
    @precondition(lambda self: hasattr(self, "log"))
    def before_its_birth(self, below: int) -> None:
        if self.log.segments[0].cursor == 0:
            expected = Position(ORIGIN.position.epoch, ORIGIN.position.offset - below)
            assert self.log.position_before(-below) == expected
            if len(self.log.segments) == 1:
                assert self.log.cursor_after(expected) == -below
                assert self.log.since(expected) == Replay(self.log.first, GapReason.EXPIRED)
            else:
                assert self.log.cursor_after(expected) is None
                assert self.log.since(expected) == Replay(self.log.first, GapReason.UNKNOWN_POSITION)

    @rule(offset=st.integers(0, 30), number=st.integers(0, 6))
    @precondition(lambda self: hasattr(self, "log"))
    def any_position(self, offset: int, number: int) -> None:
        position = Position(epoch(number), offset)
        cursor = self.log.cursor_after(position)
        known_from = min(self.log.first, self.log.segments[-1].cursor)
        if position in self.before[known_from:]:
            assert cursor == self.before.index(position)
        elif cursor is not None:
            assert cursor < self.log.first
            assert len(self.log.segments) == 1, "what stood before a gap is held, or known to nobody"

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "log"):
            return
        log = self.log
        assert log.head == len(self.frames)
        assert log.position == self.before[-1]
        for cursor in range(log.first, log.head + 1):
            position = self.before[cursor]
            assert log.position_before(cursor) == position
            assert log.cursor_after(position) == cursor
            assert log.since(position) == Replay(cursor, None)
        for cursor in range(log.first, log.head):
            after = self.before[cursor + 1]
            if self.events[cursor]:
                assert log.holds(after, self.frames[cursor]) is True
                assert log.holds(after, b"another") is False
            else:
                assert log.holds(after, self.frames[cursor]) is None
        assert len(log.segments) <= 3 + len(log)


TestGapsAgainstAList: Any = GapsAgainstAList.TestCase
TestGapsAgainstAList.settings = settings(max_examples=100, stateful_step_count=30, derandomize=True)


def test_a_gap_is_an_entry_and_no_event() -> None:
    log = a_log()
    log.append(b"6", 200)
    log.jump(Position("epoch001", 0), b"gap", 200)
    log.append(b"1", 200)
    assert log.page(0).frames == [b"6", b"gap", b"1"]
    assert log.position == Position("epoch001", 1)
    assert log.next_position == Position("epoch001", 2)
    assert log.since(ORIGIN.position) == Replay(0, None)
    assert log.since(Position(ORIGIN.position.epoch, 7)).gap is GapReason.UNKNOWN_POSITION


@pytest.mark.parametrize("offset", [7, 8])
def test_a_position_within_a_gap_is_unknown(offset: int) -> None:
    log = a_log()
    log.append(b"6", 200)
    log.jump(Position(ORIGIN.position.epoch, 9), b"gap", 200)
    assert log.cursor_after(Position(ORIGIN.position.epoch, offset)) is None
    assert log.holds(Position(ORIGIN.position.epoch, offset), b"x") is None
    assert log.cursor_after(Position(ORIGIN.position.epoch, 9)) == 2


def test_a_gap_has_a_time_and_a_moment_before_it_meets_it() -> None:
    log = a_log()
    log.append(b"6", 200)
    log.jump(Position("epoch001", 0), b"gap", 300)
    log.append(b"1", 250)
    assert log.since(Moment(299)) == Replay(1, None)
    assert log.since(Moment(300)) == Replay(3, None)


def test_a_log_that_is_forked_is_so_until_its_epoch_ends() -> None:
    log = a_log()
    log.forked = True
    log.jump(Position(ORIGIN.position.epoch, 9), b"gap", 200)
    assert log.forked
    log.jump(Position("epoch001", 0), b"gap", 200)
    assert not log.forked


def test_gaps_are_remembered_as_long_as_they_are_held_and_a_few_longer() -> None:
    log = a_log()
    for number in range(1, 100):
        log.append(b"x", 200)
        log.jump(Position(epoch(number), 0), b"gap", 200)
    assert len(log.segments) == 100
    log.trim(keep=0)
    assert len(log.segments) == SEGMENTS_KEPT
    assert log.cursor_after(log.position) == log.head
