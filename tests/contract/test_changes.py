"""What differs between two contracts, and whom it breaks."""

import copy
import json
from collections.abc import Callable
from itertools import product
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from courier.schemas.contract import Change, compare, json_schema, report
from courier.schemas.contract.bundle import CONTROL, DELIVERED, PUBLISHED, members
from courier.schemas.contract.shapes import Schema
from courier.schemas.registry import Registry, default_registry

# A few of them: enough to have every kind of field, and quick to compare.
TYPES = (
    "backtest.failed",
    "trade.order_placed",
    "position.closed",
    "forge.job_started",
    "system.maintenance",
)
BUNDLE = json_schema(Registry(default_registry().models[each] for each in TYPES))
EVENTS = members(BUNDLE, PUBLISHED)
BOTH = {"publishers", "subscribers"}


class Mutable:
    """A copy of the contract, of which one event may be changed, as it is taken and as it is given."""

    def __init__(self, name: str) -> None:
        self.bundle = copy.deepcopy(BUNDLE)
        schemas = self.bundle["$defs"]
        self.type = schemas[name]["properties"]["type"]["const"]
        self.name = name
        self.taken, self.given = schemas[name], schemas[f"Delivered{name}"]

    @property
    def both(self) -> tuple[Schema, Schema]:
        return self.taken, self.given

    def field(self, name: str) -> tuple[Schema, Schema]:
        taken, given = self.taken["properties"][name], self.given["properties"][name]
        return taken.get("anyOf", [taken])[0], given  # what may be left out may be null as well


def require(schema: Schema, name: str, needed: bool) -> None:
    schema["required"] = [each for each in schema["required"] if each != name] + [name] * needed


def a_field(data: st.DataObject, event: Mutable, where: Callable[[str, Schema], bool]) -> str | None:
    names = [
        name for name, field in event.taken["properties"].items() if name != "type" and where(name, field)
    ]
    return data.draw(st.sampled_from(names)) if names else None


# Mutations: each changes a contract, and returns whom that breaks and where; None when it cannot be made.

Mutation = Callable[[st.DataObject, Mutable], tuple[set[str], str] | None]


def removed_type(data: st.DataObject, event: Mutable) -> tuple[set[str], str]:
    for union, name in ((PUBLISHED, event.name), (DELIVERED, f"Delivered{event.name}")):
        event.bundle["$defs"][union]["oneOf"].remove({"$ref": f"#/$defs/{name}"})
    return BOTH, event.type


def new_type(data: st.DataObject, event: Mutable) -> tuple[set[str], str]:
    schemas = event.bundle["$defs"]
    for union, schema in ((PUBLISHED, event.taken), (DELIVERED, event.given)):
        another = copy.deepcopy(schema)
        another["properties"]["type"]["const"] = "acme.new"
        schemas[f"New{union}"] = another
        schemas[union]["oneOf"].append({"$ref": f"#/$defs/New{union}"})
    return set(), "acme.new"


def removed_field(data: st.DataObject, event: Mutable) -> tuple[set[str], str] | None:
    name = a_field(data, event, lambda name, field: True)
    for schema in event.both:
        del schema["properties"][name]
        require(schema, str(name), needed=False)
    return BOTH, f"{event.type}.{name}"


def new_field(data: st.DataObject, event: Mutable) -> tuple[set[str], str]:
    needed, always = data.draw(st.sampled_from([(True, True), (False, True), (False, False)]))
    for schema, required in zip(event.both, (needed, always), strict=True):
        schema["properties"]["brand_new"] = {"type": "string"}
        require(schema, "brand_new", needed=required)
    return {"publishers"} if needed else set(), f"{event.type}.brand_new"


def optional(data: st.DataObject, event: Mutable) -> tuple[set[str], str] | None:
    name = a_field(data, event, lambda name, field: name in event.taken["required"])
    for schema in event.both:
        require(schema, str(name), needed=False)
    return {"subscribers"}, f"{event.type}.{name}"


def required(data: st.DataObject, event: Mutable) -> tuple[set[str], str] | None:
    name = a_field(data, event, lambda name, field: name not in event.taken["required"])
    for schema in event.both:
        require(schema, str(name), needed=True)
    return {"publishers"}, f"{event.type}.{name}"


def another_type(data: st.DataObject, event: Mutable) -> tuple[set[str], str] | None:
    name = a_field(data, event, lambda name, field: field.get("type") in ("string", "number", "object"))
    for field in event.field(str(name)):
        field.clear()
        field["type"] = "boolean"
    return BOTH, f"{event.type}.{name}"


