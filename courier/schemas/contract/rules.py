"""Rules: how two schemas of one type differ in what they say of a plain value."""

import json
from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple

from courier.schemas.contract.allowed import SAYS_NOTHING, name_of
from courier.schemas.contract.shapes import Schema


class Effect(Enum):
    """What a difference does to the values that a schema allows."""

    NARROWED = "fewer are allowed"
    WIDENED = "more are allowed"
    CHANGED = "others are allowed"
    NONE = "the same are allowed"


class Found(NamedTuple):
    """One difference between two schemas."""

    where: str
    what: str
    effect: Effect


_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
WALKED = SAYS_NOTHING.union(
    ("type", "const", "enum", "properties", "required", "prefixItems", "items", "$ref"),
    ("additionalProperties", "patternProperties", "propertyNames"),
    (*_LEAST, *_MOST),
)
"""Keywords that have a rule of their own; that another one changed is told of all the same."""


def values(where: str, old: Schema, new: Schema) -> Iterator[Found]:
    """Which of the values that are listed came or went."""
    before, after = _enumerated(old), _enumerated(new)
    if before is None and after is None:
        return
    if before is None:
        yield Found(where, f"is now {name_of(new)}", Effect.NARROWED)
    elif after is None:
        yield Found(where, f"is no longer only {name_of(old)}", Effect.WIDENED)
    else:
        for value in before:
            if value not in after:
                yield Found(where, f"{value} is no longer allowed", Effect.NARROWED)
        for value in after:
            if value not in before:
                yield Found(where, f"{value} is new", Effect.WIDENED)


def _enumerated(schema: Schema) -> list[str] | None:
    if "const" in schema:
        return [json.dumps(schema["const"])]
    return [json.dumps(each) for each in schema["enum"]] if "enum" in schema else None


def ranges(where: str, old: Schema, new: Schema) -> Iterator[Found]:
    """Which bounds moved."""
    for keys, narrower in ((_LEAST, 1), (_MOST, -1)):
        for key in keys:
            before, after = old.get(key), new.get(key)
            if before == after:
                continue
            if before is None or after is None:
                effect = Effect.NARROWED if before is None else Effect.WIDENED
            else:
                effect = Effect.NARROWED if (after - before) * narrower > 0 else Effect.WIDENED
            yield Found(where, _told(key, before, after), effect)


def rule(where: str, key: str, before: Any, after: Any) -> Iterator[Found]:
    """Whether a keyword says something else; what it means is not looked into."""
    if before == after:
        return
    effect = Effect.CHANGED
    if before in (None, False):
        effect = Effect.NARROWED
    elif after in (None, False):
        effect = Effect.WIDENED
    yield Found(where, _told(key, before, after), effect)


def defaults(where: str, old: Schema, new: Schema) -> Iterator[Found]:
    """Whether another value stands in for what is left out: worth knowing, and breaks nobody."""
    before, after = old.get("default"), new.get("default")
    if before != after:
        yield Found(where, _told("default", before, after), Effect.NONE)


def _told(key: str, before: Any, after: Any) -> str:
    if before is None:
        return f"has now {key} {json.dumps(after)}"
    if after is None:
        return f"has no longer {key} {json.dumps(before)}"
    return f"{key} {json.dumps(before)} becomes {json.dumps(after)}"
