"""Kinds: what differs between the kinds of channels of two contracts, and what a name of each looks like."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from courier.schemas.channels import matches
from courier.schemas.contract.bundle import KINDS
from courier.schemas.contract.shapes import Schema

CHANNEL_PATTERN = "^(global"
"""How the pattern of a channel's name begins: it says what the kinds say, and is not compared by itself."""


class KindChange(NamedTuple):
    """One difference, and whether it breaks who publishes, and who subscribes."""

    where: str
    what: str
    publishers: bool = False
    subscribers: bool = False


def kind_changes(old: Schema, new: Schema, types: Iterable[str]) -> Iterator[KindChange]:
    """What differs; `types` are those of events that were there. Nothing where a contract is older than
    kinds."""
    if KINDS not in old or KINDS not in new:
        return
    before, after = _by_name(old), _by_name(new)
    for name in before.keys() - after.keys():
        yield KindChange(f"channels {name}", "the kind is gone", publishers=True, subscribers=True)
    for name in after.keys() - before.keys():
        yield KindChange(f"channels {name}", "the kind is new")
    for name in before.keys() & after.keys():
        yield from _compare(f"channels {name}", before[name], after[name], sorted(types))


def without_channels(schema: Any) -> Any:
    """The same without the patterns of channels' names."""
    if isinstance(schema, list):
        return [without_channels(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: without_channels(value)
        for key, value in schema.items()
        if not (key == "pattern" and isinstance(value, str) and value.startswith(CHANNEL_PATTERN))
    }


def _by_name(bundle: Schema) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in bundle[KINDS]}


def _compare(
    where: str, old: dict[str, Any], new: dict[str, Any], types: Iterable[str]
) -> Iterator[KindChange]:
    if old["segments"] != new["segments"]:
        what = f"an id has {new['segments']} segments, and had {old['segments']}"
        yield KindChange(where, what, publishers=True, subscribers=True)
    for each in types:
        took, takes = matches(each, old["events"]), matches(each, new["events"])
        if took and not takes:
            yield KindChange(
                where, f"{each} may not be published any more", publishers=True, subscribers=True
            )
        elif takes and not took:
            yield KindChange(where, f"{each} may be published")
    for each in old["publishers"]:
        if not _covered(each, new["publishers"]):
            yield KindChange(where, f"services {each} may not all publish any more", publishers=True)
    for each in new["publishers"]:
        if not _covered(each, old["publishers"]):
            yield KindChange(where, f"services {each} may publish")


def _covered(pattern: str, others: Iterable[str]) -> bool:
    """Whether all that a pattern is for, one of the others is for."""
    prefix = pattern.removesuffix("*")
    return any(
        each.endswith("*") and prefix.startswith(each[:-1])
        if pattern.endswith("*")
        else matches(pattern, [each])
        for each in others
    )
