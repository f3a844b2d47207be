"""What every event promises: its time, its numbers, its objects."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import MISSING, BaseModel, Field, JsonValue, ValidationError, field_validator

from courier.schemas import Event, JsonObject, Registry, SchemaError
from courier.schemas.contract.shapes import shape_of
from courier.schemas.events.base import Number

NOW = "2026-01-01T00:00:00Z"


class Line(BaseModel):
    price: float


class Everything(Event):
    type: Literal["test.everything"]
    facts: JsonObject = Field(default_factory=dict)
    number: float = 0.0
    anything: Any = None
    value: JsonValue = None
    line: Line = Line(price=0.0)
    lines: tuple[Line, ...] = ()


class Priced(Event):
    type: Literal["test.priced"]
    price: Number


REGISTRY = Registry([Everything, Priced])


def parse(fields: str) -> Everything:
    event = REGISTRY.parse(b'{"type":"test.everything","source":"tests"%b}' % f",{fields}".encode())
    assert isinstance(event, Everything)
    return event


def delivered(fields: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(REGISTRY.encode(parse(fields)))
    return event


def errors(fields: str) -> list[dict[str, Any]]:
    with pytest.raises(SchemaError) as refusal:
        parse(fields)
    return refusal.value.errors


def test_an_event_without_a_timestamp_gets_the_time_of_its_arrival_in_utc() -> None:
    before = datetime.now(UTC)
    text = delivered('"facts":{}')["timestamp"]
    assert text.endswith("Z")
    assert before <= datetime.fromisoformat(text) <= datetime.now(UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.5Z",
        "2026-01-01T00:00:00.123456Z",
        "2026-01-01T00:00:00+02:00",
        "2026-01-01T00:00:00.000001-11:30",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_a_timestamp_is_delivered_as_the_same_instant(text: str) -> None:
    sent = delivered(f'"timestamp":"{text}"')["timestamp"]
    assert datetime.fromisoformat(sent) == datetime.fromisoformat(text)


def test_digits_beyond_the_microsecond_are_cut_off() -> None:
    sent = delivered('"timestamp":"2026-01-01T00:00:00.123456999Z"')["timestamp"]
    assert sent == "2026-01-01T00:00:00.123456Z"


@pytest.mark.parametrize(
    "value",
    [
        1767225600,
        1767225600.5,
        "1767225600",
        "1767225600000",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01 00:00:00Z",
        "2026-02-30T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "now",
        "",
        True,
        [],
    ],
)
def test_what_is_no_time_with_a_zone_is_no_timestamp(value: Any) -> None:
    assert [error["loc"] for error in errors(f'"timestamp":{json.dumps(value)}')] == [["timestamp"]]


def test_an_event_can_be_made_in_python_too_and_never_changed() -> None:
    time = datetime(2026, 1, 1, tzinfo=UTC)
    event = Everything(type="test.everything", source="tests", timestamp=time)
    assert json.loads(REGISTRY.encode(event))["timestamp"] == NOW
    with pytest.raises(ValidationError, match="frozen"):
        event.timestamp = time + timedelta(seconds=1)  # type: ignore[misc]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 400 + ".0"])
@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ('"facts":{"a":%s}', ["facts", "a"]),
        ('"facts":{"a":[0,{"b":[%s]}]}', ["facts", "a", 1, "b", 0]),
        ('"number":%s', ["number"]),
        ('"anything":%s', ["anything"]),
        ('"anything":[%s]', ["anything", 0]),
        ('"value":{"a":%s}', ["value", "a"]),
        ('"line":{"price":%s}', ["line", "price"]),
        ('"lines":[{"price":1},{"price":%s}]', ["lines", 1, "price"]),
    ],
)
def test_a_number_that_is_not_finite_is_refused_wherever_it_lies(fields: str, loc: Any, number: str) -> None:
    (error,) = errors(fields % number)
    assert error == {"loc": loc, "msg": "Input should be a finite number", "type": "finite_number"}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers().filter(lambda value: int(float(value)) == value)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(st.dictionaries(st.text(), JSON))
@example({"n": 2**53 + 2, "big": -(2**1023), "tiny": 5e-324, "zero": -0.0, "null": None, "deep": [[[{}]]]})
def test_an_object_is_delivered_as_it_was_sent(facts: dict[str, Any]) -> None:
    assert repr(delivered(f'"facts":{json.dumps(facts)}')["facts"]) == repr(facts)


@given(
    st.lists(st.sampled_from(["list", "dict"]), max_size=190), st.sampled_from(["NaN", "-Infinity", "1e999"])
)
def test_a_number_that_is_not_finite_is_found_at_any_depth(nesting: list[str], number: str) -> None:
    inner = number
    expected: list[str | int] = []
    for kind in nesting:
        inner = f"[0,{inner}]" if kind == "list" else f'{{"k":{inner}}}'
        expected.insert(0, 1 if kind == "list" else "k")
    (error,) = errors(f'"facts":{{"a":{inner}}}')
    assert error["loc"] == ["facts", "a", *expected]
    assert delivered(f'"facts":{{"a":{inner.replace(number, "1")}}}')["facts"]


@given(st.integers(-(2**70), 2**70) | st.integers(-(2**54), 2**54))
@example(2**53 - 1)
@example(2**53)
@example(2**53 + 1)
@example(0)
def test_a_whole_number_is_refused_exactly_when_a_double_would_round_it(value: int) -> None:
    body = f'{{"type":"test.priced","source":"tests","price":{value}}}'.encode()
    if int(float(value)) == value:
        assert json.loads(REGISTRY.encode(REGISTRY.parse(body)))["price"] == value
    else:
        with pytest.raises(SchemaError):
            REGISTRY.parse(body)


class Sometimes(Event):
    """A model of one's own, with each way in which a field may be left out."""

    type: Literal["test.sometimes"]
    note: str = ""
    size: int | MISSING = MISSING
    tags: list[str] = Field(default_factory=lambda: ["none"])
    price: Number | None = None
    rank: int | None = 7
    facts: Any = 0
    line: Line | MISSING = MISSING

    @field_validator("note")
    @classmethod
    def _never_null(cls, note: str) -> str:
        return note.upper()


class Derived(Sometimes):
    type: Literal["test.derived"]  # type: ignore[assignment]
    more: str = "x"
    within: "Derived | MISSING" = MISSING


OWN = Registry([Sometimes, Derived])


def own(**fields: Any) -> Any:
    event = {"type": "test.derived", "source": "tests", "timestamp": NOW} | fields
    return json.loads(OWN.encode(OWN.parse(json.dumps(event).encode())))


@pytest.mark.parametrize("field", ["note", "size", "tags", "line", "more", "trace_id", "within"])
def test_null_is_left_out_in_models_of_ones_own(field: str) -> None:
    assert own(**{field: None}) == own()


def test_a_field_whose_type_takes_null_keeps_it() -> None:
    assert own()["rank"] == 7
    said = own(price=None, rank=None, facts=None)
    assert (said["price"], said["rank"], said["facts"]) == (None, None, None)


def test_a_null_that_is_left_out_is_no_field_that_was_sent() -> None:
    body = b'{"type":"test.sometimes","source":"tests","note":null,"timestamp":null,"rank":null}'
    assert OWN.parse(body).model_fields_set == {"type", "source", "rank"}


def test_the_schema_takes_null_where_the_model_does_and_never_gives_it() -> None:
    properties = {
        mode: shape_of(Sometimes, mode).schema["properties"] for mode in ("validation", "serialization")
    }
    assert properties["validation"]["note"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    assert properties["serialization"]["note"]["type"] == "string"
    assert properties["serialization"]["rank"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]
