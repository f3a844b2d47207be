"""What comes through a pipe, cut into events."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.terminal import publish
from courier.terminal.errors import Unreadable
from courier.terminal.publish import Line, Reader, take_batch


def read(*chunks: bytes) -> list[Line]:
    reader = Reader()
    return [line for chunk in chunks for line in reader.feed(chunk)] + reader.rest()


def an_event(**fields: Any) -> bytes:
    return json.dumps({"source": "shop"} | fields).encode()


def test_each_line_is_an_event_as_it_was_written_with_its_number() -> None:
    odd = b'{"source":"shop", "n": 1.10}'
    assert read(odd + b"\n\n" + an_event(n=2) + b"\r\n") == [
        Line(1, odd, "shop"),
        Line(3, an_event(n=2), "shop"),
    ]


def test_an_event_may_stand_on_many_lines_when_it_is_the_only_one() -> None:
    [line] = read(b"\n{\n", b'"source":\n"shop"\n}', b"\n")
    assert (line.number, json.loads(line.event), line.source) == (2, {"source": "shop"}, "shop")


def test_the_events_of_a_chunk_are_given_before_the_next_has_come() -> None:
    reader = Reader()
    assert reader.feed(an_event(n=1) + b"\n" + b'{"sou') == [Line(1, an_event(n=1), "shop")]
    assert reader.feed(b'rce":"shop"}\n') == [Line(2, b'{"source":"shop"}', "shop")]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"nope", "Event is no JSON: Expecting value"),
        (b"\xff", "Event is no JSON: "),
        (b"[1]", "Event is no JSON object"),
        (b"{}", 'Event has no "source"'),
        (b'{"source":7}', 'Event has no "source"'),
        (b'{"source":"a\\nb"}', 'Event has no "source"'),
    ],
)
def test_what_is_no_event_is_told_of_and_does_not_hide_what_follows(text: bytes, error: str) -> None:
    first, wrong, last = read(b"\n".join([an_event(), text, an_event()]))
    assert (first.error, last.error) == ("", "")
    assert (wrong.number, wrong.error[: len(error)]) == (2, error)


def test_a_line_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "LINE_BYTES", 100)
    reader = Reader()
    reader.feed(an_event() + b"\n")
    with pytest.raises(Unreadable, match="Line 2 goes on for more than 100 bytes"):
        reader.feed(b"x" * 101)


@pytest.mark.parametrize("first", [b"{}", b"nope", b"7"])
def test_a_first_line_that_is_no_event_does_not_hide_the_second(first: bytes) -> None:
    wrong, right = read(first + b"\n" + an_event())
    assert (bool(wrong.error), right.error) == (True, "")


@given(st.lists(st.sampled_from([an_event(n=1), b"", b" ", b"nope", an_event(s="é")])), st.data())
def test_it_does_not_matter_how_the_bytes_were_cut(lines: list[bytes], data: st.DataObject) -> None:
    text = b"\n".join([an_event(), *lines])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    expected = [number for number, line in enumerate(text.split(b"\n"), start=1) if line.strip()]
    assert [line.number for line in read(*pieces)] == expected
    assert read(*pieces) == read(text)


def test_a_batch_is_of_one_source_and_ends_before_what_is_no_event() -> None:
    a, b, wrong = Line(1, b"{}", "a"), Line(2, b"{}", "b"), Line(3, b"{", error="no")
    assert take_batch([a, a, b, a], 10) == [a, a]
    assert take_batch([b, wrong], 10) == [b]
    assert take_batch([a, a, a], 2) == [a, a]


def test_a_batch_stays_below_what_the_node_takes_but_one_event_always_goes() -> None:
    large = Line(1, b"x" * publish.BATCH_BYTES, "a")
    half = Line(1, b"x" * (publish.BATCH_BYTES // 2 - 200), "a")
    assert take_batch([large, large], 10) == [large]
    assert take_batch([half, half, half], 10) == [half, half]
