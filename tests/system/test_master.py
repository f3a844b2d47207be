"""Hypercorn's master ends with an exit code that is true, and leaves no worker behind."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
import trio

from tests.system.processes import BIN, COMMANDS, ROOT, NodeProcess, a_free_port, a_node, environment

pytestmark = pytest.mark.system

WITH_MASTER = [COMMANDS["hypercorn"], COMMANDS["hypercorn -k trio"]]


def worker_of(node: NodeProcess) -> int:
    """The process that serves, which the master has spawned beside its resource tracker."""
    pid = node.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    [worker] = [
        int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    return worker


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
async def test_a_node_that_refuses_to_start_exits_with_a_failure(command: list[str]) -> None:
    program, *arguments = (part.format(bind=f"127.0.0.1:{a_free_port()}") for part in command)
    with trio.fail_after(30):
        done = await trio.run_process(
            [str(BIN / program), *arguments],
            cwd=ROOT,
            env=environment(ENV="production", JWT_SECRET="short"),
            capture_stderr=True,
            stdout=subprocess.DEVNULL,
            check=False,
        )
    assert b"Courier does not start: " in done.stderr
    assert done.returncode != 0


@pytest.mark.parametrize("command", WITH_MASTER, ids=["asyncio", "trio"])
async def test_a_worker_that_is_killed_is_a_failure_of_its_master(command: list[str], tmp_path: Path) -> None:
    async with a_node(tmp_path / "log", command) as node:
        os.kill(worker_of(node), signal.SIGKILL)
        with trio.fail_after(10):
            assert await node.exit_code() != 0


async def test_a_node_that_was_asked_to_stop_has_not_failed(tmp_path: Path) -> None:
    async with a_node(tmp_path / "log", COMMANDS["hypercorn"]) as node:
        node.signal_master()
        with trio.fail_after(10):
            assert await node.exit_code() == 0


async def test_a_worker_whose_master_is_killed_drains_and_ends(tmp_path: Path) -> None:
    async with a_node(tmp_path / "log", COMMANDS["hypercorn"]) as node:
        worker = worker_of(node)
        async with node.subscribe() as websocket:
            node.signal_master(signal.SIGKILL)
            with pytest.raises(Exception, match="1001"), trio.fail_after(10):
                await websocket.get_message()
        with trio.fail_after(10):
            while Path(f"/proc/{worker}/cmdline").exists() and Path(f"/proc/{worker}/cmdline").read_bytes():
                await trio.sleep(0.05)
    assert "Drained" in node.log
