"""The contract's table of events, row by row."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from courier.schemas import SchemaError, default_registry
from tests.schemas.examples import EXAMPLES

REGISTRY = default_registry()

STAYS_OUT = {"trace_id", "signal_id", "limit_price"}
DEFAULTS_TO_EMPTY = {
    ("prophet.error", "details"),
    ("backtest.failed", "details"),
    ("forge.job_failed", "details"),
    ("strategy.paused", "reason"),
    ("strategy.resumed", "reason"),
    ("strategy.stopped", "reason"),
    ("system.service_status", "message"),
}


def stays_out(event_type: str, field: str) -> bool:
    return field in STAYS_OUT and (event_type, field) != ("trade.signal_generated", "signal_id")


FIELDS = [(event_type, field) for event_type, example in EXAMPLES.items() for field in example]
OPTIONAL = [pair for pair in FIELDS if stays_out(*pair)]
REQUIRED = [
    pair
    for pair in FIELDS
    if pair not in DEFAULTS_TO_EMPTY and pair not in OPTIONAL and pair[1] != "timestamp"
]

NOT_IDS = ["", "x" * 129, 1]
NOT_FRACTIONS = [-0.01, 1.01, "0.5", True]
NOT_POSITIVE = [0, -1, -0.5, "1", True]
NOT_NUMBERS = ["1", True, 2**53 + 1, 10**400]
NOT_OBJECTS = [[], "{}", 1]
NOT_TEXTS: list[Any] = [1, True, {}]

WRONG: dict[tuple[str, str], list[Any]] = {
    ("prophet.message_chunk", "conversation_id"): NOT_IDS,
    ("prophet.message_chunk", "chunk"): NOT_TEXTS,
    ("prophet.message_chunk", "is_final"): [0, 1, "true", None],
    ("prophet.message_chunk", "trace_id"): NOT_IDS,
    ("prophet.message_chunk", "source"): ["", "Prophet", "-x", "a b", "x" * 65, "x\n", "é", None, 1],
    ("prophet.tsdl_ready", "metadata"): NOT_OBJECTS,
    ("prophet.error", "details"): NOT_TEXTS,
    ("backtest.started", "backtest_id"): NOT_IDS,
    ("backtest.started", "job_id"): NOT_IDS,
    ("backtest.started", "user_id"): NOT_IDS,
    ("backtest.started", "parameters"): NOT_OBJECTS,
    ("backtest.progress", "progress"): NOT_FRACTIONS,
    ("backtest.completed", "duration_seconds"): [-1, 1.5, "1", True, None],
    ("backtest.completed", "summary"): NOT_OBJECTS,
    ("backtest.cancelled", "progress_at_cancellation"): NOT_FRACTIONS,
    ("strategy.deployed", "strategy_id"): NOT_IDS,
    ("strategy.deployed", "initial_capital"): [-0.01, "1", True],
    ("strategy.deployed", "status"): ["paused", None],
    ("strategy.paused", "reason"): NOT_TEXTS,
    ("trade.signal_generated", "signal_id"): NOT_IDS,
    ("trade.signal_generated", "direction"): ["hold", "BUY", None],
    ("trade.signal_generated", "confidence"): NOT_FRACTIONS,
    ("trade.signal_generated", "price_at_signal"): NOT_NUMBERS,
    ("trade.order_placed", "signal_id"): NOT_IDS,
    ("trade.order_placed", "order_type"): ["stop", None],
    ("trade.order_placed", "amount"): NOT_POSITIVE,
    ("trade.order_placed", "limit_price"): NOT_NUMBERS,
    ("trade.order_filled", "order_id"): NOT_IDS,
    ("trade.order_filled", "fees"): NOT_NUMBERS,
    ("position.opened", "position_id"): NOT_IDS,
    ("position.opened", "size"): NOT_NUMBERS,
    ("position.closed", "size"): NOT_NUMBERS,
    ("position.closed", "reason"): ["liquidated", None],
    ("forge.job_progress", "progress"): NOT_FRACTIONS,
    ("forge.job_completed", "duration_seconds"): [-1, 1.5, "1", True, None],
    ("system.announcement", "severity"): ["panic", None],
    ("system.maintenance", "ends_at"): ["2026-03-02T00:00:00Z", "2026-03-02T00:30:00+01:00", None],
    ("system.service_status", "status"): ["fine", None],
}
WRONG_CASES = [(*pair, value) for pair, values in WRONG.items() for value in values]


def body(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode()


def delivered(event: dict[str, Any]) -> Any:
    return json.loads(REGISTRY.encode(REGISTRY.parse(body(event))))


def without(event_type: str, field: str) -> dict[str, Any]:
    return {name: value for name, value in EXAMPLES[event_type].items() if name != field}


def refused_at(event: dict[str, Any]) -> list[list[int | str]]:
    with pytest.raises(SchemaError) as refusal:
        REGISTRY.parse(body(event))
    return [error["loc"] for error in refusal.value.errors]


def test_there_is_an_example_of_every_type_and_no_other() -> None:
    assert EXAMPLES.keys() == REGISTRY.types


@pytest.mark.parametrize("event_type", EXAMPLES)
def test_an_event_is_delivered_as_it_was_sent(event_type: str) -> None:
    assert delivered(EXAMPLES[event_type]) == EXAMPLES[event_type]


@pytest.mark.parametrize("event_type", EXAMPLES)
def test_the_example_bears_every_field_of_its_model(event_type: str) -> None:
    assert EXAMPLES[event_type].keys() == REGISTRY.models[event_type].model_fields.keys()


@pytest.mark.parametrize(("event_type", "field"), REQUIRED)
def test_an_event_without_a_required_field_is_refused(event_type: str, field: str) -> None:
    assert refused_at(without(event_type, field)) == [[field]]


@pytest.mark.parametrize(("event_type", "field"), OPTIONAL)
def test_a_field_that_was_left_out_stays_out(event_type: str, field: str) -> None:
    assert delivered(without(event_type, field)) == without(event_type, field)


@pytest.mark.parametrize(("event_type", "field"), sorted(DEFAULTS_TO_EMPTY))
def test_a_text_that_was_left_out_is_delivered_empty(event_type: str, field: str) -> None:
    assert delivered(without(event_type, field)) == EXAMPLES[event_type] | {field: ""}


@pytest.mark.parametrize(("event_type", "field"), REQUIRED)
def test_null_is_no_value_of_a_required_field(event_type: str, field: str) -> None:
    assert refused_at(EXAMPLES[event_type] | {field: None}) == [[field]]


@pytest.mark.parametrize(("event_type", "field"), [*OPTIONAL, *sorted(DEFAULTS_TO_EMPTY)])
def test_null_means_left_out_where_a_field_may_be_left_out(event_type: str, field: str) -> None:
    assert delivered(EXAMPLES[event_type] | {field: None}) == delivered(without(event_type, field))


@pytest.mark.parametrize("event_type", EXAMPLES)
def test_a_timestamp_of_null_is_the_time_of_arrival(event_type: str) -> None:
    before = datetime.now(UTC)
    sent = delivered(EXAMPLES[event_type] | {"timestamp": None})["timestamp"]
    assert before <= datetime.fromisoformat(sent) <= datetime.now(UTC)


@pytest.mark.parametrize("event_type", EXAMPLES)
def test_an_unknown_field_is_refused(event_type: str) -> None:
    assert refused_at(EXAMPLES[event_type] | {"colour": "red"}) == [["colour"]]


@pytest.mark.parametrize(("event_type", "field", "value"), WRONG_CASES)
def test_a_value_outside_of_the_contract_is_refused(event_type: str, field: str, value: Any) -> None:
    assert refused_at(EXAMPLES[event_type] | {field: value}) == [[field]]


@pytest.mark.parametrize(
    ("event_type", "field", "value"),
    [
        ("prophet.message_chunk", "conversation_id", "x" * 128),
        ("prophet.message_chunk", "source", "x" * 64),
        ("prophet.message_chunk", "source", "0"),
        ("prophet.message_chunk", "chunk", ""),
        ("backtest.progress", "progress", 0),
        ("backtest.progress", "progress", 1),
        ("backtest.completed", "duration_seconds", 0),
        ("backtest.completed", "duration_seconds", 10**15),
        ("position.opened", "size", 5e-324),
        ("position.opened", "size", -1.5),
        ("position.closed", "size", 0),
        ("trade.order_filled", "fees", -0.25),
        ("strategy.deployed", "initial_capital", 0),
        ("position.opened", "entry_price", 10**18),
    ],
)
def test_a_value_at_the_edge_is_delivered_unchanged(event_type: str, field: str, value: Any) -> None:
    assert delivered(EXAMPLES[event_type] | {field: value})[field] == value


def test_a_maintenance_with_an_unreadable_start_is_refused_for_its_start_alone() -> None:
    assert refused_at(EXAMPLES["system.maintenance"] | {"starts_at": "soon"}) == [["starts_at"]]
