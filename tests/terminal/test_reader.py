"""What comes through a pipe, cut into events."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.terminal import lines as reading
from courier.terminal import publish
from courier.terminal.lines import Line, Reader
from courier.terminal.publish import take_batch


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


def nested(levels: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    return b'{"source":"shop","deep":%b1%b}' % (opening * (levels - 1), closing * (levels - 1))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"nope", "Event is no JSON: expected ident"),
        (b"\xff", "Event is no JSON: expected UTF-8, and byte 1 is not"),
        (b'{"source":"shop","text":"\xff"}', "Event is no JSON: expected UTF-8, and byte 26 is not"),
        (b'{"source":"shop","text":"\\ud800"}', "Event is no JSON: unexpected end of hex escape"),
        (b'{"source":"shop","n":NaN}', "Event is no JSON: expected value"),
        ('{"source":"shop"}'.encode("utf-16-le"), "Event is no JSON: expected UTF-8, and this looks like"),
        (b"\xef\xbb\xbf" + an_event(), "Event is no JSON: expected value"),
        (an_event(n=1) + an_event(n=2), "Event is no JSON: trailing characters"),
        (an_event()[:-1], "Event is no JSON: EOF while parsing an object"),
        (an_event()[:-2], "Event is no JSON: EOF while parsing a string"),
        (nested(250), "Event is no JSON: it is nested too deeply"),
        (nested(5_000, b'{"a":', b"}"), "Event is no JSON: it is nested too deeply"),
        (b"[1]", "Event is no JSON object"),
        (b"{}", 'Event has no "source"'),
        (b'{"source":7}', 'Event has no "source"'),
        (b'{"source":""}', 'Event has no "source"'),
        (b'{"source":"A Shop"}', 'Event has no "source"'),
        (b'{"source":"a\\nb"}', 'Event has no "source"'),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_line_that_is_no_event_is_named_and_does_not_hide_those_around_it(
    text: bytes, error: str, place: int
) -> None:
    texts = [an_event()] * 2
    texts.insert(place, text)
    if place == 0 and text.startswith(b"\xef"):
        assert read(b"\n".join(texts)) == read(b"\n".join([an_event()] * 3)), "a mark before the first line"
        return
    lines = read(b"\n".join(texts))
    wrong = lines.pop(place)
    assert [line.error for line in lines] == ["", ""]
    assert (wrong.number, wrong.error[: len(error)]) == (place + 1, error)


def test_a_first_line_that_was_torn_keeps_later_ones_waiting_no_longer_than_the_next() -> None:
    reader = Reader()
    assert reader.feed(b'{"source":"shop",\n') == []
    wrong, right = reader.feed(an_event() + b"\n")
    assert (wrong.number, bool(wrong.error), right) == (1, True, Line(2, an_event(), "shop"))
    assert reader.feed(an_event() + b"\n") == [Line(3, an_event(), "shop")]


def test_an_event_on_many_lines_may_hold_a_whole_object_on_one() -> None:
    text = b'{\n"source": "shop",\n"all": [\n{"n": 1},\n{"n": 2}\n]\n}\n'
    assert read(text) == [Line(1, text.strip(), "shop")]


def test_an_event_on_many_lines_that_is_no_json_is_told_once() -> None:
    [line] = read(b'{\n"source": "shop",\n"n": nope\n}\n')
    assert (line.number, line.error[:16]) == (1, "Event is no JSON")


@pytest.mark.parametrize("cut", [50, 99, 500])
def test_a_line_that_is_too_long_is_refused_alone(monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
    monkeypatch.setattr(reading, "LINE_BYTES", 100)
    text = an_event(n=1) + b"\n" + b"x" * 350 + b"\n" + an_event(n=3) + b"\n" + b"x" * 350
    lines = read(*(text[at : at + cut] for at in range(0, len(text), cut)))
    assert [line.number for line in lines] == [1, 2, 3, 4]
    assert [bool(line.error) for line in lines] == [False, True, False, True]
    if cut < 350:
        assert lines[1].error == "Line is longer than 100 bytes"


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
