"""The log: a ring that says what it no longer knows."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from courier.actors.log import ENTRY_OVERHEAD_BYTES, Budget, Log, Replay
from courier.backplane import Origin
from courier.schemas.control import GapReason
from courier.schemas.position import Moment, Position

EPOCH = "abcdefgh"


def a_log(offset: int = 0, floor_ms: int = 1000) -> Log:
    return Log(Origin(Position(EPOCH, offset), floor_ms), Budget(1 << 30))


def filled(count: int, *, start_ms: int = 2000) -> Log:
    log = a_log()
    for number in range(1, count + 1):
        log.append(b"frame %d" % number, start_ms + number, at=number)
    return log


def test_a_new_log_is_at_offset_zero_and_replays_nothing() -> None:
    log = a_log()
    assert log.position == Position(EPOCH, 0)
    assert log.since(None) == Replay(0, None)
    assert log.since(Position(EPOCH, 0)) == Replay(0, None)


def test_offsets_count_up_by_one_from_where_the_origin_stopped() -> None:
    log = a_log(offset=7)
    assert [log.append(b"x", 2000).offset for _ in range(3)] == [8, 9, 10]
    assert log.position == Position(EPOCH, 10)


def test_a_clock_that_goes_back_stands_still() -> None:
    log = a_log()
    assert [log.append(b"x", at).arrived_ms for at in (5000, 4000, 6000)] == [5000, 5000, 6000]


def test_arrivals_never_precede_the_floor() -> None:
    assert a_log(floor_ms=9000).append(b"x", 1).arrived_ms == 9000


def test_since_a_position_starts_just_after_it() -> None:
    log = filled(5)
    cursor, gap = log.since(Position(EPOCH, 2))
    assert gap is None
    assert log.page(cursor).frames == [b"frame 3", b"frame 4", b"frame 5"]
    assert log.position_before(cursor) == Position(EPOCH, 2)


def test_since_the_last_position_of_an_emptied_log_is_no_gap() -> None:
    log = filled(5)
    log.trim(keep=0)
    assert log.since(Position(EPOCH, 5)) == Replay(log.head, None)
    assert log.since(Position(EPOCH, 4)).gap is GapReason.EXPIRED


def test_since_a_position_just_before_the_oldest_entry_is_no_gap() -> None:
    log = filled(5)
    log.trim(keep=3)
    assert log.since(Position(EPOCH, 2)) == Replay(log.first, None)
    assert log.since(Position(EPOCH, 1)) == Replay(log.first, GapReason.EXPIRED)


def test_a_position_of_another_epoch_or_of_the_future_is_unknown() -> None:
    log = filled(3)
    assert log.since(Position("zzzzzzzz", 1)) == Replay(log.first, GapReason.UNKNOWN_POSITION)
    assert log.since(Position(EPOCH, 4)) == Replay(log.first, GapReason.UNKNOWN_POSITION)


def test_since_a_moment_gives_everything_that_arrived_later() -> None:
    log = filled(5)
    cursor, gap = log.since(Moment(2003))
    assert (log.page(cursor).frames, gap) == ([b"frame 4", b"frame 5"], None)


def test_a_moment_before_what_the_log_knows_is_a_gap() -> None:
    log = filled(5)
    assert log.since(Moment(999)) == Replay(log.first, GapReason.EXPIRED)
    assert log.since(Moment(1000)) == Replay(log.first, None)
    log.trim(keep=2)
    assert log.since(Moment(2002)) == Replay(log.first, GapReason.EXPIRED)
    assert log.since(Moment(2003)) == Replay(log.first, None)


def test_a_page_holds_at_least_one_frame_and_then_as_many_as_fit() -> None:
    log = filled(5)
    assert log.page(0, limit_bytes=1).frames == [b"frame 1"]
    assert log.page(0, limit_bytes=14).frames == [b"frame 1", b"frame 2"]
    assert log.page(3, limit_bytes=1000).data == b"frame 4frame 5"


def test_trim_drops_by_count_by_age_and_by_bytes() -> None:
    log = filled(6)
    assert log.trim(keep=5) == 1
    assert log.trim(before=4) == 2
    assert log.trim(free_bytes=1) == 1
    assert log.page(log.first).frames == [b"frame 5", b"frame 6"]


def test_the_budget_is_what_all_logs_hold() -> None:
    budget = Budget(limit_bytes=ENTRY_OVERHEAD_BYTES)
    one, two = (Log(Origin(Position(EPOCH, 0), 0), budget) for _ in range(2))
    one.append(b"12345", 0)
    two.append(b"123", 0)
    assert budget.used_bytes == one.bytes + two.bytes == 2 * ENTRY_OVERHEAD_BYTES + 8
    assert budget.excess_bytes == ENTRY_OVERHEAD_BYTES + 8
    one.trim(keep=0)
    assert (budget.used_bytes, one.bytes) == (two.bytes, 0)


def test_the_origin_of_a_log_forgets_its_entries_and_nothing_else() -> None:
    assert filled(3).origin == Origin(Position(EPOCH, 3), 2003)


class LogAgainstAList(RuleBasedStateMachine):
    """A log does what a list that is never trimmed says, or owns up to a gap."""

    cursors = Bundle("cursors")

    @initialize(offset=st.integers(0, 5), floor=st.integers(0, 50))
    def start(self, offset: int, floor: int) -> None:
        self.log = Log(Origin(Position(EPOCH, offset), floor), Budget(1 << 20))
        self.base = offset
        self.floor = floor
        self.entries: list[tuple[int, bytes]] = []
        self.dropped = 0

    @rule(target=cursors, at=st.integers(0, 100), size=st.integers(0, 20))
    def append(self, at: int, size: int) -> int:
        arrived = max([at, self.floor, *(time for time, _ in self.entries)])
        frame = b"%d:" % len(self.entries) + b"x" * size
        entry = self.log.append(frame, at, "a.type", arrived)
        self.entries.append((arrived, frame))
        assert tuple(entry) == (self.base + len(self.entries), arrived, frame, "a.type", arrived)
        return len(self.entries)

    @rule(keep=st.none() | st.integers(0, 8), before=st.integers(0, 110), free=st.integers(0, 900))
    def trim(self, keep: int | None, before: int, free: int) -> None:
        self.dropped += self.log.trim(keep=keep, before=before, free_bytes=free)
        if keep is not None:
            assert len(self.log) <= keep
        assert self.log.oldest_at >= before

    @rule(offset=st.integers(0, 40))
    def since_position(self, offset: int) -> None:
        cursor, gap = self.log.since(Position(EPOCH, offset))
        wanted = offset - self.base
        if wanted > len(self.entries):
            assert (cursor, gap) == (self.dropped, GapReason.UNKNOWN_POSITION)
        elif wanted < self.dropped:
            assert (cursor, gap) == (self.dropped, GapReason.EXPIRED)
        else:
            assert (cursor, gap) == (wanted, None)

    @rule(moment=st.integers(0, 110))
    def since_moment(self, moment: int) -> None:
        cursor, gap = self.log.since(Moment(moment))
        lost = [at for at, _ in self.entries[: self.dropped]]
        if moment < max([self.floor, *lost]):
            assert (cursor, gap) == (self.dropped, GapReason.EXPIRED)
        else:
            later = [index for index, (at, _) in enumerate(self.entries) if at > moment]
            assert (cursor, gap) == (later[0] if later else len(self.entries), None)

    @rule(cursor=cursors, limit=st.none() | st.integers(0, 100))
    def read(self, cursor: int, limit: int | None) -> None:
        if not self.dropped <= cursor < len(self.entries):
            return
        page = self.log.page(cursor, limit)
        expected = [frame for _, frame in self.entries[cursor:]]
        assert page.frames
        assert page.frames == expected[: len(page.frames)]
        assert page.data == b"".join(page.frames)
        if limit is None:
            assert page.frames == expected
        else:
            assert len(page.frames) == 1 or len(page.data) <= limit
            assert (
                len(page.frames) == len(expected) or len(page.data) + len(expected[len(page.frames)]) > limit
            )

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "log"):
            return
        assert (self.log.first, self.log.head) == (self.dropped, len(self.entries))
        assert len(self.log) == len(self.entries) - self.dropped
        assert self.log.position == Position(EPOCH, self.base + len(self.entries))
        held = sum(len(frame) + ENTRY_OVERHEAD_BYTES for _, frame in self.entries[self.dropped :])
        assert self.log.bytes == self.log.budget.used_bytes == held


TestLogAgainstAList: Any = LogAgainstAList.TestCase
TestLogAgainstAList.settings = settings(max_examples=100, stateful_step_count=60)


def test_a_long_log_gives_its_dropped_entries_back_to_the_system() -> None:
    log = a_log()
    for number in range(10_000):
        log.append(b"x", number)
        log.trim(keep=100)
    assert len(log._entries) < 500
