"""The log of a real process at its most talkative: each line is one object, and nothing secret is in any."""

import fcntl
import json
import os
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.system.processes import NodeProcess, a_node
from tests.web.servers import SECRET, announcement, closed, exchange, token
from tests.web.test_hypercorn import open_raw
from tests.web.test_publish import service_token

pytestmark = pytest.mark.system

ADMIN_TOKEN = "hunter2-the-admin-token"
METRICS_TOKEN = "hunter2-the-metrics-token"
OTHER_SECRET = "another secret of thirty-two bytes and more"
PAYLOAD = "hunter2-the-payload"
LARGE = PAYLOAD + "x" * 60_000


class Bearers:
    """Tokens of all sorts, each another, so that each can be looked for."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._number = 0

    def user(self, **claims: Any) -> str:
        return self._keep(token(number=self._next(), **claims))

    def service(self, name: str = "tests", **claims: Any) -> str:
        return self._keep(service_token(name, number=self._next(), **claims))

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _keep(self, bearer: str) -> str:
        self.all.append(bearer)
        return bearer


async def join_by_all_ways(node: NodeProcess, bearers: Bearers) -> None:
    """With good, bad and expired tokens, as a parameter, a header and a subprotocol."""
    for claims in (
        {},
        {"secret": "another secret of thirty-two bytes and more"},
        {"exp": int(time.time()) - 9},
    ):
        by_query, by_header, by_subprotocol = (bearers.user(**claims) for _ in range(3))
        for path, options in (
            (f"/ws/user.u1?token={by_query}", {}),
            ("/ws/user.u1", {"extra_headers": [(b"Authorization", f"Bearer {by_header}".encode())]}),
            ("/ws/user.u1", {"subprotocols": ["courier.v1", f"courier.bearer.{by_subprotocol}"]}),
        ):
            async with node.websocket(path, **options) as websocket:
                if claims:
                    assert (await closed(websocket))[0] == 1008
    async with node.subscribe("user.u2", bearers.user()) as websocket:
        assert (await closed(websocket))[0] == 1008
    async with node.subscribe("user.u1", bearers.user(), query="&since=aaaaaaaa-7") as websocket:
        assert json.loads(await websocket.get_message())["type"] == "courier.gap"


async def publish_and_read(node: NodeProcess, bearers: Bearers) -> None:
    for bearer, status in (
        (bearers.service(), 200),
        (None, 401),
        (bearers.service("other"), 403),
        (bearers.service(exp=1), 401),
        (bearers.service(secret=OTHER_SECRET), 401),
        (bearers.user(), 401),
    ):
        headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        assert (await node.publish("user.u1", announcement(PAYLOAD), **headers)).status == status
        longer = headers | {"TE": "trailers"}
        assert (await node.publish("user.u1", announcement(PAYLOAD), **longer)).status == status
    good = {"Authorization": f"Bearer {bearers.service()}"}
    assert (await node.publish("user.u1", PAYLOAD.encode(), **good)).status == 400
    assert (await node.publish(PAYLOAD, announcement(PAYLOAD), **good)).status == 400
    assert (await node.publish("user.u1", announcement(severity=PAYLOAD), **good)).status == 400
    for bearer, status in (
        (bearers.user(), 200),
        (bearers.user(exp=1), 401),
        (bearers.user(user_id="u2"), 403),
    ):
        by_header = {"Authorization": f"Bearer {bearer}"}
        assert (await node.request("GET", "/history/user.u1", None, by_header)).status == status
        assert (await node.request("GET", f"/history/user.u1?token={bearer}")).status == status
    for bearer in (ADMIN_TOKEN, METRICS_TOKEN):
        await node.request("GET", "/health", None, {"Authorization": f"Bearer {bearer}"})


async def have_one_evicted(node: NodeProcess, bearers: Bearers) -> None:
    """A subscriber that reads nothing, until its socket takes nothing for `STALL_SECONDS`."""
    stream = await open_raw(node, f"Authorization: Bearer {bearers.user()}\r\n".encode())
    async with stream:
        good = {"Authorization": f"Bearer {bearers.service()}"}
        with trio.fail_after(20):
            while "Subscriber evicted" not in node.log:
                event = announcement(message=LARGE)
                assert (await node.publish("user.u1", event, **good)).status == 200


async def test_each_line_of_a_real_node_at_debug_is_an_object_and_none_has_a_secret(tmp_path: Path) -> None:
    bearers = Bearers()
    async with a_node(
        tmp_path / "log",
        ENV="production",
        LOG_LEVEL="debug",
        ADMIN_TOKEN=ADMIN_TOKEN,
        METRICS_TOKEN=METRICS_TOKEN,
        STALL_SECONDS="0.5",
        SENTRY_DSN="http://hunter2@127.0.0.1:9/1",
    ) as node:
        await join_by_all_ways(node, bearers)
        await publish_and_read(node, bearers)
        await have_one_evicted(node, bearers)
        async with node.subscribe("user.u1", bearers.user()) as staying:
            node.signal_master()
            assert (await closed(staying))[0] == 1001
        with trio.fail_after(10):
            assert await node.exit_code() == 0
        log = node.log
    lines = [json.loads(line) for line in log.splitlines()]
    for line in lines:
        assert {"timestamp", "level", "service", "message"} < set(line)
        assert line["service"] == "courier"
        assert datetime.fromisoformat(line["timestamp"]).utcoffset() is not None
    told = {(line["level"], line["message"]) for line in lines}
    assert told >= {
        ("info", "Subscriber joined"),
        ("info", "Subscriber left"),
        ("info", "Join refused"),
        ("debug", "Event published"),
        ("info", "Publish refused"),
        ("info", "History refused"),
        ("info", "Gap sent"),
        ("info", "Subscriber evicted"),
        ("info", "Shutdown asked for"),
        ("info", "Draining"),
        ("info", "Drained"),
    }
    reasons = {line["reason"] for line in lines if line["message"] == "Join refused"}
    assert reasons == {"Invalid token", "Token expired", "Unauthorized access to channel"}
    assert "hunter2" not in log
    assert SECRET not in log
    for bearer in bearers.all:
        for part in bearer.split(".")[1:]:
            assert part not in log
    assert "eyJ" not in log, "no JWT at all"


async def test_a_node_whose_log_nobody_reads_serves_on_and_says_afterwards_what_was_lost(
    tmp_path: Path,
) -> None:
    command = [
        "hypercorn",
        "-w",
        "0",
        "-k",
        "trio",
        "-b",
        "{bind}",
        "--access-logfile",
        "-",
        "courier.web:app",
    ]
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 4096)
    try:
        async with a_node(pipe, command) as node:
            async with await node.connect() as stream:
                for _ in range(100):  # a line each
                    assert (await exchange(stream, "GET", "/health/live")).status == 200
            log = b""
            with trio.fail_after(10):
                while b"Lines lost" not in log:
                    with suppress(BlockingIOError):
                        log += os.read(reading, 65536)
                    await trio.sleep(0.05)
    finally:
        os.close(reading)
    lines = [json.loads(line) for line in log.splitlines()]
    [lost] = [line["lines"] for line in lines if line["message"] == "Lines lost"]
    assert len([line for line in lines if "/health/live" in line["message"]]) + lost >= 100
