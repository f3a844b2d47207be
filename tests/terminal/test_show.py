"""An event as a person sees it."""

import pytest

from courier.schemas.registry import default_registry
from courier.terminal.show import event_line, gap_sentence
from tests.schemas.examples import EXAMPLES


@pytest.mark.parametrize("event_type", sorted(default_registry().types))
def test_every_type_has_a_line(event_type: str) -> None:
    event = EXAMPLES[event_type] | {"id": "k3v9x0qa-42", "timestamp": "2026-01-31T12:00:00.123456Z"}
    line = event_line(event).plain
    assert "\n" not in line
    assert line.startswith(f"12:00:00.123 k3v9x0qa-42    {event['source']}")
    assert event_type in line


def test_nothing_in_an_event_reaches_the_terminal_as_a_command() -> None:
    nasty = "a\x1b[2Jb\r\nc\u202e"
    event = {"type": nasty, "source": nasty, "id": nasty, "timestamp": nasty, "text": nasty, "n": ["\x07"]}
    line = event_line(event).plain
    assert line.isprintable()
    assert r"text=a\x1b[2Jb\r\nc\u202e" in line
    assert gap_sentence(
        dict.fromkeys(("channel", "requested", "reason", "resumed_from"), nasty)
    ).isprintable()


def test_a_gap_says_what_is_missing_and_where_it_goes_on() -> None:
    gap = {"channel": "global", "requested": "k-1", "resumed_from": "k-9", "reason": "expired"}
    assert gap_sentence(gap) == (
        "Gap in global: some events after k-1 are missing (expired); going on after k-9"
    )
