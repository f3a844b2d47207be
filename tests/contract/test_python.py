"""`courier contract python`: typed helpers for anybody's events."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest

from courier.schemas import Event, Registry, registry_for
from courier.schemas.contract import python


def module(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    exec(compile(text, "events.py", "exec"), found)
    return found


class Given(Event):
    """A "gift" for \\ somebody."""

    type: Literal["acme.given", "acme_given", "class"]
    user_id: str
    data: str
    at: int = 7


@pytest.mark.parametrize("modules", [["courier.lumiere"], ["tests.contract.acme"], ["tests.acme"]])
def test_a_strict_type_checker_takes_it(modules: list[str], tmp_path: Path) -> None:
    file = tmp_path / "events.py"
    file.write_text(python(registry_for(modules).models), encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file=", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_what_a_helper_gives_is_the_event_and_goes_where_it_says() -> None:
    registry = registry_for(["tests.acme"])
    helpers = module(python(registry.models))
    channel, event_type, data = helpers["acme_order_shipped"]("order.7", order_id="7")
    assert channel == "order.7"
    event = registry.parse(json.dumps({"type": event_type, "source": "shop", **data}).encode())
    assert json.loads(registry.encode(event))["order_id"] == "7"
    assert helpers["system_announcement"]("t", "m", "info")[0] == "global"


def test_names_that_python_has_for_itself_or_that_are_there_twice_are_others() -> None:
    helpers = module(python(Registry([Given]).models))
    for name, event_type in (
        ("acme_given", "acme.given"),
        ("acme_given_", "acme_given"),
        ("class_", "class"),
    ):
        said = helpers[name]("alice", data_="x")
        assert said == ("user.alice", event_type, {"user_id": "alice", "data": "x"})
        assert helpers[name]("alice", "x", at=8)[2]["at"] == 8
