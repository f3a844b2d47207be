"""The body of a batch is cut into its events as they came, whatever they hold, in short steps."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from courier.schemas.batch import BATCH_EVENTS, cut_batch
from courier.schemas.errors import JsonError, NotJsonError, TooManyEvents

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def cut(body: bytes) -> list[bytes]:
    events: list[bytes] = []
    for _ in cut_batch(body, events):
        pass
    return events


@settings(max_examples=50)
@given(st.lists(VALUES), st.sampled_from([None, 0, 1, "\t"]), st.booleans())
def test_what_json_writes_is_cut_where_its_values_end(
    values: list[Any], indent: Any, ascii_only: bool
) -> None:
    body = json.dumps({"events": values}, indent=indent, ensure_ascii=ascii_only).encode(errors="replace")
    assert [json.loads(event) for event in cut(body)] == json.loads(body)["events"]


@given(st.text(alphabet='{}[]",:\\ events1', max_size=40) | st.text())
def test_what_is_cut_is_json_or_else_there_is_an_error(text: str) -> None:
    body = f'{{"events":[{text}]}}'.encode(errors="replace")
    try:
        expected = json.loads(body.decode())
    except ValueError:
        try:
            events = cut(body)
        except (JsonError, TooManyEvents):
            return
        with pytest.raises(json.JSONDecodeError):
            json.loads(b",".join(events).decode().join("[]"))
    else:
        assert [json.loads(event) for event in cut(body)] == expected["events"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", NotJsonError),
        (b'{"events":[', NotJsonError),
        (b'{"events":[{]}', NotJsonError),
        (b'{"events":[1,]}', NotJsonError),
        (b'{"events":[1 2]}', NotJsonError),
        (b'{"events":[]}x', NotJsonError),
        (b'{"events":["\xff]}', NotJsonError),
        (b"[]", JsonError),
        (b"5", JsonError),
        (b'{"events":{}}', JsonError),
        (b'{"events":[],"events":[]}', JsonError),
        (b'{"events":[%b1]}' % (b"1," * BATCH_EVENTS), TooManyEvents),
    ],
)
def test_what_is_no_batch_says_what_is_wrong(body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        cut(body)
    assert type(caught.value) is error


MEBIBYTE = 1_000_000


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"events":[%b%b]}' % (b"[" * (MEBIBYTE // 2), b"]" * (MEBIBYTE // 2)), id="deep"),
        pytest.param(b'{"events":[[%b[]]]}' % (b"[]," * (MEBIBYTE // 3)), id="wide"),
        pytest.param(b'{"events":[[%b[]]}' % (b"[]," * (MEBIBYTE // 3)), id="wide, and broken at the end"),
        pytest.param(b'{"events":[[%b""]]}' % (b'"",' * (MEBIBYTE // 3)), id="texts"),
        pytest.param(b'{"events":["%b"]}' % (b'\\"' * (MEBIBYTE // 2)), id="escapes"),
        pytest.param(b'{"events":[%b]}' % (b" " * MEBIBYTE), id="space"),
    ],
)
def test_a_mebibyte_made_to_be_slow_is_cut_in_short_steps(body: bytes) -> None:
    """CPU time, as others use the machine, too; cut at once, the slowest takes 300 ms."""
    events: list[bytes] = []
    steps, longest, last = cut_batch(body, events), 0.0, time.thread_time()
    try:
        for _ in steps:
            longest, last = max(longest, time.thread_time() - last), time.thread_time()
    except JsonError:
        assert body.endswith(b",[]]}")
    assert max(longest, time.thread_time() - last) < 0.08
