"""HAProxy and Caddy as docs/operations.md configures them: what they hide, and what their logs leave out."""

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.backplane.documented_redis import RUNBOOK
from tests.system.processes import a_free_port
from tests.web.servers import TestServer, a_server, token

pytestmark = pytest.mark.system

COMMANDS = {"haproxy": ["haproxy", "-f"], "caddy": ["caddy", "run", "--adapter", "caddyfile", "--config"]}

INSIDE = (
    *("/metrics", "//metrics", "/%6detrics", "/metrics/", "/metrics%2f", "/stats", "///stats"),
    *("/admin", "/%61dmin", "//admin/channels", "/admin/", "/admin/%63hannels"),
)


@pytest.fixture(params=COMMANDS)
def kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    if shutil.which(kind) is None:
        pytest.skip(f"{kind} is not installed")
    return kind


@asynccontextmanager
async def proxy(kind: str, directory: Path, nodes: list[int]) -> AsyncIterator[TestServer]:
    """The documented one, on another port and before other nodes; its log is `log` in the directory."""
    [text] = re.findall(rf"^\*\*{kind}\*\*:\n\n```\n(.*?)^```", RUNBOOK, re.M | re.S | re.I)
    port = a_free_port()
    text = text.replace(":8080", f"127.0.0.1:{port}" if kind == "haproxy" else f":{port}")
    for documented, node in zip(("127.0.0.1:8766", "127.0.0.1:8767"), nodes, strict=True):
        assert documented in text
        text = text.replace(documented, f"127.0.0.1:{node}")
    if kind == "caddy":
        text = text.replace("{\n", "{\n\tadmin off\n", 1)
    (directory / "configuration").write_text(text)
    with (directory / "log").open("wb") as log:
        command = [*COMMANDS[kind], str(directory / "configuration")]
        process = await trio.lowlevel.open_process(
            command, stdout=log, stderr=log, env={"PATH": "/usr/sbin:/usr/bin:/bin", "HOME": str(directory)}
        )
    server = TestServer(f"http://127.0.0.1:{port}")
    try:
        with trio.fail_after(10):
            while True:
                try:
                    await (await server.connect()).aclose()
                    break
                except OSError:
                    await trio.sleep(0.02)  # nothing says when a process begins to listen
        yield server
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            await process.wait()


async def test_what_is_for_the_inside_is_not_there_however_it_is_written(kind: str, tmp_path: Path) -> None:
    long = token(padding="x" * 5_900)
    async with a_server() as node, proxy(kind, tmp_path, [node.port, node.port]) as outside:
        for path in INSIDE:
            answer = await outside.request("GET", path)
            assert (path, answer.status) == (path, 404)
            assert b"detail" not in answer.body, f"{path} reached the node"
        assert (await outside.request("GET", "/health/ready")).status == 200
        assert (await outside.request("GET", f"/history/user.u1?token={long}")).status == 200


async def test_no_log_has_a_token_when_no_node_can_be_reached(kind: str, tmp_path: Path) -> None:
    secret = token()
    async with proxy(kind, tmp_path, [a_free_port(), a_free_port()]) as outside:
        for path in ("/history/user.u1", "/ws/user.u1"):
            answer = await outside.request("GET", f"{path}?token={secret}")
            assert answer.status in (502, 503)
    log = (tmp_path / "log").read_text()
    assert "/history/user.u1" in log
    assert secret not in log
