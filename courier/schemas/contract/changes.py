"""Changes: what differs between two contracts, and whom it breaks.

What a service sends is judged by the new contract, so that it must go on taking all that the old one took.
Who reads was written for the old one, so that nothing may come that this did not allow. The same narrowing
breaks the one and is safe for the other.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import zip_longest
from typing import Any, Literal, NamedTuple

from courier.schemas.contract.bundle import CLOSE_REASON, CONTROL, DELIVERED, HISTORY, PUBLISHED, REFRESH
from courier.schemas.contract.shapes import HERE, Schema, references

Audience = Literal["publishers", "subscribers"]


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One difference: where, what, and whom it breaks; nobody, when it is safe."""

    where: str
    what: str
    breaks: tuple[Audience, ...] = ()

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class _Effect(Enum):
    """What a difference does to the values that a schema allows."""

    NARROWED = "fewer are allowed"
    WIDENED = "more are allowed"
    CHANGED = "others are allowed"
    NONE = "the same are allowed"


class _Found(NamedTuple):
    where: str
    what: str
    effect: _Effect


class _Side(NamedTuple):
    """One part of the contract: who relies on it, and whether they write what it describes or read it."""

    name: str
    audience: Audience
    written: bool
    growing: bool = False
    """Whether another choice is no surprise: who reads must pass over a type that it does not know."""


_SIDES = (
    _Side(PUBLISHED, "publishers", written=True, growing=True),
    _Side("Receipt", "publishers", written=False),
    _Side("BatchReceipt", "publishers", written=False),
    _Side("StreamReceipt", "publishers", written=False),
    _Side("Refusal", "publishers", written=False),
    _Side(DELIVERED, "subscribers", written=False, growing=True),
    _Side(CONTROL, "subscribers", written=False, growing=True),
    _Side(REFRESH, "subscribers", written=True),
    _Side(CLOSE_REASON, "subscribers", written=False),
    _Side(HISTORY, "subscribers", written=False),
)

_NAMES = frozenset(side.name for side in _SIDES)


def compare(old: Schema, new: Schema) -> list[Change]:
    """What differs between two documents of `json_schema`; sorted, what breaks somebody first.

    Descriptions and examples are no difference. Raises ValueError when one is no such document.
    """
    breaks: dict[tuple[str, str], set[Audience]] = {}
    for side in _SIDES:
        judge = _Judge(_defined(old), _defined(new), side)
        for found in judge.differences():
            broken = breaks.setdefault((found.where, found.what), set())
            if judge.breaks(found):
                broken.add(side.audience)
    changes = [Change(*told, tuple(sorted(broken))) for told, broken in breaks.items()]
    return sorted(changes, key=lambda change: (not change.breaks, change))


def report(changes: list[Change]) -> str:
    """The changes for people: a line each, under whom they break."""
    groups = {
        "Breaks publishers": [each for each in changes if "publishers" in each.breaks],
        "Breaks subscribers": [each for each in changes if "subscribers" in each.breaks],
        "Safe": [each for each in changes if not each.breaks],
    }
    text = [
        f"{title}:\n" + "".join(f"  {each}\n" for each in group) for title, group in groups.items() if group
    ]
    return "\n".join(text) or "No difference.\n"


def _defined(bundle: Schema) -> dict[str, Schema]:
    schemas = bundle.get("$defs") if isinstance(bundle, dict) else None
    if not isinstance(schemas, dict) or any(side.name not in schemas for side in _SIDES):
        raise ValueError("expected what `courier contract json-schema` prints")
    return schemas


