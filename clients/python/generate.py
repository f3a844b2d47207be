"""Writes courier_client/events.py from Courier's models: `python clients/python/generate.py`, or `make
clients`."""

import subprocess
import sys
from pathlib import Path

from courier.schemas.contract.python import Field, Where, python
from courier.schemas.registry import default_registry

TARGET = Path(__file__).parent / "courier_client" / "events.py"

HEADER = '''"""Events: for each type the shape of its data, and a helper that gives what `publish` takes.

    await courier.publish(*events.system_announcement(title="…", message="…", severity="info"))

By place, a helper takes an event's fields in the order of docs/protocol.md.

Generated from Courier's models by generate.py: do not edit.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict
'''


def users_channel(event_type: str, fields: list[Field]) -> Where:
    """Where an event goes: one of the system to all, any other to its user."""
    if event_type.startswith("system."):
        return '"global"', []
    named = any(one.name == "user_id" for one in fields)
    return 'f"user.{user_id}"', [] if named else ["user_id: str"]


def render() -> str:
    """The module, formatted."""
    module = python(default_registry().models, users_channel, first="backtest_id", header=HEADER)
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(TARGET), "-"]
    done = subprocess.run(command, input=module, capture_output=True, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
