"""docs/glossary.md: its example of positions is what a log does."""

import re

from courier.actors.log import Budget, Log
from courier.backplane import Origin
from courier.schemas.position import Position
from tests.test_docs import ROOT, plain, rows

GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")


def offsets(cell: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", cell)]


def test_the_example_of_positions_is_what_a_log_does() -> None:
    start = Position.parse("k3v9x0qa-0")
    log = Log(Origin(start, 0), Budget(1 << 20))
    for event, position, holds in rows("published", GLOSSARY):
        log.append(plain(event).encode(), 1)
        log.trim(keep=2)
        assert str(log.position) == plain(position)
        held = [entry.offset for entry in log.entries(log.first, len(log))]
        assert held == offsets(holds.partition(":")[0])
    for since, gap, gets, _ in rows("`since`", GLOSSARY):
        replay = log.since(Position.parse(plain(since)))
        assert (replay.gap or "no") == plain(gap)
        held = [entry.offset for entry in log.entries(replay.cursor, 9)]
        assert held == offsets(gets)
        if replay.gap:
            assert f'"resumed_from":"{log.position_before(replay.cursor)}"' in GLOSSARY


def test_each_word_that_a_newcomer_meets_has_an_entry() -> None:
    words = set(re.findall(r"^\| \*\*([a-z ]+)\*\*", GLOSSARY, re.MULTILINE))
    expected = """
        log cursor position epoch segment record publication stretch origin replica backplane feed wire page
        desk row kind grant gap slot connection subscription
    """
    assert words >= set(expected.split())
