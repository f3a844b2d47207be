"""The README's programs run."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from nodes import Node, node, token

README = Path(__file__).parents[1] / "README.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
LINES = 5


@pytest.fixture(scope="module")
def open_node() -> Iterator[Node]:
    with node() as self:
        yield self


def test_publishing_and_subscribing_take_five_lines_each() -> None:
    for program in PROGRAMS[:2]:
        lines = [line for line in program.splitlines() if line and "import" not in line]
        assert len(lines) <= LINES


def run(program: str, at: Node, *, until: str) -> str:
    """What a program prints, until it ends or has printed so."""
    program = program.replace("http://127.0.0.1:8766", at.url).replace("<a user's token>", token("alice"))
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    said = ""
    with process:
        for line in process.stdout:
            said += line
            if until in line:
                process.kill()
    assert until in said, said
    return said


def test_the_programs_do_what_they_say(open_node: Node) -> None:
    publish, subscribe, script, *functions = PROGRAMS
    run(publish, open_node, until="Receipt({")
    run(subscribe, open_node, until="'title': 'News'")
    run(script, open_node, until="'event_type': 'strategy.paused'")
    for program in functions:
        compile(program, "README.md", "exec")
