"""Changes: what differs between two contracts, and whom it breaks.

What a service sends is judged by the new contract, so that it must go on taking all that the old one took.
Who reads was written for the old one, so that nothing may come that this did not allow. The same narrowing
breaks the one and is safe for the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Literal, NamedTuple

from courier.schemas.contract.allowed import (
    allowed,
    by_type,
    kind,
    name_of,
    options,
    resolved,
    target,
    type_of,
)
from courier.schemas.contract.bundle import (
    CLOSE_REASON,
    CONNECTION,
    CONTROL,
    DELIVERED,
    HISTORY,
    PUBLISHED,
    SAID,
)
from courier.schemas.contract.kinds import kind_changes, without_channels
from courier.schemas.contract.rules import WALKED, Effect, Found, defaults, ranges, rule, values
from courier.schemas.contract.shapes import Schema, references

Audience = Literal["publishers", "subscribers"]


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One difference: where, what, and whom it breaks; nobody, when it is safe."""

    where: str
    what: str
    breaks: tuple[Audience, ...] = ()

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


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
    _Side(CONNECTION, "subscribers", written=False, growing=True),
    _Side(SAID, "subscribers", written=True, growing=True),
    _Side(CLOSE_REASON, "subscribers", written=False),
    _Side(HISTORY, "subscribers", written=False),
)

_NAMES = frozenset(side.name for side in _SIDES)

REQUIRED = _NAMES - {CONNECTION, SAID}
"""What every contract has; the others came later."""


def compare(old: Schema, new: Schema) -> list[Change]:
    """What differs between two documents of `json_schema`; sorted, what breaks somebody first.

    Descriptions and examples are no difference. Raises ValueError when one is no such document.
    """
    before, after = _defined(old), _defined(new)
    breaks: dict[tuple[str, str], set[Audience]] = {}
    for each in kind_changes(old, new, by_type(before, before[PUBLISHED])):
        audiences: tuple[tuple[Audience, bool], ...] = (
            ("publishers", each.publishers),
            ("subscribers", each.subscribers),
        )
        breaks[each.where, each.what] = {audience for audience, broken in audiences if broken}
    before, after = without_channels(before), without_channels(after)
    for side in _SIDES:
        if side.name not in before and side.name not in REQUIRED:
            continue  # an older contract, in which there was no such thing to rely on
        judge = _Judge(before, after, side)
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
    """The schemas by name; ValueError when those that are looked for are not there."""
    schemas = bundle.get("$defs") if isinstance(bundle, dict) else None
    if (
        not isinstance(schemas, dict)
        or any(not isinstance(schemas.get(side.name), dict) for side in _SIDES if side.name in REQUIRED)
        or any("oneOf" not in schemas.get(side.name, {"oneOf": []}) for side in _SIDES if side.growing)
        or not schemas.keys() >= set(references(schemas))
    ):
        raise ValueError("expected what `courier contract json-schema` prints")
    return schemas


