"""The runbook: each alert has its section, each setting is one, and each file is there."""

import re
import subprocess
from functools import partial

import trio

from courier.settings import CLIENT_VARIABLES
from tests.backplane.documented_redis import block
from tests.deploy.files import ROOT, SETTINGS, read_yaml
from tests.system.processes import BIN
from tests.web.servers import SECRET, a_server

RUNBOOK = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^### (Courier\w+)$", RUNBOOK, re.MULTILINE)


def test_each_alert_has_a_section_where_it_says_and_each_section_an_alert() -> None:
    rules = [rule for group in read_yaml("prometheus/alerts.yml")["groups"] for rule in group["rules"]]
    assert sorted(rule["alert"] for rule in rules) == sorted(SECTIONS)
    for rule in rules:
        assert rule["annotations"]["runbook"].endswith(f"docs/operations.md#{rule['alert'].lower()}")


def test_each_setting_in_it_is_one() -> None:
    named = set(re.findall(r"COURIER_[A-Z_]+", RUNBOOK))
    assert len(named) > 15
    assert named <= SETTINGS | CLIENT_VARIABLES


def test_each_file_in_it_is_there() -> None:
    named = set(re.findall(r"deploy/[\w./@-]+\w", RUNBOOK)) - {"deploy/.env", "deploy/prometheus/alerts.yml"}
    assert len(named) > 8
    assert [name for name in named if not (ROOT / name).exists()] == []


async def test_the_check_after_a_deploy_passes_on_a_node_that_is_well() -> None:
    commands = "".join(line for line in block("courier --version").splitlines(True) if "said" not in line)
    commands = commands.replace("timeout 3 ", "timeout 8 ")  # a busy machine starts it later
    async with a_server() as server:
        done = await trio.to_thread.run_sync(
            partial(
                subprocess.run,
                ["sh", "-uc", commands],
                env={
                    "PATH": f"{BIN}:/usr/bin:/bin",
                    "NODE": f"http://127.0.0.1:{server.port}",
                    "COURIER_JWT_SECRET": SECRET,
                },
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
        )
    history, _, followed = done.stdout.rstrip().rpartition("}")
    assert '"title":"second"' in history
    assert followed.rstrip().endswith("title=second  message=m  severity=info")
    assert done.stderr == "", "no gap among it"
