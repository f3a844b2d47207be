import re
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from courier.schemas.position import Moment, Position, new_epoch, parse_since

EPOCHS = st.from_regex(r"[a-z0-9]{8}", fullmatch=True)
OFFSETS = st.integers(0, 10**18 - 1)
UNIX_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

NO_POSITIONS = [
    "",
    "-1",
    "abcdefg-1",
    "abcdefghi-1",
    "ABCDEFGH-1",
    "abcdefgé-1",
    "abcdefgh",
    "abcdefgh-",
    "abcdefgh--1",
    "abcdefgh-+1",
    "abcdefgh-01",
    "abcdefgh-00",
    "abcdefgh-1\n",
    " abcdefgh-1",
    "abcdefgh-1_0",
    "abcdefgh-٣",
    "abcdefgh-1000000000000000000",
]

NO_TIMES = [
    "now",
    "T",
    "2026-01-01",
    "2026-01-01T00:00:00",
    "2026-01-01 00:00:00Z",
    "2026-01-01T00:00:00 Z",
    "2026-13-01T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "2026-01-01T00:00:00+24:00",
    "2026-01-01T00:00:00Z\n",
    "1767225600",
    "1767225600000",
    "\ud800-01-01T00:00:00Z",
    "٢026-01-01T00:00:00Z",
]


@given(EPOCHS, OFFSETS)
@example("00000000", 0)
@example("zzzzzzzz", 10**18 - 1)
def test_a_position_survives_being_written_and_read(epoch: str, offset: int) -> None:
    position = Position(epoch, offset)
    assert str(position) == f"{epoch}-{offset}"
    assert Position.parse(str(position)) == position
    assert parse_since(str(position)) == position


@pytest.mark.parametrize("text", NO_POSITIONS)
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a position"):
        Position.parse(text)
    with pytest.raises(ValueError, match="expected a position"):
        parse_since(text)


@given(st.text())
def test_a_text_is_the_position_that_writes_it_or_none(text: str) -> None:
    try:
        position = Position.parse(text)
    except ValueError:
        return
    assert str(position) == text


def test_a_new_epoch_is_eight_characters_and_not_the_last_one() -> None:
    epochs = {new_epoch() for _ in range(100)}
    assert len(epochs) == 100
    assert all(re.fullmatch("[a-z0-9]{8}", epoch) for epoch in epochs)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.001Z", 1),
        ("1970-01-01T00:00:00.001999Z", 1),
        ("1970-01-01T00:00:00.0019999999Z", 1),
        ("1969-12-31T23:59:59.9995Z", -1),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1970-01-01T02:00:00 02:00", 0),
        ("1970-01-01T02:00 0200", 0),
        ("1969-12-31T19:00:00-05:00", 0),
        ("0001-01-01T00:00:00+14:00", -62135647200000),
        ("9999-12-31T23:59:59.999-14:00", 253402351199999),
    ],
)
def test_a_time_is_read_down_to_the_millisecond(text: str, milliseconds: int) -> None:
    assert parse_since(text) == Moment(milliseconds, text)
    assert str(parse_since(text)) == text


@given(st.datetimes(), st.integers(-23 * 60, 23 * 60))
def test_a_time_in_any_zone_is_the_same_moment(local: datetime, minutes: int) -> None:
    time = local.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    text = time.isoformat()
    milliseconds = (time - UNIX_EPOCH) // timedelta(milliseconds=1)
    assert parse_since(text) == Moment(milliseconds, text)
    as_decoded = text.replace("+", " ")
    assert parse_since(as_decoded) == Moment(milliseconds, as_decoded)


@pytest.mark.parametrize("text", NO_TIMES)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="an ISO 8601 time with a T and a zone"):
        parse_since(text)


@given(st.text("0123456789-+:.TWZ \ud800é", max_size=40))
def test_nothing_but_a_value_error_comes_of_any_text(text: str) -> None:
    try:
        since = parse_since(text)
    except ValueError:
        return
    assert isinstance(since, Position) or "T" in text
