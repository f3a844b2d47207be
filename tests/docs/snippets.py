"""Snippets: the fenced blocks of all documents, and the commands in them."""

import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from courier.cli import main
from tests.test_docs import DOCUMENTS, ROOT

GIVEN = {"$NODE": "http://127.0.0.1:8766", "$FIRST": "k3v9x0qa-42"}
"""What the variables of the documents hold."""
SHELL = {"console", "sh", "bash", "shell"}
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_COMMANDS = "|".join([*main.commands, "--version"])
_COURIER = re.compile(
    rf"(?:^|(?<=[\s(;|!]))(?:[\w./$]*/)?courier (?=(?:{_COMMANDS})\b)([^|;&#)\n]*)", re.MULTILINE
)
_HISTORICAL = {"CHANGELOG.md"}


class Snippet(NamedTuple):
    """One fenced block."""

    document: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def snippets(*languages: str) -> list[Snippet]:
    """The blocks of these languages, in all documents."""
    return [each for each in _all() if each.language in languages]


def _all() -> Iterator[Snippet]:
    for document in DOCUMENTS:
        if document.name in _HISTORICAL:
            continue
        text = document.read_text(encoding="utf-8")
        for block in _FENCE.finditer(text):
            line = text.count("\n", 0, block.start()) + 1
            yield Snippet(document, line, block["language"], textwrap.dedent(block["text"]))


def shell_lines(snippet: Snippet) -> list[str]:
    """Its lines of shell, with those joined that a backslash or an open quote continues."""
    lines: list[str] = []
    pending = ""
    for line in re.sub(r"\\\n\s*", " ", snippet.text).splitlines():
        pending = f"{pending}\n{line}" if pending else line
        if pending.count("'") % 2 == 0:
            lines.append(pending.strip())
            pending = ""
    return [line for line in lines if line and not line.startswith("#")]


def courier_commands(snippet: Snippet) -> list[list[str]]:
    """The arguments of each `courier` in it, without what redirects its output."""
    joined = re.sub(r"\\\n\s*", " ", snippet.text)
    found = []
    for said in _COURIER.findall(joined):
        words = shlex.split(said.replace("OLD NEW", "old.json new.json"))
        end = next((place for place, word in enumerate(words) if word.startswith((">", "<"))), len(words))
        found.append([GIVEN.get(word, word) for word in words[:end]])
    return found
