"""A running server, asked whatever its own OpenAPI document allows, and much that it does not."""

import os
import re
import sys
from pathlib import Path

import pytest
import trio

from courier.schemas.registry import Registry, default_registry
from courier.web import application
from tests.web.servers import a_server, token

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

# One with each kind of field: all events together would take five times as long, and answer the same.
TYPES = ("backtest.failed", "trade.order_placed", "system.maintenance")


async def test_no_answer_is_5xx_undocumented_or_other_than_its_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of requests; the seed stands in schemathesis.toml."""
    registry = Registry(default_registry().models[each] for each in TYPES)
    monkeypatch.setattr(application, "registry_for", lambda modules: registry)
    async with a_server(log_level="error") as server:
        command = [sys.executable, "-m", "schemathesis.cli"]
        command += ["--config-file", str(HERE / "schemathesis.toml")]
        command += ["run", f"{server.url}/openapi.json", "--no-color"]
        command += ["--header", f"Authorization: Bearer {token('alice')}"]
        hooks = {"SCHEMATHESIS_HOOKS": "tests.contract.serializers", "PYTHONPATH": str(ROOT)}
        with trio.fail_after(50):
            told = await trio.run_process(
                command,
                cwd=tmp_path,  # where it keeps what it has found
                env=os.environ | hooks,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
        report = told.stdout.decode(errors="replace")
        assert told.returncode == 0, f"{report[:4000]}\n…\n{report[-1500:]}"
        [selected, total] = re.findall(r"(\d+) selected / (\d+) total", report)[0]
        assert int(selected) == int(total) >= 19  # all but the document that it has read
        live = await server.request("GET", "/health/live")
        assert live.status == 200
