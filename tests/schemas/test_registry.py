"""How a body becomes an event, and in which order it is judged."""

import json
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.schemas import (
    Event,
    JsonError,
    Registry,
    RegistryError,
    SchemaError,
    UnknownChannelError,
    default_registry,
    registry_for,
)
from tests.schemas.examples import EXAMPLES

REGISTRY = default_registry()
EVENT = EXAMPLES["prophet.tsdl_ready"]
DEEP = 5_000


def body(value: object) -> bytes:
    return json.dumps(value).encode()


def request(channel: object = "user.u1", data: object = EVENT, **more: object) -> bytes:
    return body({"channel": channel, "data": data, **more})


def with_metadata(text: str) -> bytes:
    return body(EVENT | {"metadata": {"a": "HERE"}}).replace(b'"HERE"', text.encode())


def errors_of(event: object) -> list[dict[str, Any]]:
    with pytest.raises(SchemaError) as alone:
        REGISTRY.parse(body(event))
    with pytest.raises(SchemaError) as enveloped:
        REGISTRY.parse_request(request(data=event))
    assert alone.value.errors == enveloped.value.errors
    return alone.value.errors


@pytest.mark.parametrize("event_type", EXAMPLES)
def test_an_event_in_an_envelope_is_the_event_alone(event_type: str) -> None:
    channel, event = REGISTRY.parse_request(request(data=EXAMPLES[event_type]))
    assert channel == ("user.u1", "user", "u1")
    assert event == REGISTRY.parse(body(EXAMPLES[event_type]))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "Expected a JSON object, got an empty body"),
        (b" \r\n", "Expected a JSON object, got an empty body"),
        (b"[]", "Expected a JSON object, got an array"),
        (b'"x"', "Expected a JSON object, got a string"),
        (b"true", "Expected a JSON object, got a boolean"),
        (b"12", "Expected a JSON object, got a number"),
        (b"1.5", "Expected a JSON object, got a number"),
        (b"NaN", "Expected a JSON object, got a number"),
        (b"null", "Expected a JSON object, got null"),
        (
            b"{",
            "Expected JSON (RFC 8259), got something else: EOF while parsing an object at line 1 column 1",
        ),
        (b"{'a':1}", "Expected JSON (RFC 8259), got something else: key must be a string at line 1 column 2"),
        (b'{"a":"\xff"}', "Expected JSON in UTF-8, got a byte that is not, at position 6"),
        (b"\xff", "Expected JSON in UTF-8, got a byte that is not, at position 0"),
        (b"[" * DEEP, "Expected JSON nested at most 200 levels deep, got more"),
        (b'{"a":' * DEEP, "Expected JSON nested at most 200 levels deep, got more"),
        (b"[" * DEEP + b"]" * DEEP, "Expected JSON nested at most 200 levels deep, got more"),
        (b'{"a":' * DEEP + b"1" + b"}" * DEEP, "Expected JSON nested at most 200 levels deep, got more"),
    ],
)
def test_what_is_no_json_object_is_told_what_was_expected_and_what_came(text: bytes, sentence: str) -> None:
    for parse in (REGISTRY.parse, REGISTRY.parse_request):
        with pytest.raises(JsonError) as refusal:
            parse(text)
        assert str(refusal.value) == sentence


