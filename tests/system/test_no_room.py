"""A process that may open no more files: those it has are served, and the others wait."""

import json
import resource
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from tests.system.processes import a_node
from tests.web.servers import announcement, events, exchange


async def test_without_room_for_a_socket_a_node_says_so_once_and_serves_those_it_has(tmp_path: Path) -> None:
    async with a_node(tmp_path / "log") as node:
        open_files = len(list(Path(f"/proc/{node.process.pid}/fd").iterdir()))
        resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE, (open_files + 10, open_files + 10))
        async with AsyncExitStack() as stack:
            websocket = await stack.enter_async_context(node.subscribe())
            publisher = await stack.enter_async_context(await node.connect())
            crowd = [await node.connect() for _ in range(40)]
            with pytest.raises(trio.TooSlowError), trio.fail_after(1.5):
                await exchange(crowd[-1], "GET", "/health/live")
            headers = {"X-Service-Name": "tests", "Content-Type": "application/json"}
            event = json.dumps(announcement()).encode()
            answer = await exchange(publisher, "POST", "/publish/user.u1", event, headers)
            assert answer.status == 200
            assert [got["title"] for got in await events(websocket, 1)] == ["t"]
            for stream in crowd:
                await stream.aclose()
            with trio.fail_after(5):
                assert (await node.request("GET", "/health/live")).status == 200
        lines = [line for line in node.log.splitlines() if "EMFILE" in line]
        assert len(lines) == 1
        assert json.loads(lines[0])["message"].startswith("No room for new connections")
        assert "Traceback" not in node.log