class _Judge:
    """Walks two schemas side by side."""

    def __init__(self, old: dict[str, Schema], new: dict[str, Schema], side: _Side) -> None:
        self._old = old
        self._new = new
        self._side = side
        self._begun: set[tuple[str, str]] = set()

    def differences(self) -> Iterator[_Found]:
        old, new = self._old[self._side.name], self._new[self._side.name]
        if not self._side.growing:
            yield from self._compare(
                self._side.name if "properties" not in old else _type(old) or self._side.name, old, new
            )
            return
        before, after = _by_type(self._old, old), _by_type(self._new, new)
        for name in before.keys() - after.keys():
            yield _Found(name, "the type is gone", _Effect.CHANGED)
        for name in after.keys() - before.keys():
            yield _Found(name, "the type is new", _Effect.NONE)
        for name in before.keys() & after.keys():
            if before[name] != after[name] or next(references(before[name]), None):
                yield from self._compare(name, before[name], after[name])

    def breaks(self, found: _Found) -> bool:
        if found.effect is _Effect.CHANGED:
            return True
        return found.effect is (_Effect.NARROWED if self._side.written else _Effect.WIDENED)

    def _compare(self, where: str, old: Any, new: Any) -> Iterator[_Found]:
        names = _target(old), _target(new)
        if names in self._begun or (names[0] == names[1] and names[0] in _NAMES):  # told under its own name
            return
        if any(names):
            self._begun.add(names)
        try:
            yield from self._compare_resolved(where, _resolved(old, self._old), _resolved(new, self._new))
        finally:
            self._begun.discard(names)

    def _compare_resolved(self, where: str, old: Schema, new: Schema) -> Iterator[_Found]:
        if _allowed(old, self._old) == _allowed(new, self._new):
            yield from _defaults(where, old, new)
            return
        before, after = _options(old, self._old), _options(new, self._new)
        if before is None or after is None:  # one of them allows anything
            effect = _Effect.NARROWED if before is None else _Effect.WIDENED
            yield _Found(where, f"{_name(old)} becomes {_name(new)}", effect)
            return
        if len(before) == len(after) == 1:
            yield from self._compare_one(where, before[0], after[0])
        else:
            yield from self._compare_many(where, before, after)
        yield from _defaults(where, old, new)

    def _compare_many(self, where: str, before: list[Schema], after: list[Schema]) -> Iterator[_Found]:
        """Two unions: what is in both is paired off, then what is of one type; the rest came or went."""
        gone, came = list(before), []
        for option in after:
            told = _allowed(option, self._new)
            same = next((each for each in gone if _allowed(each, self._old) == told), None)
            if same is None:
                came.append(option)
            else:
                gone.remove(same)
        for option in list(came):
            like = next((each for each in gone if _kind(each) == _kind(option)), None)
            if like is not None:
                gone.remove(like)
                came.remove(option)
                yield from self._compare_one(where, like, option)
        for old, new in zip_longest(gone, came):
            if new is None:
                yield _Found(where, f"may no longer be {_name(old)}", _Effect.NARROWED)
            elif old is None:
                yield _Found(where, f"may also be {_name(new)}", _Effect.WIDENED)
            else:
                yield _Found(where, f"{_name(old)} becomes {_name(new)}", _Effect.CHANGED)

    def _compare_one(self, where: str, old: Schema, new: Schema) -> Iterator[_Found]:
        kinds = old.get("type"), new.get("type")
        if kinds[0] != kinds[1]:
            effect = {
                ("integer", "number"): _Effect.WIDENED,
                ("number", "integer"): _Effect.NARROWED,
            }.get(kinds, _Effect.CHANGED)  # type: ignore[arg-type]
            yield _Found(where, f"{_name(old)} becomes {_name(new)}", effect)
            if effect is _Effect.CHANGED:
                return
        yield from _values(where, old, new)
        yield from _ranges(where, old, new)
        for key in sorted((old.keys() | new.keys()) - _WALKED):
            yield from _rule(where, key, old.get(key), new.get(key))
        yield from self._fields(where, old, new)
        yield from self._items(where, old, new)

    def _fields(self, where: str, old: Schema, new: Schema) -> Iterator[_Found]:
        before, after = old.get("properties", {}), new.get("properties", {})
        required = set(old.get("required", ())), set(new.get("required", ()))
        for name in sorted(before.keys() - after.keys()):
            yield _Found(f"{where}.{name}", "the field is gone", _Effect.CHANGED)
        for name in sorted(after.keys() - before.keys()):
            # Who reads need not care whether it always comes.
            needed = name in required[1] and self._side.written
            effect = _Effect.NARROWED if needed else _Effect.NONE
            yield _Found(f"{where}.{name}", f"a new field{', required' if needed else ''}", effect)
        for name in sorted(before.keys() & after.keys()):
            inside = f"{where}.{name}"
            if (name in required[0]) != (name in required[1]):
                needed = name in required[1]
                what = "may no longer be left out" if needed else "may be left out"
                yield _Found(inside, what, _Effect.NARROWED if needed else _Effect.WIDENED)
            yield from self._compare(inside, before[name], after[name])
        for key in ("additionalProperties", "patternProperties", "propertyNames"):
            yield from self._others(where, key, old.get(key), new.get(key))

    def _others(self, where: str, key: str, old: Any, new: Any) -> Iterator[_Found]:
        """Fields without a name of their own: all are allowed unless the schema says otherwise."""
        old, new = (True if each in (None, {}) else each for each in (old, new))
        if old == new:
            return
        if key == "patternProperties" and isinstance(old, dict) and isinstance(new, dict):
            yield _Found(where, f"its {key} changed", _Effect.CHANGED)
        elif isinstance(old, dict) and isinstance(new, dict):
            yield from self._compare(f"{where}.*", old, new)
        elif new is False or old is True:
            # Who reads has been told that more fields may come; that none will is no surprise.
            yield _Found(where, "takes fewer other fields", _Effect.NARROWED)
        else:
            effect = _Effect.WIDENED if isinstance(old, dict) else _Effect.NONE
            yield _Found(where, "takes more other fields", effect)

    def _items(self, where: str, old: Schema, new: Schema) -> Iterator[_Found]:
        before, after = old.get("prefixItems", []), new.get("prefixItems", [])
        if len(before) != len(after):
            yield _Found(where, f"{len(before)} places become {len(after)}", _Effect.CHANGED)
            return
        for place, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from self._compare(f"{where}[{place}]", one, other)
        if old.get("items", True) != new.get("items", True) or _target(old.get("items")):
            yield from self._compare(f"{where}[]", old.get("items", True), new.get("items", True))


