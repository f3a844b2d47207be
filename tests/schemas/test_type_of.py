"""The type of an event, found in its JSON without reading all of it."""

import json
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from courier.schemas.events.base import Event, type_of
from courier.schemas.registry import Registry, default_registry
from tests.schemas.examples import EXAMPLES


@pytest.mark.parametrize("event_type", EXAMPLES)
def test_what_the_registry_writes_has_the_type_that_it_read(event_type: str) -> None:
    registry = default_registry()
    sent = dict(reversed(EXAMPLES[event_type].items()))  # wherever its sender has put it
    encoded = registry.encode(registry.parse(json.dumps(sent).encode()))
    assert type_of(encoded) == event_type
    assert type_of(bytes(bytearray(encoded))) is type_of(encoded)


class Mixin(BaseModel):
    note: str


class Odd(Event, Mixin):
    """Its type is not the first field."""

    type: Literal["test.odd"]


def test_a_type_is_found_wherever_and_however_it_is_written() -> None:
    registry = Registry([Odd])
    sent = {"type": "test.odd", "source": "s", "note": '{"type":"another"}'}
    encoded = registry.encode(registry.parse(json.dumps(sent).encode()))
    assert not encoded.startswith(b'{"type":')
    assert type_of(encoded) == "test.odd"
    odd = 'a "quoted\\" näme'  # as a log may hold it that is older than the rule for types
    first = json.dumps({"type": odd, "note": "n"}, separators=(",", ":")).encode()
    later = json.dumps({"note": "n", "type": odd}).encode()
    assert type_of(first) == type_of(later) == odd
    assert type_of(first) is type_of(later)


@given(st.binary() | st.binary().map(b'{"type":"'.__add__))
def test_whatever_stands_in_a_log_has_a_type_or_none(event: bytes) -> None:
    assert isinstance(type_of(event), str)


@pytest.mark.parametrize(
    "event",
    [b"", b"[]", b"1", b'{"n":1}', b'{"type":7}', b'{"type":"' + b"x" * 5000 + b'"}', b'{"type":"cut'],
)
def test_what_has_no_type_of_a_sane_length_has_none(event: bytes) -> None:
    assert type_of(event) == ""
