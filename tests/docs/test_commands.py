"""Every command in the documents is one that works."""

import importlib.util
import re
import subprocess
from pathlib import Path

import click
import pytest

from courier.cli import main
from courier.schemas.contract import json_schema
from courier.schemas.registry import default_registry
from courier.settings import CLIENT_VARIABLES, Settings, variable
from courier.web.openapi import openapi
from tests.docs.snippets import SHELL, Snippet, courier_commands, shell_lines, snippets
from tests.test_docs import DOCUMENTS, ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PATHS = list(openapi(default_registry(), json_schema(default_registry()))["paths"])
# Programs whose arguments are checked here or elsewhere, and those that only an operator's machine can run,
# which tests/deploy checks as far as it can. A new program says here how it is checked.
CHECKED_HERE = {"courier", "make", "curl", "python"}
RUN_ELSEWHERE = {
    "hypercorn": "tests/system/test_master.py",
    "npm": "tools/dist.py",
    "pip": "tools/dist.py",
    "redis-cli": "tests/system/test_documented_redis.py",
    "smoke": "tests/deploy/test_runbook.py",
    "nox": "noxfile.py",
}
_OPERATORS = """
    awk break cat cd chown cp do docker done echo for gh grep install jq journalctl kubectl ln log ls metrics
    nginx openssl printf py-spy rm said sed sleep sort ss ssh sudo systemctl tail tar tee timeout until wc
"""
OF_THE_OPERATOR = set(_OPERATORS.split())
SHELL_SNIPPETS = snippets(*SHELL)


def name(snippet: object) -> str:
    return snippet.name if isinstance(snippet, Snippet) else str(snippet)


def programs(line: str) -> set[str]:
    """What a line starts, as far as its first word and those behind pipes and `&&` tell."""
    found = set()
    line = re.sub(r"'[^']*'|\"[^\"]*\"|\$\([^)]*\)", "x", line).partition(" #")[0]
    for part in re.split(r"\||&&|\|\||;", line):
        words = [word for word in part.split() if not re.match(r"[A-Z_]+=", word)]
        builtin = ("export", "set", "{", "}", ".", "(")
        if words and words[0] not in builtin and re.match(r"[\w./$-]+$", words[0]):
            found.add(re.sub(r"^python3?$", "python", words[0].rpartition("/")[2]))
    return found


@pytest.mark.parametrize("snippet", SHELL_SNIPPETS, ids=name)
def test_each_block_of_shell_can_be_parsed_and_starts_known_programs(snippet: Snippet) -> None:
    done = subprocess.run(["bash", "-n"], input=snippet.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    known = CHECKED_HERE | set(RUN_ELSEWHERE) | OF_THE_OPERATOR
    unknown = {
        program for line in shell_lines(snippet) for program in programs(line) if program not in known | {""}
    }
    assert unknown == set()


def parse(arguments: list[str], folder: Path) -> None:
    """Parse as `courier` does, files included; click.ClickException when it would refuse."""
    for word in arguments:
        if re.fullmatch(r"[\w./-]+\.(json|ndjson)", word):
            (folder / word).parent.mkdir(parents=True, exist_ok=True)
            (folder / word).write_text("{}", encoding="utf-8")
    command: click.Command = main
    parent: click.Context | None = None
    rest, said = arguments, "courier"
    while isinstance(command, click.Group):
        if rest == ["--version"]:
            return
        context = command.make_context(said, list(rest), parent=parent)
        found, subcommand, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        assert subcommand is not None
        command, parent, said = subcommand, context, found
    with command.make_context(said, list(rest), parent=parent):
        pass  # which closes the files that it has opened


@pytest.mark.parametrize("snippet", [each for each in SHELL_SNIPPETS if courier_commands(each)], ids=name)
def test_each_courier_command_has_arguments_that_it_takes(
    snippet: Snippet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for each in ("COURIER_TOKEN", "COURIER_ADMIN_TOKEN"):
        monkeypatch.setenv(each, "a.b.c")
    for arguments in courier_commands(snippet):
        parse(arguments, tmp_path)


def test_a_wrong_option_would_be_found(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError):
        parse(["history", "user.alice", "--newest"], tmp_path)


def test_each_make_command_is_a_target_of_the_makefile() -> None:
    targets = set(re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE))
    variables = set(re.findall(r"^(\w+) \?=", MAKEFILE, re.MULTILINE))
    written = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS if path.name != "CHANGELOG.md")
    found = re.findall(r"(?:^|`)make ((?:[\w./-]+(?:=\S+?)? ?)+)(?=`|$|\s)", written, re.MULTILINE)
    assert len(found) > 20
    for command in found:
        for word in command.split():
            if "=" in word:
                assert word.partition("=")[0] in variables, command
            else:
                assert word in targets or word.startswith(".venv/"), command


def test_each_python_module_that_is_run_is_there() -> None:
    written = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    modules = set(re.findall(r"python3? -m ((?:benchmarks|tests|tools|examples|courier)(?:\.\w+)*)", written))
    assert len(modules) > 4
    assert [module for module in modules if importlib.util.find_spec(module) is None] == []


def test_each_address_of_a_node_is_one_that_it_answers() -> None:
    forms = [re.sub(r"\{\w+\}", "[^/?]+", path) for path in PATHS]
    pattern = re.compile("|".join([*forms, "/docs", "/admin", "/ws", "/ws/[^/?]+", "/events(/[^/?]+)?"]))
    found = {
        path
        for snippet in SHELL_SNIPPETS
        for path in re.findall(r"(?:127\.0\.0\.1:\d+|\$NODE|\$\w+_URL)(/[\w./$-]+)", snippet.text)
    }
    assert len(found) > 5
    assert [path for path in found if not pattern.fullmatch(path)] == []


def test_each_setting_in_the_documents_is_one() -> None:
    settings = {variable(field) for field in Settings.model_fields} | CLIENT_VARIABLES
    ours = {"COURIER_TEST_DESK", "COURIER_SEEDS", "COURIER_CLIENTS", "COURIER_CASES", "COURIER_BIN"}
    prefixes = {"COURIER_JWT", "COURIER_HISTORY", "COURIER_DRAIN"}
    for path in DOCUMENTS:
        if path.name == "coming-from-the-sketches.md":
            continue
        named = set(re.findall(r"COURIER_[A-Z_]*[A-Z]", path.read_text(encoding="utf-8")))
        assert named <= settings | ours | prefixes, path.name