_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")

# What a schema allows


_SAYS_NOTHING = frozenset({"title", "description", "examples", "default", "deprecated", "$comment"})
_WALKED = _SAYS_NOTHING.union(
    ("type", "const", "enum", "properties", "required", "prefixItems", "items", "$ref"),
    ("additionalProperties", "patternProperties", "propertyNames"),
    (*_LEAST, *_MOST),
)
"""Keywords that have a rule of their own; that another one changed is told of all the same."""


def _allowed(schema: Any, schemas: dict[str, Schema], above: tuple[str, ...] = ()) -> str:
    """The same text for schemas that allow the same by the same words, whatever their parts are called."""
    return json.dumps(_bare(schema, schemas, above), sort_keys=True)


def _bare(schema: Any, schemas: dict[str, Schema], above: tuple[str, ...], fields: bool = False) -> Any:
    if isinstance(schema, list):
        return [_bare(each, schemas, above) for each in schema]
    if not isinstance(schema, dict):
        return schema
    name = _target(schema)
    if name and not fields:
        if name in above:
            return above[::-1].index(name)
        return _bare({**schemas[name], **_beside(schema)}, schemas, (*above, name))
    return {
        key: sorted(value)
        if key in ("required",) and not fields
        else sorted(value, key=json.dumps)
        if key == "enum" and not fields
        else value
        if key == "const" and not fields
        else _bare(value, schemas, above, fields=key == "properties" and not fields)
        for key, value in schema.items()
        if fields or key not in _SAYS_NOTHING
    }


def _beside(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key != "$ref"}


def _target(schema: Any) -> str:
    """The name that a schema refers to, or nothing."""
    target = schema.get("$ref") if isinstance(schema, dict) else None
    return str(target).removeprefix(HERE) if isinstance(target, str) else ""


def _resolved(schema: Any, schemas: dict[str, Schema]) -> Schema:
    if not isinstance(schema, dict):
        return {} if schema else {"not": {}}
    resolved: Schema = schema
    while name := _target(resolved):
        resolved = {**schemas[name], **_beside(resolved)}
    return resolved