def values(data: st.DataObject, event: Mutable) -> tuple[set[str], str] | None:
    name = a_field(data, event, lambda name, field: "enum" in field)
    if name is None:
        return None
    more = data.draw(st.booleans())
    for field in event.field(name):
        field["enum"] = [*field["enum"], "another"] if more else field["enum"][1:]
    return {"subscribers"} if more else {"publishers"}, f"{event.type}.{name}"


def bounds(data: st.DataObject, event: Mutable) -> tuple[set[str], str] | None:
    keys = {"minLength": 1, "maxLength": -1, "minimum": 1, "maximum": -1, "exclusiveMinimum": 1}
    name = a_field(data, event, lambda name, field: bool(keys.keys() & field.keys()))
    if name is None:
        return None
    taken, given = event.field(name)
    key = data.draw(st.sampled_from(sorted(keys.keys() & taken.keys())))
    narrower = data.draw(st.booleans())
    for field in (taken, given):
        field[key] += keys[key] * (1 if narrower else -1) * 0.5
    return {"publishers"} if narrower else {"subscribers"}, f"{event.type}.{name}"


def rules(data: st.DataObject, event: Mutable) -> tuple[set[str], str] | None:
    key = data.draw(st.sampled_from(["pattern", "format", "maxLength", "multipleOf", "contentMediaType"]))
    name = a_field(data, event, lambda name, field: True)
    taken, given = event.field(str(name))
    had, now = key in taken, data.draw(st.sampled_from([None, 7]))
    if not had and now is None:
        return None
    for field in (taken, given):
        if now is None:
            del field[key]
        else:
            field[key] = now
    if had and now is not None:
        return ({"publishers"} if key == "maxLength" else BOTH), f"{event.type}.{name}"
    return {"subscribers"} if now is None else {"publishers"}, f"{event.type}.{name}"


def only_words(data: st.DataObject, event: Mutable) -> tuple[set[str], str]:
    for schema in event.both:
        schema["description"] = "Other words."
        schema["examples"] = []
        schema["properties"]["source"]["description"] = "Others."
    event.bundle["$id"] = "another"
    event.bundle["$defs"][event.name] = dict(reversed(event.taken.items()))
    return set(), ""


MUTATIONS: list[Mutation] = [
    *(removed_type, new_type, removed_field, new_field, optional, required),
    *(another_type, values, bounds, rules, only_words),
]


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutation: mutation.__name__)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_each_change_is_found_where_it_is_and_breaks_whom_it_must(
    mutate: Mutation, data: st.DataObject
) -> None:
    event = Mutable(data.draw(st.sampled_from(EVENTS)))
    expected = mutate(data, event)
    if expected is None:
        return
    breaks, where = expected
    changes = compare(BUNDLE, event.bundle)
    assert {each for change in changes for each in change.breaks} == breaks
    assert {change.where for change in changes} == ({where} if where else set())


def test_a_contract_does_not_differ_from_itself() -> None:
    assert compare(BUNDLE, BUNDLE) == []
    assert compare(BUNDLE, json.loads(json.dumps(BUNDLE, sort_keys=True))) == []


def test_what_is_not_an_event_is_compared_too() -> None:
    new = copy.deepcopy(BUNDLE)
    schemas = new["$defs"]
    schemas["CloseReason"]["enum"].append("Bored")
    schemas["GapReason"]["enum"].append("lazy")
    del schemas["Receipt"]["properties"]["clients_reached"]
    schemas["CourierRefresh"]["required"].append("reason")
    schemas["CourierRefresh"]["properties"]["reason"] = {"type": "string"}
    schemas[CONTROL]["oneOf"].pop()
    assert set(compare(BUNDLE, new)) == {
        Change("CloseReason", '"Bored" is new', ("subscribers",)),
        Change("courier.gap.reason", '"lazy" is new', ("subscribers",)),
        Change("Receipt.clients_reached", "the field is gone", ("publishers",)),
        Change("courier.refresh.reason", "a new field, required", ("subscribers",)),
        Change("courier.refreshed", "the type is gone", ("subscribers",)),
    }


WRONG: list[Any] = [{}, [], None, {"$defs": {}}, {"$defs": []}]
WRONG += [{"$defs": {**BUNDLE["$defs"], "CourierEvent": {}}}]
WRONG += [{"$defs": {**BUNDLE["$defs"], "Receipt": {"$ref": "#/$defs/Nothing"}}}]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_contract_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="json-schema"):
        compare(BUNDLE, wrong)


