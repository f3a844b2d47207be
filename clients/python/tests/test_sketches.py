"""What docs/coming-from-the-sketches.md says of Python, run against a node."""

import logging
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from courier_client import CourierClient, Receipt
from nodes import Node, node
from test_readme import run
from usual import client, read, told

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[3] / "docs" / "coming-from-the-sketches.md").read_text(encoding="utf-8")
PYTHON = PAGE[PAGE.index("## Python") : PAGE.index("## TypeScript")]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
AFTER = [
    "\n".join(line[1:] for line in text.splitlines() if not line.startswith("-"))
    for language, text in BLOCK.findall(PYTHON)
    if language == "diff"
]
NEEDED = {"channel": "global", "event_type": "system.announcement"}


@pytest.fixture
def anyio_backend() -> str:
    """The sketches are for asyncio."""
    return "asyncio"


@pytest.fixture(scope="module")
def open_node() -> Iterator[Node]:
    with node() as self:
        yield self


async def do(snippet: str, courier: CourierClient, **names: Any) -> dict[str, Any]:
    """Runs a snippet as the body of a function; its names at the end."""
    program = "async def body():\n" + textwrap.indent(f"{snippet}\nreturn locals()", "    ")
    names |= {"courier": courier, "log": logging.getLogger("sketches")}
    exec(program, names)  # the page is ours
    result: dict[str, Any] = await names["body"]()
    return result


def test_the_program_runs_as_it_was_sketched(open_node: Node) -> None:
    (program,) = (text for language, text in BLOCK.findall(PYTHON) if language == "python")
    said = run(program, open_node, until='"event_type": "backtest.started"')
    assert said.startswith("0 published {")


async def test_each_diff_leads_to_code_that_publishes(open_node: Node) -> None:
    package, errors, repeats, many = AFTER
    async with client(open_node.url) as courier:
        before = await courier.publish(*told("before"))
        assert (await do(package, courier))["CourierClient"] is CourierClient
        await do(errors, courier, **NEEDED, data=told("one")[2])
        await do(repeats, courier, **NEEDED, data=told("two")[2])
        events = [told(str(number)) for number in range(3)]
        receipts: list[Receipt] = (await do(many, courier, many=events))["receipts"]
        assert [receipt["status"] for receipt in receipts] == ["published"] * 3
        assert await read(courier, "global", before.position, 5) == ["one", "two", "0", "1", "2"]


async def test_the_errors_of_the_diff_are_those_that_come(
    open_node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    _, errors, *_ = AFTER
    async with client(open_node.url) as courier:
        await do(errors, courier, **NEEDED, data={"title": "no message"})
    async with client("http://127.0.0.1:9", timeout=0.2) as courier:
        await do(errors, courier, **NEEDED, data=told("never")[2])
    refused, late = [record.getMessage() for record in caplog.records if record.name == "sketches"]
    assert refused.startswith("400 ")
    assert "message" in refused
    assert late.endswith("(it may be published all the same: False)")
