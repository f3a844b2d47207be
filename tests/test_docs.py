"""The documents say what the code does."""

import ast
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import TypeAdapter

from courier.floods import KEYS, WINDOW_SECONDS, allowance
from courier.logs import LEFT_OUT
from courier.schemas.closing import CloseReason
from courier.schemas.control import ControlMessage, Refresh
from courier.schemas.registry import default_registry
from courier.settings import Settings, describe, load_settings, variable
from courier.stderr import PATIENCE_MS
from courier.strays import strays

ROOT = Path(__file__).parent.parent
PROTOCOL = ROOT / "docs" / "protocol.md"
SKETCHES = ROOT / "docs" / "coming-from-the-sketches.md"
DOCUMENTS = sorted(
    {*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")}
    | {*ROOT.glob("clients/*/*.md"), *ROOT.glob("examples/*/*.md"), *ROOT.glob("benchmarks/*.md")}
)

BASE_FIELDS = {"type", "source", "timestamp", "trace_id"}

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+)$", re.MULTILINE)
_ELSEWHERE = re.compile(r"[a-z]+:")


def rows(heading: str, text: str | None = None) -> list[list[str]]:
    """The rows, cell by cell, of the table whose first column has this heading: in `docs/protocol.md`, or in
    another text."""
    lines = iter((text or PROTOCOL.read_text(encoding="utf-8")).splitlines())
    for line in lines:
        if line.startswith(f"| {heading} |"):
            next(lines)
            return list(_cells(lines))
    raise AssertionError(f"There is no table that begins with {heading!r}")


def _cells(lines: Iterator[str]) -> Iterator[list[str]]:
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def plain(cell: str) -> str:
    return cell.strip("`")


def anchors(document: Path) -> set[str]:
    """What GitHub calls the headings of a document in links."""
    headings = _HEADING.findall(_FENCE.sub("", document.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_close_code_table_is_the_one_in_the_code() -> None:
    told = [(int(code), plain(reason), come_back) for code, reason, come_back in rows("code")]
    assert told == [(each.code, each.reason, each.come_back.value) for each in CloseReason]


def test_each_message_of_couriers_own_is_shown_and_is_one_of_the_code() -> None:
    blocks = [text for _, text in _FENCE.findall(PROTOCOL.read_text(encoding="utf-8"))]
    shown = [text for text in blocks if text.startswith('{"type":"courier.')]
    adapter = TypeAdapter[ControlMessage | Refresh](ControlMessage | Refresh)
    models = {type(adapter.validate_json(text)) for text in shown}
    assert models == {*get_args(ControlMessage), Refresh}
    for text in shown:
        assert list(json.loads(text)) == list(type(adapter.validate_json(text)).model_fields)


def test_the_settings_table_names_each_setting_once() -> None:
    told = [plain(row[0]) for row in rows("variable")]
    assert told == [variable(field) for field in Settings.model_fields]


def test_the_settings_table_gives_the_default_of_each_setting() -> None:
    told = {plain(name): plain(default) for name, default, _ in rows("variable")}
    in_force = dict(describe(load_settings({})))
    in_force["COURIER_JWT_SECRET"] = "a known one"
    assert told == in_force


def test_the_events_table_names_each_type_once() -> None:
    told = [plain(row[0]) for row in rows("type")]
    assert sorted(told) == sorted(default_registry().types)


@pytest.mark.parametrize("event_type", sorted(default_registry().types))
def test_the_events_table_gives_the_fields_of_each_type(event_type: str) -> None:
    told = {plain(name): _CODE.findall(re.sub(r"\([^)]*\)", "", fields)) for name, fields in rows("type")}
    fields = default_registry().models[event_type].model_fields
    expected = {
        name if field.is_required() else f"{name}?"
        for name, field in fields.items()
        if name not in BASE_FIELDS
    }
    assert set(told[event_type]) == expected
    assert len(told[event_type]) == len(expected)


def test_every_guarantee_names_tests_that_there_are() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:clients/python/)?tests/[\w/]+\.py)::(\w+)`", text)
    assert len(named) > 20
    for path, test in named:
        assert re.search(rf"def {test}\(", (ROOT / path).read_text(encoding="utf-8")), f"{path}::{test}"


def test_each_sketched_setting_is_told_what_it_is_called_now() -> None:
    told = {plain(old): plain(new) for old, new in rows("sketched", SKETCHES.read_text(encoding="utf-8"))}
    assert len(told) > 5
    assert told == {old: sentence.split()[-1] for old in told for sentence in strays({old: "x"})}


def test_the_sketched_settings_are_those_of_a_node_after_their_diff() -> None:
    (block,) = (
        diff for diff in _FENCE.findall(SKETCHES.read_text(encoding="utf-8")) if "-ENVIRONMENT=" in diff[1]
    )
    after = dict(line[1:].split("=", 1) for line in block[1].splitlines() if not line.startswith("-"))
    settings = load_settings(after)
    assert (settings.env, settings.jwt_algorithms, settings.bind) == (
        "production",
        ("HS256",),
        "0.0.0.0:8766",
    )
    assert list(strays(after)) == []


def test_the_readme_begins_with_the_two_commands() -> None:
    blocks = [text.strip() for _, text in _FENCE.findall((ROOT / "README.md").read_text(encoding="utf-8"))]
    assert blocks[:2] == ["make demo", "make test"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_resolves(document: Path) -> None:
    text = _FENCE.sub("", document.read_text(encoding="utf-8"))
    broken = []
    for link in _LINK.findall(text):
        if _ELSEWHERE.match(link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


# docs/logs.md

LOGS = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")


def lines_in_the_code() -> set[tuple[str, str]]:
    """Each sentence that `logger.<level>` is given, and that level."""
    found: set[tuple[str, str]] = set()
    for path in (ROOT / "courier").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name("logger"), attr=level),
                    args=[ast.Constant(sentence), *_],
                ):
                    found.add((str(sentence), level))
                case ast.Call(func=ast.Attribute(value=ast.Name("logger"))):
                    raise AssertionError(f"{path.name}:{node.lineno}: the sentence of a line is a constant")
    return found


def test_the_table_of_lines_has_each_line_of_the_code_with_its_level() -> None:
    told = {(plain(row[0]), row[1]) for row in rows("line", LOGS)}
    assert told - {(LEFT_OUT, "any")} == lines_in_the_code()
    assert (LEFT_OUT, "any") in told
    assert len(told) == len(rows("line", LOGS))


def test_the_figures_of_floods_are_those_of_the_code() -> None:
    few, many = allowance(logging.INFO), allowance(logging.ERROR)
    text = " ".join(LOGS.split())
    assert f"windows of {WINDOW_SECONDS:g} seconds" in text
    assert f"The first {few} of a window are written (of errors {many})" in text
    rates = few / WINDOW_SECONDS, many / WINDOW_SECONDS
    assert "at most {:g} lines a second (of errors {:g})".format(*rates) in text
    assert f"At most {KEYS} sorts" in text
    assert f"An error may wait {PATIENCE_MS} ms" in text