def test_a_report_has_a_line_a_change_under_whom_it_breaks() -> None:
    changes = [
        Change("a.x", "the field is gone", ("publishers", "subscribers")),
        Change("a.y", "is new", ("subscribers",)),
        Change("b", "the type is new"),
    ]
    assert report(changes) == (
        "Breaks publishers:\n  a.x: the field is gone\n\n"
        "Breaks subscribers:\n  a.x: the field is gone\n  a.y: is new\n\n"
        "Safe:\n  b: the type is new\n"
    )
    assert report([]) == "No difference.\n"


STRING, NUMBER, NULL = {"type": "string"}, {"type": "number"}, {"type": "null"}
OPEN = {"type": "object", "properties": {"a": STRING}}


@pytest.mark.parametrize(
    ("narrow", "wide", "narrowed", "widened"),
    [
        ({"type": "integer"}, NUMBER, "number becomes integer", "integer becomes number"),
        (STRING, {"anyOf": [STRING, NULL]}, "may no longer be null", "may also be null"),
        (STRING, {"type": ["string", "null"]}, "may no longer be null", "may also be null"),
        (STRING, {}, "anything becomes string", "string becomes anything"),
        ({"const": "a", **STRING}, STRING, 'is now "a"', 'is no longer only "a"'),
        ({**OPEN, "required": ["a"]}, OPEN, "may no longer be left out", "may be left out"),
        ({**STRING, "pattern": "^a"}, STRING, 'has now pattern "^a"', 'has no longer pattern "^a"'),
        (
            {"type": "array", "items": {**STRING, "maxLength": 1}},
            {"type": "array", "items": {**STRING, "maxLength": 2}},
            "maxLength 2 becomes 1",
            "maxLength 1 becomes 2",
        ),
        (
            {"type": "object", "additionalProperties": {"type": "integer"}},
            {"type": "object", "additionalProperties": NUMBER},
            "number becomes integer",
            "integer becomes number",
        ),
    ],
)
def test_narrowing_breaks_who_writes_and_widening_who_reads(
    narrow: Schema, wide: Schema, narrowed: str, widened: str
) -> None:
    def breaks(union: str, old: Schema, new: Schema) -> dict[str, bool]:
        return {change.what: bool(change.breaks) for change in compare(tiny(old, union), tiny(new, union))}

    assert breaks(PUBLISHED, wide, narrow) == {narrowed: True}
    assert breaks(DELIVERED, wide, narrow) == {narrowed: False}
    assert breaks(PUBLISHED, narrow, wide) == {widened: False}
    assert breaks(DELIVERED, narrow, wide) == {widened: True}


def test_fields_without_a_name_may_become_fewer_or_more() -> None:
    shut = {**OPEN, "additionalProperties": False}
    [change] = compare(tiny(OPEN, PUBLISHED), tiny(shut, PUBLISHED))
    assert change == Change("acme.event.field", "takes fewer other fields", ("publishers",))
    for old, new, union in ((shut, OPEN, PUBLISHED), (shut, OPEN, DELIVERED), (OPEN, shut, DELIVERED)):
        [change] = compare(tiny(old, union), tiny(new, union))
        assert not change.breaks


def test_what_contains_itself_is_compared_to_the_end() -> None:
    def tree(leaf: Schema) -> Schema:
        found = tiny({"$ref": "#/$defs/Tree"}, DELIVERED)
        children = {"type": "array", "items": {"$ref": "#/$defs/Tree"}}
        found["$defs"]["Tree"] = {"type": "object", "properties": {"leaf": leaf, "children": children}}
        return found

    assert compare(tree(STRING), tree(STRING)) == []
    [change] = compare(tree(STRING), tree(NUMBER))
    assert change == Change("acme.event.field.leaf", "string becomes number", ("subscribers",))


# Any two schemas, held against values: what is said to be safe must be


NAMES = st.sampled_from(["a", "b", "c"])
VALUES: list[Any] = [None, True, False, 0, 1, 2, 5, 0.5, -1, "", "a", "bb", "ccc", "true"]
VALUES += [[], [1], ["a", "bb"], [None], [[1]], [1, "a", None]]
VALUES += [{}, *({key: value} for key, value in product("abc", VALUES))]
VALUES += [{"a": one, "b": other} for one, other in product([1, "a", None, ["a"], {"c": 1}], repeat=2)]


