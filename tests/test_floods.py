"""Floods: the first lines are written, the rest is counted and told, and the table has an end."""

import logging
import math

from courier.floods import KEYS, OTHERS, WINDOW_SECONDS, Floods, Kind, LeftOut, allowance

REFUSED = Kind("courier.web.join", "Join refused", "Invalid token")
INFO, ERROR = logging.INFO, logging.ERROR
FIRST = allowance(INFO)


def written(floods: Floods, lines: int, now: float, kind: Kind = REFUSED, level: int = INFO) -> int:
    return sum(floods.admit(kind, level, now) for _ in range(lines))


def test_lines_that_are_few_are_all_written_and_nothing_is_told() -> None:
    floods = Floods()
    for minute in range(10):
        assert written(floods, FIRST, now=minute * 60) == FIRST
        assert floods.due(minute * 60 + WINDOW_SECONDS) == []


def test_of_a_hundred_thousand_lines_a_second_the_first_are_written_and_the_rest_is_told() -> None:
    floods = Floods()
    assert written(floods, 100_000, now=0) == FIRST
    assert floods.due(WINDOW_SECONDS - 0.1) == []
    assert floods.due(WINDOW_SECONDS) == [LeftOut(REFUSED, INFO, 100_000 - FIRST)]


def test_a_flood_that_goes_on_is_as_many_lines_and_one_sum_in_every_window() -> None:
    floods = Floods()
    lines, told = 0, 0
    for second in range(60):
        lines += written(floods, 1_000, now=second)
        sums = floods.due(second + 1)
        lines += len(sums)
        told += sum(each.lines for each in sums)
    windows = 60 / WINDOW_SECONDS
    assert lines == windows * (FIRST + 1)
    assert lines - windows + told == 60_000, "each line is written or told"


def test_half_an_hour_of_five_joins_a_second_has_them_all() -> None:
    floods = Floods()
    joins = 0
    for second in range(1800):
        joins += written(floods, 5, now=second)
        assert floods.due(second + 1) == []
    assert joins == 1800 * 5


def test_a_flood_that_just_stops_is_told_and_forgotten() -> None:
    floods = Floods()
    written(floods, FIRST + 7, now=0)
    assert floods.due(100) == [LeftOut(REFUSED, INFO, 7)]
    assert floods.due(100 + WINDOW_SECONDS) == []
    assert written(floods, FIRST + 1, now=200) == FIRST, "the next one begins anew"


def test_at_the_end_all_is_told_whatever_the_time() -> None:
    floods = Floods()
    written(floods, FIRST + 1, now=0)
    assert floods.due(math.inf) == [LeftOut(REFUSED, INFO, 1)]


def test_another_reason_or_message_or_logger_is_another_flood() -> None:
    floods = Floods()
    written(floods, FIRST + 1, now=0)
    for other in (
        REFUSED._replace(reason="Token expired"),
        REFUSED._replace(message="Subscriber joined"),
        REFUSED._replace(logger="courier.web.session"),
    ):
        assert written(floods, 1, now=0, kind=other) == 1


def test_of_errors_more_are_written_but_not_all() -> None:
    floods = Floods()
    most = allowance(ERROR)
    assert most > FIRST
    assert written(floods, 100_000, now=0, level=ERROR) == most
    [left_out] = floods.due(WINDOW_SECONDS)
    assert left_out == LeftOut(REFUSED, ERROR, 100_000 - most)
    assert written(floods, 100_000, now=WINDOW_SECONDS, level=ERROR) == most


def test_a_sum_has_the_highest_level_of_what_it_sums_up() -> None:
    floods = Floods()
    written(floods, FIRST, now=0)
    for level in (INFO, logging.WARNING, INFO):
        written(floods, 1, now=0, level=level)
    assert [each.level for each in floods.due(WINDOW_SECONDS)] == [logging.WARNING]


def test_kinds_beyond_the_table_are_one_kind_together() -> None:
    floods = Floods()
    minted = [REFUSED._replace(reason=str(number)) for number in range(10_000)]
    lines = sum(floods.admit(kind, INFO, 0) for kind in minted)
    assert lines == KEYS + FIRST
    assert floods.due(WINDOW_SECONDS) == [LeftOut(OTHERS, INFO, 10_000 - lines)]
    assert written(floods, 1, now=WINDOW_SECONDS, kind=minted[0]) == 1, "those that are over made room"
