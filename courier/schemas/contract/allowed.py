"""Allowed: what a JSON Schema allows, as far as two can be laid side by side."""

import json
from typing import Any

from courier.schemas.contract.shapes import HERE, Schema

SAYS_NOTHING = frozenset({"title", "description", "examples", "default", "deprecated", "$comment"})


def allowed(schema: Any, schemas: dict[str, Schema], above: tuple[str, ...] = ()) -> str:
    """The same text for schemas that allow the same by the same words, whatever their parts are called."""
    return json.dumps(_bare(schema, schemas, above), sort_keys=True)


def _bare(schema: Any, schemas: dict[str, Schema], above: tuple[str, ...]) -> Any:
    """The schema without words for people, and with what it refers to in its place."""
    match schema:
        case list():
            return [_bare(each, schemas, above) for each in schema]
        case dict() if name := target(schema):
            if name in above:
                return above[::-1].index(name)
            return _bare({**schemas[name], **_beside(schema)}, schemas, (*above, name))
        case dict():
            return {
                key: _value(key, value, schemas, above)
                for key, value in schema.items()
                if key not in SAYS_NOTHING
            }
        case _:
            return schema


def _value(key: str, value: Any, schemas: dict[str, Schema], above: tuple[str, ...]) -> Any:
    match key:
        case "required" | "enum":
            return sorted(value, key=json.dumps)
        case "const":
            return value
        case "properties":  # whose keys are names, and no words of JSON Schema
            return {name: _bare(field, schemas, above) for name, field in value.items()}
        case _:
            return _bare(value, schemas, above)


def _beside(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key != "$ref"}


def target(schema: Any) -> str:
    """The name that a schema refers to, or nothing."""
    found = schema.get("$ref") if isinstance(schema, dict) else None
    return found.removeprefix(HERE) if isinstance(found, str) else ""


def resolved(schema: Any, schemas: dict[str, Schema]) -> Schema:
    """The schema itself, where it only refers to one."""
    if not isinstance(schema, dict):
        return {} if schema else {"not": {}}
    found: Schema = schema
    while name := target(found):
        found = {**schemas[name], **_beside(found)}
    return found


def options(schema: Schema, schemas: dict[str, Schema]) -> list[Schema] | None:
    """The schemas of one type each that a schema is the union of; None when it allows anything."""
    for union in ("oneOf", "anyOf"):
        if union in schema:
            rest = {key: value for key, value in schema.items() if key != union and key not in SAYS_NOTHING}
            found: list[Schema] = []
            for each in schema[union]:
                inner = options({**rest, **resolved(each, schemas)}, schemas)
                if inner is None:
                    return None
                found += inner
            return found
    named = schema.get("type")
    if isinstance(named, list):
        return [{**schema, "type": each} for each in named]
    if set(schema) <= SAYS_NOTHING:
        return None
    return [schema]


def kind(schema: Schema) -> tuple[Any, Any]:
    """What pairs off the options of two unions: the type, and the constant by which it is told apart."""
    return schema.get("type"), type_of(schema)


def type_of(schema: Schema) -> str | None:
    """The type of the event or the message that a schema is of."""
    said = schema.get("properties", {}).get("type", {})
    return str(said["const"]) if isinstance(said, dict) and "const" in said else None


def by_type(schemas: dict[str, Schema], union: Schema) -> dict[str, Schema]:
    """What a union chooses from, by type."""
    found = (resolved(each, schemas) for each in union["oneOf"])
    return {str(type_of(each)): each for each in found}


def name_of(schema: Schema) -> str:
    """A schema in a word or two."""
    for union in ("oneOf", "anyOf"):
        if union in schema:
            return " or ".join(dict.fromkeys(name_of(each) for each in schema[union]))
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(map(json.dumps, schema["enum"]))
    if "not" in schema:
        return "nothing"
    return type_of(schema) or str(schema.get("type") or target(schema) or "anything")
