"""Standard streams that are closed or full keep no command from its work."""

import signal
import subprocess
from pathlib import Path

import pytest
import trio

from tests.system.processes import BIN, a_free_port, environment
from tests.web.servers import TestServer

pytestmark = pytest.mark.system


@pytest.mark.parametrize("redirections", ["2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
async def test_a_node_runs_whatever_became_of_its_standard_streams(redirections: str, tmp_path: Path) -> None:
    port = a_free_port()
    process = await trio.lowlevel.open_process(
        ["sh", "-c", f"exec {BIN}/courier serve --bind 127.0.0.1:{port} {redirections}"],
        env=environment(),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        cwd=tmp_path,
    )
    try:
        server = TestServer(f"http://127.0.0.1:{port}")
        with trio.fail_after(20):
            while True:
                assert process.returncode is None
                try:
                    assert (await server.request("GET", "/health/ready")).status == 200
                    break
                except OSError:
                    await trio.sleep(0.05)
            descriptors = Path(f"/proc/{process.pid}/fd")
            assert all(
                str((descriptors / number).readlink()).startswith(("/dev/", "pipe:")) for number in "012"
            )
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("command", ["check", "token user u1"])
async def test_a_command_says_nothing_where_nobody_listens(command: str, tmp_path: Path) -> None:
    done = await trio.run_process(
        ["sh", "-c", f"{BIN}/courier {command} <&- >&- 2>&-"], env=environment(), cwd=tmp_path, check=False
    )
    assert done.returncode == 0
