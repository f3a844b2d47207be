"""SIGTERM, for every command that runs a node: nobody misses anything, and the process is gone in time."""

import json
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from tests.system.processes import COMMANDS, NodeProcess, a_node
from tests.web.servers import announcement, exchange, token
from tests.web.streams import reading
from tests.web.test_hypercorn import open_raw

pytestmark = pytest.mark.system

EVENTS = 200
SUBSCRIBERS = 20


Story = tuple[list[str], int, str | None]


async def everything(websocket: WebSocketConnection) -> Story:
    """The titles of all events, and the close at the end."""
    titles: list[str] = []
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            titles.append(json.loads(await websocket.get_message())["title"])
    reason = caught.value.reason
    assert reason is not None
    return titles, reason.code, reason.reason


async def publish_all(node: NodeProcess, count: int) -> None:
    """Publish so many, one after the other on one connection."""
    async with await node.connect() as stream:
        for number in range(count):
            body = json.dumps(announcement(str(number))).encode()
            headers = {"Content-Type": "application/json", "X-Service-Name": "tests"}
            response = await exchange(stream, "POST", "/publish/user.u1", body, headers)
            assert response.status == 200, response.body


async def drain_story(log: Path, command: Sequence[str], *, group: bool, number: signal.Signals) -> None:
    drain_seconds = 2
    async with a_node(log, command, DRAIN_SECONDS=str(drain_seconds)) as node:
        results: list[Story] = []

        async def follow(task_status: trio.TaskStatus[None]) -> None:
            async with node.subscribe() as websocket:
                task_status.started()
                results.append(await everything(websocket))

        async with await open_stuck(node) as stuck, trio.open_nursery() as nursery:
            for _ in range(SUBSCRIBERS):
                await nursery.start(follow)
            await publish_all(node, EVENTS)
            started = trio.current_time()
            (node.signal_group if group else node.signal_master)(number)
            with trio.fail_after(drain_seconds + 5):
                assert await node.exit_code() == 0, node.log
            assert trio.current_time() - started < drain_seconds + 5
            assert stuck.socket.fileno() != -1
        wanted = [str(number) for number in range(EVENTS)]
        assert len(results) == SUBSCRIBERS
        for titles, code, reason in results:
            assert (titles, code, reason) == (wanted, 1001, "Server shutting down for maintenance")
        lines = list(map(json.loads, node.log.splitlines()))  # however it was started
        assert {line["service"] for line in lines} == {"courier"}
        assert any(line["message"].startswith("Listening") for line in lines)
        drained = [line for line in lines if line["message"] == "Drained"]
        assert len(drained) == 1
        assert drained[0]["closed"] + drained[0]["flushed"] + drained[0]["aborted"] == SUBSCRIBERS + 1


async def open_stuck(node: NodeProcess) -> trio.SocketStream:
    """A subscriber that reads nothing any more, behind by more than all buffers hold."""
    stream = await open_raw(node)
    big: dict[str, Any] = announcement("big", message="x" * 60_000)
    async with trio.open_nursery() as nursery:

        async def one() -> None:
            for _ in range(25):
                assert (await node.publish("user.u1", big)).status == 200

        for _ in range(8):
            nursery.start_soon(one)
    return stream


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_signal_gives_every_live_subscriber_everything_and_a_reason(
    tmp_path: Path, name: str
) -> None:
    stories = {
        "SIGTERM to the whole group": (True, signal.SIGTERM),
        "SIGTERM to the master alone": (False, signal.SIGTERM),
        "Ctrl-C": (True, signal.SIGINT),
    }
    async with trio.open_nursery() as nursery:
        for story, (group, number) in stories.items():
            tell = partial(drain_story, tmp_path / story, COMMANDS[name], group=group, number=number)
            nursery.start_soon(tell, name=story)


async def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    async with a_node(tmp_path / "log", DRAIN_SECONDS="30") as node, await open_stuck(node):
        node.signal_master()
        with trio.fail_after(5):
            while (await node.request("GET", "/health/ready")).status == 200:
                pass
        await trio.sleep(1.1)  # sooner, it would be the same request
        node.signal_master()
        with trio.fail_after(2):
            assert await node.exit_code() == -signal.SIGTERM


async def test_a_second_signal_within_a_second_is_the_same_request(tmp_path: Path) -> None:
    async with a_node(tmp_path / "log", DRAIN_DELAY_SECONDS="1") as node:
        node.signal_master()
        node.signal_master()
        with trio.fail_after(5):
            assert await node.exit_code() == 0


async def test_while_it_waits_for_the_balancer_a_node_says_so_and_serves_all(tmp_path: Path) -> None:
    async with a_node(tmp_path / "log", DRAIN_DELAY_SECONDS="2") as node:
        node.signal_master()
        with trio.fail_after(1):
            while (await node.request("GET", "/health/ready")).status == 200:
                pass
        assert (await node.request("GET", "/health/ready")).json["reason"] == "Node is draining"
        assert (await node.publish("user.u1", announcement())).status == 200
        async with node.subscribe(bearer=token()):
            assert (await node.request("GET", "/health/live")).status == 200
        with trio.fail_after(5):
            assert await node.exit_code() == 0


async def test_a_drain_ends_event_streams_and_answers_who_waits_and_exits_with_0(tmp_path: Path) -> None:
    async with (
        a_node(tmp_path / "log", DRAIN_SECONDS="3") as node,
        reading(node, "user.u1") as stream,
        await node.connect() as waiting,
    ):
        await stream.say("courier.joined")
        receipt = await node.publish("user.u1", announcement())
        path = f"/history/user.u1?since={receipt.json['id']}&wait=60&token={token()}"
        await waiting.send_all(f"GET {path} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
        with trio.fail_after(10):
            while (await node.request("GET", "/health")).json["metrics"]["active_connections"] < 2:
                pass
            node.signal_master()
            await stream.events(1)
            drain = await stream.say("courier.drain")
            assert stream.retry_ms == drain["reconnect_in_ms"]
            assert (await stream.say("courier.closed"))["code"] == 1001
            assert await stream.next() is None
            assert b'"events":[]' in await waiting.receive_some()
            assert await node.exit_code() == 0
