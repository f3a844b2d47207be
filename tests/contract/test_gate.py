"""The gate: what this version takes and gives, beside the last release's contract in `docs/contract`."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from courier.schemas.contract import compare, report
from courier.schemas.contract.shapes import Schema
from courier.version import VERSION

RELEASES = Path(__file__).parent.parent.parent / "docs" / "contract"

HOW_TO_GO_ON = """
This breaks who relies on {name}:

{report}
If it is meant: raise the version in pyproject.toml (the first number, or the second while the first is 0),
install it, keep the new contract, and tell of the break in CHANGELOG.md:

    courier contract json-schema > docs/contract/<version>.json
"""


def version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def releases() -> list[Path]:
    """The contracts that are kept, oldest first."""
    found = [path for path in RELEASES.glob("*.json") if re.fullmatch(r"\d+\.\d+\.\d+", path.stem)]
    return sorted(found, key=lambda path: version(path.stem))


def read(path: Path) -> Schema:
    found: Schema = json.loads(path.read_text(encoding="utf-8"))
    return found


def may_break(old: str, new: str) -> bool:
    """Whether such a step may break somebody (Semantic Versioning 2.0.0, 4 and 8)."""
    one, other = version(old), version(new)
    return one[0] != other[0] or (one[0] == 0 and one[1] != other[1])


def test_nothing_breaks_who_relies_on_the_last_release(bundle: Schema) -> None:
    last = releases()[-1]
    changes = compare(read(last), bundle)
    if any(change.breaks for change in changes):
        pytest.fail(HOW_TO_GO_ON.format(name=last.name, report=report(changes)), pytrace=False)
    assert version(last.stem) <= version(VERSION), "a contract of a version that is still to come"


def test_only_a_release_whose_number_says_so_breaks_the_one_before() -> None:
    for old, new in pairwise(releases()):
        if any(change.breaks for change in compare(read(old), read(new))):
            assert may_break(old.stem, new.stem), f"{new.name} breaks who relies on {old.name}"


def test_each_contract_that_is_kept_says_which_release_it_is() -> None:
    for path in releases():
        assert read(path)["$id"] == f"urn:courier:contract:{path.stem}"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("0.1.0", "0.1.1", False),
        ("0.1.9", "0.2.0", True),
        ("1.2.0", "1.3.0", False),
        ("1.9.0", "2.0.0", True),
    ],
)
def test_which_numbers_may_break(old: str, new: str, expected: bool) -> None:
    assert may_break(old, new) is expected
