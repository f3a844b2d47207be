"""`make doctor` says what is missing, and what to do."""

import re

import pytest

from tests.test_docs import ROOT
from tools.doctor import NEEDS, Need, fault

NODE = next(need for need in NEEDS if need.program == "node")


def there(program: str) -> str:
    return f"/usr/bin/{program}"


def test_a_program_that_is_missing_is_named_with_the_package_to_install() -> None:
    sentence = fault(NODE, where=lambda program: None)
    assert sentence == "node is missing: apt-get install nodejs"


@pytest.mark.parametrize(
    ("says", "sentence"),
    [
        ("v20.20.2", None),
        ("v22.0.0", None),
        ("v18.19.1", "node is 18.19.1: it must be 20 or newer"),
        ("Segmentation fault", "node is a version that it does not say: it must be 20 or newer"),
    ],
)
def test_a_program_that_is_too_old_is_named_with_both_versions(says: str, sentence: str | None) -> None:
    assert fault(NODE, where=there, says=lambda command: says) == sentence


def test_the_version_of_redis_is_found_in_its_sentence() -> None:
    redis = next(need for need in NEEDS if need.program == "redis-server")
    for says, fits in (
        ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64", True),
        ("Redis server v=6.0.16 sha=00000000:0", False),
    ):
        assert (fault(redis, where=there, says=lambda command, says=says: says) is None) == fits  # type: ignore[misc]


def test_the_makefile_asks_for_programs_that_the_doctor_knows() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    asked = {name for line in re.findall(r"PROGRAMS := (.+)", makefile) for name in line.split()}
    assert asked <= {need.program for need in NEEDS}
    assert all(isinstance(need, Need) for need in NEEDS)
