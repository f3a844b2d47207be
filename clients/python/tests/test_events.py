"""The generated helpers: up to date, accepted by the models, and typed."""

import ast
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, get_type_hints

import generate
import pytest
from courier_client import events
from courier_client.encoding import encode

from courier.schemas.registry import default_registry
from tests.schemas.examples import EXAMPLES

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "clients" / "python" / "examples" / "every_event.py"
PROTOCOL = ROOT / "docs" / "protocol.md"

BASE = {"type", "source", "timestamp", "trace_id"}
HELPERS: dict[str, Callable[..., Any]] = {
    event_type: getattr(events, event_type.replace(".", "_")) for event_type in default_registry().models
}


def test_the_module_is_what_the_models_say() -> None:
    assert generate.TARGET.read_text(encoding="utf-8") == generate.render(), "run generate.py"


@pytest.mark.parametrize("event_type", HELPERS)
def test_what_a_helper_gives_is_a_valid_event_with_the_fields_that_it_was_given(event_type: str) -> None:
    fields = {name: value for name, value in EXAMPLES[event_type].items() if name not in BASE}
    hints = get_type_hints(HELPERS[event_type])
    given = {
        name: datetime.fromisoformat(value) if hints[name] is datetime else value
        for name, value in fields.items()
    }
    if event_type.startswith("prophet."):
        given["user_id"] = "u1"
    channel, kind, data = HELPERS[event_type](**given)
    assert kind == event_type
    assert channel == ("global" if event_type.startswith("system.") else "user.u1")
    event = default_registry().parse(encode(kind, "tests", data, None))
    expected = default_registry().parse(json.dumps(EXAMPLES[event_type]).encode())
    sent = {name: value for name, value in event if name in fields}
    assert sent == {name: value for name, value in expected if name in fields}


def test_what_is_not_given_stays_out_of_the_data() -> None:
    _, _, data = events.trade_order_placed(
        strategy_id="s",
        user_id="u",
        order_id="o",
        token="SOL",
        direction="buy",
        order_type="market",
        amount=1,
    )
    assert "signal_id" not in data
    assert "limit_price" not in data
    _, _, paused = events.strategy_paused(strategy_id="s", user_id="u")
    assert paused == {"strategy_id": "s", "user_id": "u"}


@pytest.mark.parametrize("event_type", HELPERS)
def test_by_place_a_helper_takes_its_fields_in_the_order_of_the_protocols_table(event_type: str) -> None:
    [row] = re.findall(rf"^\| `{re.escape(event_type)}` \| (.*) \|$", PROTOCOL.read_text(), re.MULTILINE)
    fields = list(dict.fromkeys(re.findall(r"`(\w+)(\??)`", re.sub(r"\(.*?\)", "", row))))
    told = [name for name, optional in fields if not optional] + [
        name for name, optional in fields if optional
    ]
    channels_own = ["user_id"] if event_type.startswith("prophet.") else []
    assert list(inspect.signature(HELPERS[event_type]).parameters) == channels_own + told


def test_an_event_may_be_given_by_place() -> None:
    assert events.backtest_started("b", "j", "u", {"n": 1}) == events.backtest_started(
        backtest_id="b", job_id="j", user_id="u", parameters={"n": 1}
    )


def test_the_example_uses_every_helper() -> None:
    tree = ast.parse(EXAMPLE.read_text(encoding="utf-8"))
    used = {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "events"
    }
    assert used == {helper.__name__ for helper in HELPERS.values()}


WRONG = """
from courier_client import CourierClient, events

events.backtest_progress(backtest_id="b", job_id="j", user_id="u", progres=0.5, stage="s", message="m")
events.backtest_progress(backtest_id="b", job_id="j", user_id="u", progress="half", stage="s", message="m")
events.system_announcement(title="t", message="m", severity="fatal")
events.system_maintenance(starts_at="2026-01-01T00:00:00Z", ends_at="2026-01-02T00:00:00Z", message="m")
events.strategy_paused(user_id="u")
events.backtest_started(backtest_id="b", job_id="j", user_id="u", parameters={})[2]["parametres"]


async def publish(courier: CourierClient) -> None:
    (await courier.publish(*events.system_announcement(title="t", message="m", severity="info"))).offset
"""


@pytest.mark.timeout(120)  # without a cache, on a busy machine
def test_mypy_passes_the_example_and_names_each_wrong_field(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text(WRONG)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--no-pretty"]
    command += [
        "--config-file=",
        f"--cache-dir={ROOT / '.mypy_cache' / 'examples'}",
        str(EXAMPLE),
        str(wrong),
    ]
    done = subprocess.run(command, cwd=EXAMPLE.parents[1], capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    errors = [line for line in lines if ": error: " in line]
    assert not [line for line in errors if "wrong.py" not in line], done.stdout
    assert {int(line.split(":")[1]) for line in errors} == {4, 5, 6, 7, 8, 9, 13}, done.stdout + done.stderr
