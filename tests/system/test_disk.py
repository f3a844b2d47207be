"""A node with its log on disk, as a process: killed, restarted, and beside another one."""

import json
import signal
import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest

from courier.cli import main
from tests.system.processes import a_listening_node, a_node
from tests.web.servers import announcement, events, token

pytestmark = pytest.mark.system


async def test_a_node_that_is_killed_and_started_again_has_lost_nothing(tmp_path: Path) -> None:
    data = {"DATA": str(tmp_path / "data")}
    async with a_node(tmp_path / "first", **data) as node:
        health = (await node.request("GET", "/health")).json["components"]["backplane"]
        assert health == {"status": "healthy", "kind": "disk"}
        ids = [(await node.publish("user.u1", announcement(str(n)))).json["id"] for n in range(5)]
        node.signal_group(signal.SIGKILL)
        await node.exit_code()
    async with a_node(tmp_path / "second", **data) as node:
        async with node.subscribe(query=f"&since={ids[1]}", subprotocols=["courier.v1"]) as websocket:
            joined = json.loads(await websocket.get_message())
            assert (joined["recovered"], joined["replayed"]) == (True, 3)
            found = await events(websocket, 3)
            [new] = [(await node.publish("user.u1", announcement("5"))).json["id"]]
            found += await events(websocket, 1)
        assert [event["id"] for event in found] == [*ids[2:], new]
        metrics = (await node.request("GET", "/metrics")).body.decode()
        assert "courier_disk_commit_seconds_count" in metrics
        assert "courier_disk_bytes" in metrics


async def test_a_node_waits_for_the_one_before_it_and_then_goes_on(tmp_path: Path) -> None:
    """As in a restart that overlaps: the new one listens, is not ready, and loses nothing."""
    data = {"DATA": str(tmp_path / "data"), "DRAIN_SECONDS": "2"}
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(a_node(tmp_path / "first", **data))
        [one] = [(await first.publish("user.u1", announcement("1"))).json["id"]]
        second = await stack.enter_async_context(a_listening_node(tmp_path / "second", **data))
        await second.says(503)
        answer = await second.request("GET", "/health/ready")
        assert (answer.status, answer.json["reason"]) == (503, "Another process still holds the data folder")
        assert (await second.request("GET", "/health/live")).status == 200
        refused = await second.publish("user.u1", announcement("2"))
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        first.signal_master()
        assert await first.exit_code() == 0
        await second.says(200)
        answer = await second.request("GET", f"/history/user.u1?since={one}&token={token()}")
        assert (answer.json["events"], answer.json["complete"]) == ([], True)


async def test_the_log_is_checked_and_copied_while_a_node_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def courier(*arguments: str) -> tuple[object, str]:
        with pytest.raises(SystemExit) as ended:
            main(["data", *arguments])
        return ended.value.code, capsys.readouterr().out

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURIER_DATA", str(tmp_path / "data"))
    assert "does not exist" in str(courier("check")[0])
    async with a_node(tmp_path / "log", DATA=str(tmp_path / "data")) as node:
        [one] = [(await node.publish("user.u1", announcement("1"))).json["id"]]
        code, said = courier("check")
        assert (code, "is whole" in said) == (0, True)
        assert courier("backup", str(tmp_path / "copy" / "courier.db"))[0] not in (0, None)
        (tmp_path / "copy").mkdir()
        assert courier("backup", str(tmp_path / "copy" / "courier.db"))[0] == 0
        assert "exists already" in str(courier("backup", str(tmp_path / "copy" / "courier.db"))[0])
    async with a_node(tmp_path / "log2", DATA=str(tmp_path / "copy")) as node:
        answer = await node.request("GET", f"/history/user.u1?since={one}&token={token()}")
        assert (len(answer.json["events"]), answer.json["complete"]) == (1, False)


async def test_what_a_service_has_published_counts_after_a_restart(tmp_path: Path) -> None:
    data = {"DATA": str(tmp_path / "data"), "RATE_LIMIT": "5", "RATE_WINDOW_SECONDS": "600"}
    async with a_node(tmp_path / "first", **data) as node:
        for _ in range(4):
            assert (await node.publish("user.u1", announcement())).status == 200
        node.signal_master()
        assert await node.exit_code() == 0
    async with a_node(tmp_path / "second", **data) as node:
        answers = [await node.publish("user.u1", announcement()) for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 429]


async def test_a_folder_that_another_node_keeps_ends_the_second_with_one_sentence(tmp_path: Path) -> None:
    data = {"DATA": str(tmp_path / "data"), "DRAIN_SECONDS": "0.1", "DRAIN_DELAY_SECONDS": "0"}
    async with a_node(tmp_path / "first", **data), a_listening_node(tmp_path / "second", **data) as second:
        assert await second.exit_code() == 1
        last = second.log.strip().splitlines()[-1]
        assert last.startswith(f"Courier stopped: {tmp_path / 'data'} is held by another process")


async def test_a_file_of_another_program_stops_the_start_with_one_sentence(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "courier.db")) as connection:
        connection.execute("CREATE TABLE theirs (one)")
    async with a_listening_node(tmp_path / "log", DATA=str(tmp_path)) as node:
        assert await node.exit_code() == 1
        [line] = node.log.splitlines()
        assert line.startswith("Courier does not start: ")
        assert "another program's file" in line


async def test_both_a_folder_and_a_redis_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="COURIER_DATA must not be set beside COURIER_REDIS_URL"):
        async with a_node(tmp_path / "log", DATA=str(tmp_path), REDIS_URL="redis://127.0.0.1:1"):
            pass
