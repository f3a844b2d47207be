"""Known: what a node has seen of each channel, in a bounded table."""

from courier.backplane.known import EPOCHS_KEPT, Known
from courier.schemas.position import UNBORN, Position


def at(epoch: str, offset: int) -> Position:
    return Position(epoch * 8, offset)


def test_the_furthest_of_each_epoch_is_kept_in_whatever_order_they_are_seen() -> None:
    known = Known(10)
    for position in (at("a", 3), at("a", 5), at("b", 2), at("a", 4), at("b", 1)):
        known.note("user.u1", position)
    assert set(known.of("user.u1")) == {at("a", 5), at("b", 2)}
    assert not known.of("user.u2")


def test_the_place_before_all_events_says_nothing() -> None:
    known = Known(10)
    known.note("user.u1", at("a", 0))
    known.note("user.u1", Position(UNBORN, 1_700_000_000_000))
    assert not len(known)


def test_of_many_epochs_the_newest_are_kept() -> None:
    known = Known(10)
    for epoch in "abcdef":
        known.note("user.u1", at(epoch, 1))
    assert known.of("user.u1") == tuple(at(epoch, 1) for epoch in "abcdef"[-EPOCHS_KEPT:])


def test_beyond_the_limit_the_channel_that_was_quiet_for_the_longest_time_is_forgotten() -> None:
    known = Known(2)
    for channel, offset in (("one", 1), ("two", 1), ("one", 2), ("three", 1)):
        known.note(channel, at("a", offset))
    assert [bool(known.of(channel)) for channel in ("one", "two", "three")] == [True, False, True]
