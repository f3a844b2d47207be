"""The contract as one JSON Schema."""

import json
from typing import Any

import jsonschema_rs
import pytest

from courier.schemas import Registry, SchemaError
from courier.schemas.contract import json_schema, type_schemas
from courier.schemas.contract.bundle import DELIVERED, PUBLISHED, members, pascal
from courier.schemas.contract.shapes import Schema, references
from tests.schemas.examples import EXAMPLES

POSITION = {"id": "k3v9x0qa-42", "channel": "user.alice"}

ORDER: dict[str, Any] = {
    "type": "acme.order_shipped",
    "source": "acme",
    "order_number": "123e4567-e89b-42d3-a456-426614174000",
    "to": {"street": "Main", "next_of_kin": {"street": "Side", "country": "FR", "next_of_kin": None}},
    "colour": "red",
    "sizes": [1, 2],
    "by": {"kind": "card", "last_four": "1234"},
    "weight": 1.5,
    "notes": None,
    "tags": ["a"],
    "prices": {"chf": "1.50"},
    "place": [1.0, 2.0],
    "code": "x",
    "day": "2026-01-31",
    "progress": {"done": True},
    "any_json": [1, {"a": None}],
    "odd-name": 7,
    "matrix": [[1, None]],
}


def validator(bundle: Schema, name: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator({**bundle, "$ref": f"#/$defs/{name}"}, validate_formats=True)


def delivered(registry: Registry, event: dict[str, Any]) -> dict[str, Any]:
    said = json.loads(registry.encode(registry.parse(json.dumps(event).encode())))
    return {**POSITION, **said}


@pytest.mark.parametrize("which", ["bundle", "acme_bundle"])
def test_it_is_a_valid_schema_in_which_every_reference_leads_somewhere(
    which: str, request: pytest.FixtureRequest
) -> None:
    found: Schema = request.getfixturevalue(which)
    jsonschema_rs.meta.validate(found)
    assert set(references(found)) <= found["$defs"].keys()
    assert all(schema for schema in found["$defs"].values()), "each name stands for something"


def test_every_event_has_an_example_that_is_valid_and_is_taken(bundle: Schema, registry: Registry) -> None:
    for name in members(bundle, PUBLISHED):
        [example] = bundle["$defs"][name]["examples"]
        validator(bundle, PUBLISHED).validate(example)
        assert registry.parse(json.dumps(example).encode()).type == example["type"]
    for name in members(bundle, DELIVERED):
        [example] = bundle["$defs"][name]["examples"]
        validator(bundle, DELIVERED).validate(example)


@pytest.mark.parametrize("event_type", sorted(EXAMPLES))
def test_what_is_published_and_what_is_delivered_are_as_it_says(
    event_type: str, bundle: Schema, registry: Registry
) -> None:
    event = EXAMPLES[event_type]
    validator(bundle, pascal(event_type)).validate(event)
    validator(bundle, f"Delivered{pascal(event_type)}").validate(delivered(registry, event))


@pytest.mark.parametrize("event_type", sorted(EXAMPLES))
def test_without_a_required_field_or_with_an_unknown_one_both_refuse(
    event_type: str, bundle: Schema, registry: Registry
) -> None:
    schema, event = bundle["$defs"][pascal(event_type)], EXAMPLES[event_type]
    judge = validator(bundle, PUBLISHED)
    for name in schema["properties"]:
        rest = {key: value for key, value in event.items() if key != name}
        needed = name in schema["required"]
        assert judge.is_valid(rest) is not needed
        if needed:
            with pytest.raises(SchemaError):
                registry.parse(json.dumps(rest).encode())
        else:
            assert registry.parse(json.dumps(rest).encode())
    assert not judge.is_valid({**event, "unknown": 1})


def test_every_field_that_no_name_explains_is_described(bundle: Schema) -> None:
    for name in members(bundle, PUBLISHED):
        schema = bundle["$defs"][name]
        assert schema["description"]
        silent = {key for key, field in schema["properties"].items() if "description" not in field}
        assert silent <= {"type", "status"}, name


def test_a_subscriber_is_left_room_for_fields_that_come_later(bundle: Schema) -> None:
    for name in members(bundle, DELIVERED):
        assert "additionalProperties" not in bundle["$defs"][name]


def test_it_is_the_same_text_each_time(registry: Registry, bundle: Schema) -> None:
    assert json.dumps(json_schema(Registry(registry.models.values(), registry.kinds))) == json.dumps(bundle)


def test_each_type_has_a_schema_that_stands_alone(bundle: Schema, acme_bundle: Schema) -> None:
    for found in (bundle, acme_bundle):
        for event_type, schema in type_schemas(found).items():
            jsonschema_rs.meta.validate(schema)
            assert schema["properties"]["type"]["const"] == event_type
            assert set(references(schema)) <= schema["$defs"].keys()
    alone = type_schemas(bundle)
    assert {"courier.gap", "courier.refresh", "backtest.progress"} <= alone.keys()
    assert jsonschema_rs.Draft202012Validator(alone["backtest.failed"]).is_valid(EXAMPLES["backtest.failed"])


# A user's own models


def test_a_users_event_is_described_as_it_is_taken_and_as_it_is_given(
    acme: Registry, acme_bundle: Schema
) -> None:
    validator(acme_bundle, PUBLISHED).validate(ORDER)
    given = delivered(acme, ORDER)
    assert given["odd_name"] == 7, "what is given bears the field's own name"
    assert given["total"] == 2
    validator(acme_bundle, "DeliveredAcmeOrderShipped").validate(given)
    without = {key: value for key, value in given.items() if key != "total"}
    assert not validator(acme_bundle, "DeliveredAcmeOrderShipped").is_valid(without)


def test_nested_models_differ_where_taking_and_giving_do(acme_bundle: Schema) -> None:
    schemas = acme_bundle["$defs"]
    assert schemas["Address"]["required"] == ["street"]
    assert schemas["DeliveredAddress"]["required"] == ["street", "country", "next_of_kin"]
    assert schemas["Address"]["properties"]["next_of_kin"]["anyOf"][0] == {"$ref": "#/$defs/Address"}


def test_no_two_things_have_one_name(acme_bundle: Schema) -> None:
    schemas = acme_bundle["$defs"]
    assert schemas["BacktestProgress"]["properties"]["type"]["const"] == "backtest.progress"
    nested = schemas["AcmeOrderShipped"]["properties"]["progress"]["$ref"].rpartition("/")[2]
    assert list(schemas[nested]["properties"]) == ["done"]
    types = {name: schemas[name]["properties"]["type"]["const"] for name in members(acme_bundle, PUBLISHED)}
    assert types["Event3dPrinted"] == "3d.printed"
    assert types["AcmeOpened"] == "acme.opened"
    assert types["AcmeOpened2"] == "acme_opened"
    assert types["AcmeClosed"] == "acme.closed"


def test_an_example_that_cannot_be_guessed_is_left_out(acme_bundle: Schema) -> None:
    assert "examples" not in acme_bundle["$defs"]["AcmePatterned"]
    assert "examples" in acme_bundle["$defs"]["AcmeTree"]
