"""Examples: one value for a schema, so that every document shows every event."""

from typing import Any

from courier.schemas.contract.shapes import HERE, Schema

TIME = "2026-01-31T12:00:00Z"

_BY_FORMAT = {
    "date-time": TIME,
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "duration": "PT5M",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
    "email": "alice@example.org",
    "uri": "https://example.org/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}
_DEEPEST = 8


def example_of(schema: Schema, schemas: dict[str, Schema], name: str = "", depth: int = 0) -> Any:
    """A value that `schema` allows, as far as types, ranges and lengths go; `name` is the field's.

    The models' own `examples` come first. Whether a pattern or a rule of the model's allows it as well is
    for the caller to try.
    """
    if schema.get("examples"):
        return schema["examples"][0]
    for known in ("const", "default"):
        if known in schema:
            return schema[known]
    if "enum" in schema:
        return schema["enum"][0]
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].removeprefix(HERE)], schemas, name, depth)
    for union in ("oneOf", "anyOf", "allOf"):
        if union in schema:
            return example_of(schema[union][0], schemas, name, depth)
    match schema.get("type"):
        case "object":
            return _object(schema, schemas, depth)
        case "array":
            return _array(schema, schemas, name, depth)
        case "string":
            return _string(schema, name)
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return True
        case _:
            return None


def _object(schema: Schema, schemas: dict[str, Schema], depth: int) -> dict[str, Any]:
    fields = schema.get("properties", {})
    required = schema.get("required", [])
    return {
        name: example_of(field, schemas, name, depth + 1)
        for name, field in fields.items()
        if name in required or depth < _DEEPEST
    }


def _array(schema: Schema, schemas: dict[str, Schema], name: str, depth: int) -> list[Any]:
    first = [example_of(each, schemas, name, depth + 1) for each in schema.get("prefixItems", [])]
    if first or not isinstance(schema.get("items"), dict) or depth >= _DEEPEST:
        return first
    return [example_of(schema["items"], schemas, name, depth + 1)] * max(1, schema.get("minItems", 1))


def _string(schema: Schema, name: str) -> str:
    if schema.get("format") in _BY_FORMAT:
        return _BY_FORMAT[schema["format"]]
    text = f"{name.removesuffix('_id')}-1" if name.endswith("_id") else name or "text"
    return text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]


def _number(schema: Schema) -> Any:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    step = schema.get("multipleOf", 1)
    if schema["type"] == "integer" or "multipleOf" in schema:
        return (
            (low // step + 1) * step
            if low is not None
            else (high // step - 1) * step
            if high is not None
            else step
        )
    if low is not None and high is not None:
        return (low + high) / 2
    return low + 1.5 if low is not None else high - 1.5 if high is not None else 1.5
