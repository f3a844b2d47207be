"""Shapes: the JSON Schema of one model, and the names under which many of them stand together."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from pydantic import MISSING, BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreSchema, core_schema

from courier.schemas.events.base import NULL_IS_LEFT_OUT

Schema = dict[str, Any]
"""A JSON Schema (draft 2020-12), or a part of one."""

Mode = Literal["validation", "serialization"]
"""Whether a schema is of what is taken, or of what is given."""

HERE = "#/$defs/"


class Shape(NamedTuple):
    """The schema of one model, and those that it refers to by `#/$defs/`."""

    schema: Schema
    nested: dict[str, Schema]


def shape_of(model: type[BaseModel], mode: Mode) -> Shape:
    """What of `model` is taken or given.

    What is given has all fields that have a default, and does not say that there will never be more of them:
    a field that is added must not break a reader.
    """
    # Courier serializes by alias only where the model says so.
    by_alias = None if mode == "validation" else bool(model.model_config.get("serialize_by_alias"))
    schema = model.model_json_schema(by_alias=by_alias, mode=mode, schema_generator=_Generator)
    nested = schema.pop("$defs", {})
    if "$ref" in schema:  # it contains itself
        schema = dict(nested[schema["$ref"].removeprefix(HERE)])
    return Shape(schema, nested)


class _Generator(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False  # it would only repeat the name

    def field_is_required(self, field: Any, total: bool) -> bool:
        if self.mode == "validation":
            return super().field_is_required(field, total)
        inner = field["schema"]
        stays_out = inner["type"] == "default" and inner.get("default") is MISSING
        return not stays_out and field.get("serialization_exclude_if") is None

    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        found = super().model_schema(schema)
        found.pop("title", None)
        if self.mode == "serialization" and found.get("additionalProperties") is False:
            del found["additionalProperties"]
        return found

    def nullable_schema(self, schema: core_schema.NullableSchema) -> Schema:
        if self.mode == "serialization" and schema.get("metadata", {}).get(NULL_IS_LEFT_OUT):
            return self.generate_inner(schema["schema"])
        return super().nullable_schema(schema)

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> Schema:
        found = super().tagged_union_schema(schema)
        found.pop("discriminator", None)  # a word of OpenAPI's; the constants tell as much
        return found

    def enum_schema(self, schema: core_schema.EnumSchema) -> Schema:
        found = super().enum_schema(schema)
        found.pop("title", None)
        return found

    def handle_invalid_for_json_schema(self, schema: CoreSchema, error_info: str) -> Schema:
        return {}  # a type that pydantic cannot describe, in somebody's model: anything


class Definitions:
    """Schemas by name, each name given once, and none of `taken`. Equal shapes of equal names are one."""

    def __init__(self, taken: frozenset[str] = frozenset()) -> None:
        self.schemas: dict[str, Schema] = {}
        self._taken = taken
        self._known: dict[str, str] = {}

    def reserve(self, wanted: str) -> str:
        """A name like `wanted` that nobody has; `put` says later what it stands for."""
        name, count = wanted, 1
        while name in self.schemas or name in self._taken:
            count += 1
            name = f"{wanted}{count}"
        self.schemas[name] = {}
        return name

    def put(self, name: str, shape: Shape, prefix: str = "") -> Schema:
        """Store the shape under a name that was reserved, and what it refers to under names of their own.

        `prefix` stands before the nested names whose plain form is taken by another shape.
        """
        self._known[f"{name} {_signature({name: shape.schema, **shape.nested}, name, ())}"] = name
        names: dict[str, str] = {}
        for each in shape.nested:
            signature = f"{each} {_signature(shape.nested, each, ())}"
            known = self._known.get(signature)
            if known is None:
                plain = re.sub(r"[^A-Za-z0-9_]", "_", each)
                known = self.reserve(f"{prefix}{plain}" if plain in self.schemas else plain)
                self._known[signature] = known
            names[each] = known
        for each, known in names.items():
            self.schemas[known] = renamed(shape.nested[each], names.__getitem__)
        self.schemas[name] = renamed(shape.schema, names.__getitem__)
        return self.schemas[name]


def _signature(nested: dict[str, Schema], name: str, above: tuple[str, ...]) -> str:
    """The same text for the same shape, whatever its parts are called; `above` are those it lies in."""
    if name in above:
        return f"the one {above[::-1].index(name)} above"
    told = renamed(nested[name], lambda each: _signature(nested, each, (*above, name)))
    return json.dumps(told, sort_keys=True)


def renamed(schema: Any, name_of: Callable[[str], str], at: str = HERE) -> Any:
    """A copy of a schema in which every `$ref` goes to `at` and the name that `name_of` gives for its own."""
    match schema:
        case dict():
            return {
                key: f"{at}{name_of(value.removeprefix(HERE))}"
                if key == "$ref" and isinstance(value, str)
                else renamed(value, name_of, at)
                for key, value in schema.items()
            }
        case list():
            return [renamed(each, name_of, at) for each in schema]
        case _:
            return schema


def references(schema: Any) -> Iterator[str]:
    """The names that a schema refers to."""
    match schema:
        case {"$ref": str(target)}:
            yield target.removeprefix(HERE)
            yield from references({key: value for key, value in schema.items() if key != "$ref"})
        case dict():
            for value in schema.values():
                yield from references(value)
        case list():
            for value in schema:
                yield from references(value)


def with_nested(schema: Schema, schemas: dict[str, Schema]) -> dict[str, Schema]:
    """Of `schemas` those that `schema` refers to, directly or through others."""
    found: dict[str, Schema] = {}
    waiting = list(references(schema))
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = schemas[name]
            waiting += references(schemas[name])
    return found