@pytest.mark.parametrize("nested", ["[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP])
def test_an_object_field_that_is_nested_too_deeply_is_a_json_error(nested: str) -> None:
    with pytest.raises(JsonError, match="nested at most 200 levels"):
        REGISTRY.parse(with_metadata(nested))
    with pytest.raises(JsonError, match="nested at most 200 levels"):
        REGISTRY.parse_request(b'{"channel":"global","data":%b}' % with_metadata(nested))


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_all_that_the_parser_lets_through_can_be_delivered(opening: str, closing: str) -> None:
    def parses(depth: int) -> bool:
        text = with_metadata(opening * depth + "1" + closing * depth)
        try:
            event = REGISTRY.parse(text)
        except JsonError:
            return False
        assert json.loads(REGISTRY.encode(event)) == json.loads(text)
        return True

    assert [depth for depth in range(190, 210) if parses(depth)] == list(range(190, 199))


@pytest.mark.parametrize("text", [r"\ud800", r"\udc00", r"\ud800x", r"\ud800\u0041", r"a\udfff"])
@pytest.mark.parametrize("place", ['{"a":"%s"}', '{"%s":1}', '["%s"]'])
def test_half_a_surrogate_pair_is_refused(place: str, text: str) -> None:
    with pytest.raises(JsonError, match="Expected whole characters, got half a surrogate pair"):
        REGISTRY.parse(with_metadata(place.replace("%s", text)))


def test_a_whole_surrogate_pair_is_one_character() -> None:
    event = REGISTRY.parse(with_metadata(r'"\ud83d\ude00"'))
    assert json.loads(REGISTRY.encode(event))["metadata"] == {"a": "😀"}


@given(st.binary())
def test_nothing_but_a_refusal_comes_of_any_bytes(text: bytes) -> None:
    for parse in (REGISTRY.parse, REGISTRY.parse_request):
        with pytest.raises((JsonError, UnknownChannelError, SchemaError)):
            parse(text)


def test_the_errors_are_seen_from_the_event_and_never_repeat_what_was_sent() -> None:
    assert errors_of(EVENT | {"tsdl": 1, "metadata": "secret", "colour": "secret"}) == [
        {"loc": ["tsdl"], "msg": "Input should be a valid string", "type": "string_type"},
        {"loc": ["metadata"], "msg": "Input should be an object", "type": "dict_type"},
        {"loc": ["colour"], "msg": "Extra inputs are not permitted", "type": "extra_forbidden"},
    ]


@pytest.mark.parametrize("value", ["prophet.secret", "", 5, None, ["x"], {}])
def test_an_unknown_type_is_told_which_types_there_are(value: object) -> None:
    (error,) = errors_of(EVENT | {"type": value})
    assert (error["loc"], error["type"]) == (["type"], "union_tag_invalid")
    assert error["msg"] == "Input should be one of " + ", ".join(sorted(EXAMPLES))


def test_a_missing_type_is_told_which_types_there_are() -> None:
    (error,) = errors_of({})
    assert (error["loc"], error["type"]) == (["type"], "union_tag_not_found")


def test_the_list_of_types_ends_somewhere() -> None:
    class Many(Event):
        type: Literal[tuple(f"test.{n:03}" for n in range(60))]  # type: ignore[valid-type]

    registry = Registry([Many])
    assert len(registry.types) == 60
    with pytest.raises(SchemaError) as refusal:
        registry.parse(b"{}")
    assert refusal.value.errors[0]["msg"].endswith("test.049 and 10 more")


def test_many_errors_and_long_names_are_cut_short() -> None:
    errors = errors_of(EVENT | {f"{n:03}{'x' * 1000}": 1 for n in range(200)})
    assert len(errors) == 50
    assert all(len(error["loc"][0]) == 128 for error in errors)
    assert len(json.dumps(errors)) < 20_000


def test_an_error_that_a_model_raises_itself_can_be_written_as_json() -> None:
    errors = errors_of(EXAMPLES["system.maintenance"] | {"ends_at": "2020-01-01T00:00:00Z"})
    assert json.loads(json.dumps(errors)) == [
        {"loc": ["ends_at"], "msg": "Input should be after starts_at", "type": "ends_before_start"}
    ]


def test_the_refusal_does_not_drag_the_body_along() -> None:
    with pytest.raises(SchemaError) as refusal:
        REGISTRY.parse(body(EVENT | {"tsdl": 1}))
    assert refusal.value.__cause__ is None
    assert refusal.value.__context__ is None


@pytest.mark.parametrize("channel", ["topic.x", "", None, 5, ["global"]])
def test_a_wrong_channel_is_judged_before_the_event(channel: object) -> None:
    for data in (EVENT, {}, None):
        with pytest.raises(UnknownChannelError, match="expected global"):
            REGISTRY.parse_request(request(channel, data))


def test_a_missing_channel_is_an_unknown_one() -> None:
    with pytest.raises(UnknownChannelError, match="expected global"):
        REGISTRY.parse_request(body({"data": EVENT}))


def test_json_is_judged_before_the_channel() -> None:
    with pytest.raises(JsonError):
        REGISTRY.parse_request(request("topic.x")[:-1])


@pytest.mark.parametrize(
    ("text", "loc", "kind"),
    [
        (body({"channel": "global"}), ["data"], "missing"),
        (request(data=None), ["data"], "dict_type"),
        (request(data=[EVENT]), ["data"], "dict_type"),
        (request(colour="red"), ["colour"], "extra_forbidden"),
    ],
)
def test_an_envelope_has_a_channel_and_an_object_and_nothing_else(
    text: bytes, loc: object, kind: str
) -> None:
    with pytest.raises(SchemaError) as refusal:
        REGISTRY.parse_request(text)
    assert [(error["loc"], error["type"]) for error in refusal.value.errors] == [(loc, kind)]


def test_an_encoded_event_can_be_published_again_unchanged() -> None:
    for example in EXAMPLES.values():
        once = REGISTRY.encode(REGISTRY.parse(body(example)))
        assert REGISTRY.encode(REGISTRY.parse(once)) == once
        assert b"\n" not in once
        assert once.startswith(b'{"')


def test_a_registry_without_events_is_refused() -> None:
    with pytest.raises(RegistryError, match="at least one event"):
        Registry([])


def test_the_default_registry_is_made_once() -> None:
    assert default_registry() is REGISTRY
    assert registry_for(["courier.lumiere"]) is REGISTRY
    assert registry_for([]) is not REGISTRY