def _options(schema: Schema, schemas: dict[str, Schema]) -> list[Schema] | None:
    """The schemas of one type each that a schema is the union of; None when it allows anything."""
    for union in ("oneOf", "anyOf"):
        if union in schema:
            rest = {key: value for key, value in schema.items() if key != union and key not in _SAYS_NOTHING}
            found: list[Schema] = []
            for each in schema[union]:
                options = _options({**rest, **_resolved(each, schemas)}, schemas)
                if options is None:
                    return None
                found += options
            return found
    named = schema.get("type")
    if isinstance(named, list):
        return [{**schema, "type": each} for each in named]
    if set(schema) <= _SAYS_NOTHING:
        return None
    return [schema]


def _kind(schema: Schema) -> tuple[Any, Any]:
    """What pairs off the options of two unions: the type, and the constant by which it is told apart."""
    return schema.get("type"), _type(schema)


def _type(schema: Schema) -> str | None:
    said = schema.get("properties", {}).get("type", {})
    return str(said["const"]) if isinstance(said, dict) and "const" in said else None


def _by_type(schemas: dict[str, Schema], union: Schema) -> dict[str, Schema]:
    found = (_resolved(each, schemas) for each in union["oneOf"])
    return {str(_type(each)): each for each in found}


def _name(schema: Schema) -> str:
    """A schema in a word or two."""
    for union in ("oneOf", "anyOf"):
        if union in schema:
            return " or ".join(dict.fromkeys(_name(each) for each in schema[union]))
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(map(json.dumps, schema["enum"]))
    if "not" in schema:
        return "nothing"
    return _type(schema) or str(schema.get("type") or _target(schema) or "anything")


# Rules on plain values


def _values(where: str, old: Schema, new: Schema) -> Iterator[_Found]:
    before, after = _enumerated(old), _enumerated(new)
    if before is None and after is None:
        return
    if before is None:
        yield _Found(where, f"is now {_name(new)}", _Effect.NARROWED)
    elif after is None:
        yield _Found(where, f"is no longer only {_name(old)}", _Effect.WIDENED)
    else:
        for value in before:
            if value not in after:
                yield _Found(where, f"{value} is no longer allowed", _Effect.NARROWED)
        for value in after:
            if value not in before:
                yield _Found(where, f"{value} is new", _Effect.WIDENED)


def _enumerated(schema: Schema) -> list[str] | None:
    if "const" in schema:
        return [json.dumps(schema["const"])]
    return [json.dumps(each) for each in schema["enum"]] if "enum" in schema else None


def _ranges(where: str, old: Schema, new: Schema) -> Iterator[_Found]:
    for keys, narrower in ((_LEAST, 1), (_MOST, -1)):
        for key in keys:
            before, after = old.get(key), new.get(key)
            if before == after:
                continue
            if before is None or after is None:
                effect = _Effect.NARROWED if before is None else _Effect.WIDENED
            else:
                effect = _Effect.NARROWED if (after - before) * narrower > 0 else _Effect.WIDENED
            yield _Found(where, _told(key, before, after), effect)


def _rule(where: str, key: str, before: Any, after: Any) -> Iterator[_Found]:
    if before == after:
        return
    effect = _Effect.CHANGED
    if before in (None, False):
        effect = _Effect.NARROWED
    elif after in (None, False):
        effect = _Effect.WIDENED
    yield _Found(where, _told(key, before, after), effect)


def _defaults(where: str, old: Schema, new: Schema) -> Iterator[_Found]:
    before, after = old.get("default"), new.get("default")
    if before != after:
        yield _Found(where, _told("default", before, after), _Effect.NONE)


def _told(key: str, before: Any, after: Any) -> str:
    if before is None:
        return f"has now {key} {json.dumps(after)}"
    if after is None:
        return f"has no longer {key} {json.dumps(before)}"
    return f"{key} {json.dumps(before)} becomes {json.dumps(after)}"
