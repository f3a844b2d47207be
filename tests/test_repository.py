"""What is around the code: addresses, versions and names that stand in several files agree."""

import json
import re
import subprocess
import tomllib

import pytest
import yaml

from tests.test_docs import ROOT
from tools.tag import main as tag
from tools.tag import versions

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY: str = PROJECT["urls"]["Repository"]


def tracked(*patterns: str) -> list[str]:
    command = ["git", "ls-files", *patterns]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("This is no checkout of git")
    return done.stdout.split()


def test_every_address_of_the_project_is_the_one_in_pyproject() -> None:
    owner = REPOSITORY.split("/")[-2]
    assert all(owner in url for url in PROJECT["urls"].values())
    files = [
        *tracked(".github", "*.md", "*.cff", "clients/*/pyproject.toml", "clients/typescript/package.json")
    ]
    found = {
        address
        for file in files
        for address in re.findall(
            r"https://github\.com/[\w-]+/courier\b", (ROOT / file).read_text(encoding="utf-8")
        )
    }
    assert found == {REPOSITORY}


def test_all_packages_have_one_version_and_a_release_has_its_tag() -> None:
    [version] = set(versions().values())
    tag(f"v{version}")
    with pytest.raises(SystemExit, match=r"pyproject\.toml says"):
        tag("v99.0.0")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == version


def test_the_pages_of_packages_lead_to_the_repository() -> None:
    client = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert client["urls"] == PROJECT["urls"]
    npm = json.loads((ROOT / "clients/typescript/package.json").read_text(encoding="utf-8"))
    assert npm["repository"]["url"] == f"git+{REPOSITORY}.git"


def test_actions_are_pinned_by_their_hash_and_each_by_one() -> None:
    used: dict[str, set[str]] = {}
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        for action, ref in re.findall(r"uses: ([\w./-]+)@(\S+)", path.read_text(encoding="utf-8")):
            used.setdefault(action, set()).add(ref)
    assert len(used) > 5
    assert {action: refs for action, refs in used.items() if len(refs) != 1} == {}
    assert all(re.fullmatch(r"[0-9a-f]{40}", ref) for refs in used.values() for ref in refs)


def test_what_ci_runs_is_a_target_of_the_makefile() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        for target in re.findall(r"run: make ([\w-]+)", path.read_text(encoding="utf-8")):
            assert target in targets


def test_the_versions_of_python_are_the_same_everywhere() -> None:
    classifiers = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == classifiers
    noxfile = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    assert re.findall(r'"(3\.\d+)"', noxfile.partition("PYTHONS = ")[2].partition("\n")[0]) == classifiers
