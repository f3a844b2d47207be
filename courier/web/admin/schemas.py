"""Schemas: what the test form is made from: the JSON Schema of each event that may be published."""

from functools import lru_cache
from typing import Any

from pydantic.errors import PydanticUserError

from courier.schemas.events.base import Event
from courier.schemas.registry import Registry


@lru_cache(maxsize=4)
def event_schemas(registry: Registry) -> dict[str, Any]:
    """By type, in alphabetical order; the empty schema for a model that has none, which the form shows as
    JSON only. Made once for registries of the same models."""
    return {name: _schema(registry.models[name]) for name in sorted(registry.types)}


def _schema(model: type[Event]) -> dict[str, Any]:
    try:
        return model.model_json_schema()
    except PydanticUserError:  # a field of a type that JSON Schema cannot say
        return {}
