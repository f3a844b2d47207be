"""What would be lost on the way is refused, wherever it lies, with its place."""

import json
from typing import Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from courier.schemas import Event, JsonError, Registry, SchemaError, default_registry
from courier.schemas.batch import cut_batch
from courier.schemas.exact import is_exact, losses, tree

REGISTRY = default_registry()


def parse_batch(body: str) -> list[Any]:
    """Of each event what it says, or its error."""
    events: list[bytes] = []
    list(cut_batch(body.encode(), events))
    items: list[Any] = []
    for event in events:
        try:
            items.append(REGISTRY.parse_request(event))
        except ValueError as error:
            items.append(error)
    return items


STARTED = '"type":"backtest.started","source":"tests","backtest_id":"b","job_id":"j","user_id":"u"'
FILLED = (
    '"type":"trade.order_filled","source":"tests","strategy_id":"s","user_id":"u","order_id":"o","token":"SOL",'
    '"direction":"buy","fill_price":1,"fill_amount":1,"fees":0,"tx_signature":"x"'
)
DUPLICATE = {"msg": "Key should be in its object only once", "type": "duplicate_key"}
INEXACT = {
    "msg": "Input should be a number that a 64-bit float holds exactly; an exact one can be sent as text",
    "type": "inexact_number",
}

LOSSES: list[tuple[str, list[dict[str, Any]]]] = [
    (f'{{{STARTED},"parameters":{{"a":1,"a":2}}}}', [{"loc": ["parameters", "a"], **DUPLICATE}]),
    (f'{{{STARTED},"parameters":{{"a":1,"\\u0061":1}}}}', [{"loc": ["parameters", "a"], **DUPLICATE}]),
    (f'{{{STARTED},"parameters":{{"a":[0,{{"b":1,"b":1}}]}}}}',
     [{"loc": ["parameters", "a", 1, "b"], **DUPLICATE}]),
    (f'{{{STARTED},"source":"tests","parameters":{{}}}}', [{"loc": ["source"], **DUPLICATE}]),
    (f'{{"type":"backtest.failed",{STARTED},"parameters":{{}}}}', [{"loc": ["type"], **DUPLICATE}]),
    (f'{{{STARTED},"parameters":{{}},"parameters":{{}}}}', [{"loc": ["parameters"], **DUPLICATE}]),
    (f'{{{STARTED},"parameters":{{"order_id":9007199254740993}}}}',
     [{"loc": ["parameters", "order_id"], **INEXACT}]),
    (f'{{{STARTED},"parameters":{{"a":[1,-9007199254740993]}}}}',
     [{"loc": ["parameters", "a", 1], **INEXACT}]),
    (f'{{{STARTED},"parameters":{{"a":1{"0" * 308}}}}}', [{"loc": ["parameters", "a"], **INEXACT}]),
    (f'{{{STARTED},"parameters":{{"a":{"9" * 4000}}}}}', [{"loc": ["parameters", "a"], **INEXACT}]),
    (f'{{{FILLED},"total_value":9007199254740993}}', [{"loc": ["total_value"], **INEXACT}]),
    (
        f'{{{STARTED},"parameters":{{"a":9007199254740993,"a":{{"b":1,"b":2}}}}}}',
        [
            {"loc": ["parameters", "a"], **INEXACT},
            {"loc": ["parameters", "a"], **DUPLICATE},
            {"loc": ["parameters", "a", "b"], **DUPLICATE},
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("event", "errors"), LOSSES)
def test_what_would_be_lost_is_refused_with_its_place_alone_in_an_envelope_and_in_a_batch(
    event: str, errors: list[dict[str, Any]]
) -> None:
    with pytest.raises(SchemaError) as alone:
        REGISTRY.parse(event.encode())
    envelope = f'{{"channel":"user.u","data":{event}}}'
    with pytest.raises(SchemaError) as enveloped:
        REGISTRY.parse_request(envelope.encode())
    good = f'{{"channel":"user.u","data":{{{STARTED},"parameters":{{}}}}}}'
    first, second, third = parse_batch(f'{{"events":[{good},{envelope},{good}]}}')
    assert isinstance(second, SchemaError)
    for refusal in (alone.value, enveloped.value, second):
        assert refusal.errors == errors
        assert refusal.event_type == json.loads(event)["type"]
    for each in (first, third):
        assert isinstance(each, tuple)


@pytest.mark.parametrize(
    "facts",
    [
        '{"a":1,"b":{"a":1},"c":[{"a":1},{"a":1}]}',
        '{"a":9007199254740992,"b":-9007199254740992,"c":9007199254740994,"d":1000000000000000000}',
        '{"a":0.12345678901234566,"b":1.7976931348623157e+308,"c":5e-324}',
        '{"a":"9007199254740993","b":"x: 9007199254740993, y","c":"{\\"a\\":1,\\"a\\":2}"}',
        '{"a":null,"b":true,"c":[],"d":{},"":""}',
    ],
)
def test_what_is_kept_is_let_through_and_delivered_to_the_byte(facts: str) -> None:
    event = REGISTRY.parse(f'{{{STARTED},"parameters":{facts}}}'.encode())
    assert f'"parameters":{facts}'.encode() in REGISTRY.encode(event).replace(b"e308", b"e+308")


@pytest.mark.parametrize(
    ("sent", "delivered"),
    [("0.12345678901234567891", 0.12345678901234568), ("1e-400", 0.0), ("9007199254740993.0", 2.0**53)],
)
def test_a_decimal_becomes_the_nearest_double(sent: str, delivered: float) -> None:
    event = REGISTRY.parse(f'{{{STARTED},"parameters":{{"a":{sent}}}}}'.encode())
    assert json.loads(REGISTRY.encode(event))["parameters"] == {"a": delivered}


def test_a_model_of_ones_own_keeps_no_number_that_would_be_rounded() -> None:
    class Own(Event):
        type: Literal["test.own"]
        whole: int = 0
        number: float = 0

    registry = Registry([Own])
    for field in ("whole", "number"):
        with pytest.raises(SchemaError) as refusal:
            registry.parse(f'{{"type":"test.own","source":"tests","{field}":9007199254740993}}'.encode())
        assert refusal.value.errors == [{"loc": [field], **INEXACT}]


@pytest.mark.parametrize("key", ["channel", "data"])
def test_an_envelope_has_each_key_once(key: str) -> None:
    event = json.loads(LOSSES[0][0])
    parts = {"channel": '"user.u"', "data": json.dumps(event)}
    envelope = ",".join(f'"{name}":{parts[name]}' for name in ("channel", "data", key))
    with pytest.raises(SchemaError) as refusal:
        REGISTRY.parse_request(f"{{{envelope}}}".encode())
    [item] = parse_batch(f'{{"events":[{{{envelope}}}]}}')
    assert isinstance(item, SchemaError)
    assert refusal.value.errors == item.errors == [{"loc": [key], **DUPLICATE}]


def test_a_batch_has_its_events_once() -> None:
    with pytest.raises(JsonError, match=r'Expected \{"events"'):
        parse_batch('{"events":[],"events":[]}')


def test_an_item_that_is_wrong_in_another_way_keeps_its_error() -> None:
    duplicate = f'{{"channel":"user.u","data":{LOSSES[0][0]}}}'
    unknown = '{"channel":"nowhere","data":{"a":1,"a":2}}'
    items = parse_batch(f'{{"events":[{unknown},{duplicate}]}}')
    assert [type(item).__name__ for item in items] == ["UnknownChannelError", "SchemaError"]


def test_at_most_fifty_losses_are_told() -> None:
    facts = ",".join(['"a":1'] * 1000)
    with pytest.raises(SchemaError) as refusal:
        REGISTRY.parse(f'{{{STARTED},"parameters":{{{facts}}}}}'.encode())
    assert len(refusal.value.errors) == 50


KEYS = st.sampled_from(["a", "b", "", "é", "\\", '"'])
NUMBERS = st.integers(-(2**70), 2**70) | st.integers(2**53 - 2, 2**53 + 2) | st.integers(-(10**320), 10**320)


def written(value: Any) -> str:
    """JSON in which an object is a list of pairs, so that it may have a key twice."""
    if isinstance(value, tuple):
        return "{" + ",".join(f"{json.dumps(key)}:{written(item)}" for key, item in value) + "}"
    return "[" + ",".join(map(written, value)) + "]" if isinstance(value, list) else json.dumps(value)


def expected(value: Any, path: tuple[Any, ...] = ()) -> set[tuple[tuple[Any, ...], str]]:
    """The losses, the slow way."""
    found = set[tuple[tuple[Any, ...], str]]()
    if isinstance(value, tuple):
        keys = [key for key, _ in value]
        found |= {((*path, key), "duplicate_key") for key in keys if keys.count(key) > 1}
        for key, item in value:
            found |= expected(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found |= expected(item, (*path, index))
    elif isinstance(value, int) and (abs(value) > 2**1023 or int(float(value)) != value):
        found.add((path, "inexact_number"))
    return found


@given(
    st.recursive(
        NUMBERS | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.none(),
        lambda inner: st.lists(inner, max_size=4) | st.lists(st.tuples(KEYS, inner), max_size=4).map(tuple),
    )
)
@example((("a", 1), ("a", 1)))
def test_the_quick_look_and_the_long_one_agree_with_the_slow_way(value: Any) -> None:
    value = [value]
    body = written(value).encode()
    found = {(loss.loc, loss.type) for loss in losses(tree(body), 1000)}
    assert found == expected(value)
    assert is_exact(body) == (not found)