def schemas(closed: bool) -> st.SearchStrategy[Schema]:
    """Small schemas; what services send is closed to other fields, what subscribers read is open."""

    def with_rules(named: str, *keys: str) -> st.SearchStrategy[Schema]:
        rules = st.dictionaries(st.sampled_from(keys), st.integers(0, 3)) if keys else st.just({})
        return rules.map(lambda found: {"type": named, **found})

    def an_object(fields: dict[str, tuple[Schema, bool]]) -> Schema:
        return {
            "type": "object",
            "properties": {name: schema for name, (schema, _) in fields.items()},
            "required": [name for name, (_, needed) in fields.items() if needed],
            **({"additionalProperties": False} if closed else {}),
        }

    leaves = st.one_of(
        with_rules("string", "minLength", "maxLength"),
        with_rules("integer", "minimum", "maximum", "exclusiveMinimum"),
        with_rules("number", "minimum", "exclusiveMaximum"),
        st.sampled_from([{"type": "boolean"}, {"type": "null"}, {}, {"type": ["string", "null"]}]),
        st.lists(st.sampled_from(["a", "bb", "ccc"]), min_size=1, unique=True).map(
            lambda found: {"type": "string", "enum": found}
        ),
        st.sampled_from(
            [{"const": "a", "type": "string"}, {"type": "object"}, {"type": "string", "pattern": "^a"}]
        ),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            inner.map(lambda items: {"type": "array", "items": items}),
            st.lists(inner, min_size=1, max_size=3).map(lambda found: {"anyOf": found}),
            st.dictionaries(NAMES, st.tuples(inner, st.booleans()), max_size=2).map(an_object),
            inner.map(lambda values: {"type": "object", "additionalProperties": values}),
        ),
        max_leaves=4,
    )


def tiny(schema: Schema, union: str) -> Schema:
    """A contract in which one event has one field."""
    event = {
        "type": "object",
        "properties": {"type": {"const": "acme.event"}, "field": schema},
        "required": ["type", "field"],
    }
    names = (
        "Receipt",
        "BatchReceipt",
        "StreamReceipt",
        "Refusal",
        "CourierRefresh",
        "CloseReason",
        "History",
    )
    found: Schema = {name: {} for name in names}
    found |= {name: {"oneOf": []} for name in (PUBLISHED, DELIVERED, CONTROL)}
    found |= {union: {"oneOf": [{"$ref": "#/$defs/AcmeEvent"}]}, "AcmeEvent": event}
    return {"$defs": found}


@settings(deadline=None, derandomize=True)
@given(old=schemas(closed=True), new=schemas(closed=True))
def test_what_breaks_no_publisher_refuses_nothing_that_was_taken(old: Schema, new: Schema) -> None:
    changes = compare(tiny(old, PUBLISHED), tiny(new, PUBLISHED))
    if not any(change.breaks for change in changes):
        before, after = jsonschema_rs.validator_for(old), jsonschema_rs.validator_for(new)
        assert [value for value in VALUES if before.is_valid(value) and not after.is_valid(value)] == []


@settings(deadline=None, derandomize=True)
@given(old=schemas(closed=False), new=schemas(closed=False))
def test_what_breaks_no_subscriber_brings_nothing_that_could_not_come(old: Schema, new: Schema) -> None:
    changes = compare(tiny(old, DELIVERED), tiny(new, DELIVERED))
    if not any(change.breaks for change in changes):
        before, after = jsonschema_rs.validator_for(old), jsonschema_rs.validator_for(new)
        assert [value for value in VALUES if after.is_valid(value) and not before.is_valid(value)] == []


@settings(deadline=None, derandomize=True)
@given(schema=schemas(closed=True), union=st.sampled_from([PUBLISHED, DELIVERED]))
def test_a_schema_does_not_differ_from_itself(schema: Schema, union: str) -> None:
    assert compare(tiny(schema, union), tiny(copy.deepcopy(schema), union)) == []


@settings(deadline=None, derandomize=True)
@given(old=schemas(closed=True), new=schemas(closed=True), union=st.sampled_from([PUBLISHED, DELIVERED]))
def test_two_schemas_that_are_written_in_other_words_differ(old: Schema, new: Schema, union: str) -> None:
    before, after = jsonschema_rs.validator_for(old), jsonschema_rs.validator_for(new)
    if any(before.is_valid(value) != after.is_valid(value) for value in VALUES):
        assert compare(tiny(old, union), tiny(new, union)) != []
