"""Exact: what a JSON text says that its readers get in different ways, so that nobody can promise to keep it.

That is a key that an object has twice (RFC 8259, 4), a whole number that a 64-bit float rounds, and a number
that is not finite (RFC 8259, 6).
"""

import json
from collections.abc import Iterable
from math import isfinite
from typing import Any, NamedTuple

from jiter import from_json

Path = tuple[str | int, ...]


class Loss(NamedTuple):
    """One thing that would be lost: where it is, and what is wrong with it, as pydantic would say it."""

    loc: Path
    type: str
    msg: str


_DUPLICATE = ("duplicate_key", "Key should be in its object only once")
_INEXACT = (
    "inexact_number",
    "Input should be a number that a 64-bit float holds exactly; an exact one can be sent as text",
)
_NOT_FINITE = ("finite_number", "Input should be a finite number")

_ALL_FIT = 2**53
"""Every whole number up to here is a double."""
_MOST_DIGITS = 309
"""The largest double has so many."""


def is_exact(body: bytes) -> bool:
    """Whether nothing of a JSON text would be lost; when this says no, `losses` says what."""
    try:
        value = from_json(body, catch_duplicate_keys=True, cache_mode="keys")
    except ValueError:
        return False
    return _are_exact((value,))


def _are_exact(values: Iterable[Any]) -> bool:
    for value in values:
        kind = value.__class__
        if kind is str:
            continue
        if kind is dict:
            if not _are_exact(value.values()):
                return False
        elif kind is float:
            if not isfinite(value):
                return False
        elif kind is int:
            if not (-_ALL_FIT <= value <= _ALL_FIT or _fits(value)):
                return False
        elif kind is list and not _are_exact(value):
            return False
    return True


class Members(list[tuple[str, Any]]):
    """An object as it was written: every key, in order."""


def tree(body: bytes) -> Any:
    """What a JSON text says, for `losses`: objects are `Members`, whole numbers are only judged."""
    return json.loads(body.decode(), object_pairs_hook=Members, parse_int=_whole)


def losses(value: Any, most: int) -> list[Loss]:
    """What would be lost of a `tree`, in the order of the text; the first `most`."""
    found: list[Loss] = []
    path: list[str | int] = []

    def look(value: Any) -> None:
        if value is _ROUNDED:
            found.append(Loss(tuple(path), *_INEXACT))
        elif isinstance(value, float):
            if not isfinite(value):
                found.append(Loss(tuple(path), *_NOT_FINITE))
        else:
            look_into(value if isinstance(value, Members) else enumerate(value))

    def look_into(items: Iterable[tuple[str | int, Any]]) -> None:
        seen = set[str | int]()
        for key, item in items:
            if len(found) >= most:
                return
            path.append(key)
            if key in seen:
                found.append(Loss(tuple(path), *_DUPLICATE))
            seen.add(key)
            if item and item.__class__ in _LOOKED_AT:
                look(item)
            path.pop()

    look(value)
    return found[:most]


class _Rounded:
    """A whole number that is not exact."""


_ROUNDED = _Rounded()
_LOOKED_AT = frozenset({Members, list, float, _Rounded})


def _whole(text: str) -> _Rounded | None:
    return None if len(text.lstrip("-")) <= _MOST_DIGITS and _fits(int(text)) else _ROUNDED


def _fits(value: int) -> bool:
    try:
        return int(float(value)) == value
    except OverflowError:
        return False