class _Judge:
    """Walks two schemas side by side."""

    def __init__(self, old: dict[str, Schema], new: dict[str, Schema], side: _Side) -> None:
        self._old = old
        self._new = new
        self._side = side
        self._begun: set[tuple[str, str]] = set()

    def differences(self) -> Iterator[Found]:
        old, new = self._old[self._side.name], self._new[self._side.name]
        if not self._side.growing:
            yield from self._compare(type_of(old) or self._side.name, old, new)
            return
        before, after = by_type(self._old, old), by_type(self._new, new)
        for name in before.keys() - after.keys():
            yield Found(name, "the type is gone", Effect.CHANGED)
        for name in after.keys() - before.keys():
            yield Found(name, "the type is new", Effect.NONE)
        for name in before.keys() & after.keys():
            if before[name] != after[name] or next(references(before[name]), None):
                yield from self._compare(name, before[name], after[name])

    def breaks(self, found: Found) -> bool:
        if found.effect is Effect.CHANGED:
            return True
        return found.effect is (Effect.NARROWED if self._side.written else Effect.WIDENED)

    def _compare(self, where: str, old: Any, new: Any) -> Iterator[Found]:
        names = target(old), target(new)
        if names in self._begun or (names[0] == names[1] and names[0] in _NAMES):  # told under its own name
            return
        if any(names):
            self._begun.add(names)
        try:
            yield from self._compare_resolved(where, resolved(old, self._old), resolved(new, self._new))
        finally:
            self._begun.discard(names)

    def _compare_resolved(self, where: str, old: Schema, new: Schema) -> Iterator[Found]:
        if allowed(old, self._old) == allowed(new, self._new):
            yield from defaults(where, old, new)
            return
        before, after = options(old, self._old), options(new, self._new)
        if before is None or after is None:  # one of them allows anything
            effect = Effect.NARROWED if before is None else Effect.WIDENED
            yield Found(where, f"{name_of(old)} becomes {name_of(new)}", effect)
            return
        if len(before) == len(after) == 1:
            yield from self._compare_one(where, before[0], after[0])
        else:
            yield from self._compare_many(where, before, after)
        yield from defaults(where, old, new)

    def _compare_many(self, where: str, before: list[Schema], after: list[Schema]) -> Iterator[Found]:
        """Two unions: what is in both is paired off, then what is of one type; the rest came or went."""
        gone, came = list(before), []
        for option in after:
            told = allowed(option, self._new)
            same = next((each for each in gone if allowed(each, self._old) == told), None)
            if same is None:
                came.append(option)
            else:
                gone.remove(same)
        for option in list(came):
            like = next((each for each in gone if kind(each) == kind(option)), None)
            if like is not None:
                gone.remove(like)
                came.remove(option)
                yield from self._compare_one(where, like, option)
        for old, new in zip_longest(gone, came):
            if new is None:
                yield Found(where, f"may no longer be {name_of(old)}", Effect.NARROWED)
            elif old is None:
                yield Found(where, f"may also be {name_of(new)}", Effect.WIDENED)
            else:
                yield Found(where, f"{name_of(old)} becomes {name_of(new)}", Effect.CHANGED)

    def _compare_one(self, where: str, old: Schema, new: Schema) -> Iterator[Found]:
        kinds = old.get("type"), new.get("type")
        if kinds[0] != kinds[1]:
            effect = {
                ("integer", "number"): Effect.WIDENED,
                ("number", "integer"): Effect.NARROWED,
            }.get(kinds, Effect.CHANGED)  # type: ignore[arg-type]
            yield Found(where, f"{name_of(old)} becomes {name_of(new)}", effect)
            if effect is Effect.CHANGED:
                return
        yield from values(where, old, new)
        yield from ranges(where, old, new)
        for key in sorted((old.keys() | new.keys()) - WALKED):
            yield from rule(where, key, old.get(key), new.get(key))
        yield from self._fields(where, old, new)
        yield from self._items(where, old, new)

    def _fields(self, where: str, old: Schema, new: Schema) -> Iterator[Found]:
        before, after = old.get("properties", {}), new.get("properties", {})
        required = set(old.get("required", ())), set(new.get("required", ()))
        for name in sorted(before.keys() - after.keys()):
            yield Found(f"{where}.{name}", "the field is gone", Effect.CHANGED)
        for name in sorted(after.keys() - before.keys()):
            # Who reads need not care whether it always comes.
            needed = name in required[1] and self._side.written
            effect = Effect.NARROWED if needed else Effect.NONE
            yield Found(f"{where}.{name}", f"a new field{', required' if needed else ''}", effect)
        for name in sorted(before.keys() & after.keys()):
            inside = f"{where}.{name}"
            if (name in required[0]) != (name in required[1]):
                needed = name in required[1]
                what = "may no longer be left out" if needed else "may be left out"
                yield Found(inside, what, Effect.NARROWED if needed else Effect.WIDENED)
            yield from self._compare(inside, before[name], after[name])
        for key in ("additionalProperties", "patternProperties", "propertyNames"):
            yield from self._others(where, key, old.get(key), new.get(key))

    def _others(self, where: str, key: str, old: Any, new: Any) -> Iterator[Found]:
        """Fields without a name of their own: all are allowed unless the schema says otherwise."""
        old, new = (True if each in (None, {}) else each for each in (old, new))
        if old == new:
            return
        if key == "patternProperties" and isinstance(old, dict) and isinstance(new, dict):
            yield Found(where, f"its {key} changed", Effect.CHANGED)
        elif isinstance(old, dict) and isinstance(new, dict):
            yield from self._compare(f"{where}.*", old, new)
        elif new is False or old is True:
            # Who reads has been told that more fields may come; that none will is no surprise.
            yield Found(where, "takes fewer other fields", Effect.NARROWED)
        else:
            effect = Effect.WIDENED if isinstance(old, dict) else Effect.NONE
            yield Found(where, "takes more other fields", effect)

    def _items(self, where: str, old: Schema, new: Schema) -> Iterator[Found]:
        before, after = old.get("prefixItems", []), new.get("prefixItems", [])
        if len(before) != len(after):
            yield Found(where, f"{len(before)} places become {len(after)}", Effect.CHANGED)
            return
        for place, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from self._compare(f"{where}[{place}]", one, other)
        if old.get("items", True) != new.get("items", True) or target(old.get("items")):
            yield from self._compare(f"{where}[]", old.get("items", True), new.get("items", True))
