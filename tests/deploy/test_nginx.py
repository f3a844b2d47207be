"""nginx in front of nodes, with the configuration that is shipped: what it hands on, and what it repeats."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median

import pytest
import trio

from courier.settings import load_settings
from courier.web.auth import MAX_TOKEN_BYTES
from tests.deploy.files import DEPLOY
from tests.system.processes import a_free_port
from tests.web.servers import TestServer, a_server, announcement, exchange, token
from tests.web.streams import reading
from tests.web.ways import answers_at_the_desk

NGINX = DEPLOY / "nginx"

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed (Debian: nginx-light)"),
]


def configure(directory: Path, port: int, nodes: str) -> list[str]:
    """The command that runs the shipped configuration without root's rights, with other ports and places."""
    shipped = (NGINX / "courier.conf").read_text(encoding="utf-8")
    (directory / "courier.conf").write_text(
        shipped.replace("listen 8080", f"listen 127.0.0.1:{port}").replace("/var/log/nginx", str(directory))
    )
    (directory / "nodes.conf").write_text(nodes)
    user = "user root;" if os.geteuid() == 0 else ""
    places = "".join(
        f"{kind}_temp_path {directory}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "nginx.conf").write_text(
        f"{user} daemon off; pid {directory}/pid; error_log {directory}/error.log; events {{}}\n"
        f"http {{ {places} include {directory}/nodes.conf; include {directory}/courier.conf; }}\n"
    )
    return ["nginx", "-p", str(directory), "-c", str(directory / "nginx.conf")]


@asynccontextmanager
async def nginx(directory: Path, ports: Sequence[int]) -> AsyncIterator[TestServer]:
    """nginx, in front of nodes at these ports, of which it asks the first first."""
    servers = "".join(
        f"server 127.0.0.1:{port} {'backup' if turn else ''};" for turn, port in enumerate(ports)
    )
    port = a_free_port()
    command = configure(directory, port, f"upstream courier {{ {servers} keepalive 64; }}")
    process = await trio.lowlevel.open_process(command, stderr=subprocess.DEVNULL)
    server = TestServer(f"http://127.0.0.1:{port}")
    try:
        with trio.fail_after(10):
            while True:
                try:
                    await (await server.connect()).aclose()
                    break
                except OSError:
                    await trio.sleep(0.01)  # nothing says when a process begins to listen
        yield server
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            await process.wait()


@pytest.mark.parametrize("nodes", ["nodes.conf", "nodes.compose.conf"])
def test_nginx_takes_its_configuration_without_a_word(nodes: str, tmp_path: Path) -> None:
    text = re.sub(r"server [\w.-]+:", "server 127.0.0.1:", (NGINX / nodes).read_text(encoding="utf-8"))
    command = configure(tmp_path, a_free_port(), text)
    done = subprocess.run([*command, "-t", "-q"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_silent_subscriber_is_kept_for_longer_than_a_heartbeat() -> None:
    [websockets] = re.findall(
        r"location /ws/ \{(.*?)\n    \}", (NGINX / "courier.conf").read_text(), re.DOTALL
    )
    [seconds] = re.findall(r"proxy_read_timeout (\d+)s;", websockets)
    assert float(seconds) >= 2 * load_settings({}).heartbeat_seconds


async def test_what_comes_through_nginx_is_as_if_it_came_directly(tmp_path: Path) -> None:
    secret = token()
    async with a_server() as node, nginx(tmp_path, [node.port]) as proxy:
        async with proxy.subscribe(bearer=secret) as websocket:
            assert (await proxy.publish("user.u1", announcement("one"))).status == 200
            assert '"title":"one"' in str(await websocket.get_message())
            await websocket.send_message("ping")
            assert await websocket.get_message() == "pong"
        large = await proxy.publish("user.u1", announcement(message="x" * 70_000))
        assert large.error["error"] == "Request body is too large"
        lines = b'{"channel":"user.u1","data":' + bytes(3_000_000) + b"}"
        stream = {"X-Service-Name": "tests", "Content-Type": "application/x-ndjson"}
        assert (await proxy.request("POST", "/publish/batch", lines, stream)).status != 413
        assert (await proxy.request("GET", "/health/ready")).status == 200
        for path in ("/metrics", "/stats", "/admin", "/admin/channels"):
            assert (await proxy.request("GET", path)).status == 404
    logs = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert "/ws/user.u1" in logs
    assert secret not in logs


class Refusing:
    """A node that answers 503 to everything, and counts."""

    def __init__(self) -> None:
        self.asked = 0

    async def handle(self, stream: trio.SocketStream) -> None:
        async with stream:
            request = b""
            while b"}" not in request:
                request += bytes(await stream.receive_some())
            self.asked += 1
            await stream.send_all(
                b"HTTP/1.1 503 \r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )


async def test_events_of_a_stream_arrive_one_by_one(tmp_path: Path) -> None:
    async with (
        a_server() as node,
        nginx(tmp_path, [node.port]) as outside,
        reading(outside, "user.u1") as stream,
    ):
        await stream.say("courier.joined")
        seconds: list[float] = []
        for number in range(20):
            asked_at = trio.current_time()
            await node.publish("user.u1", announcement(str(number)))
            [event] = await stream.events(1)
            seconds.append(trio.current_time() - asked_at)
            assert event["title"] == str(number)
        assert median(seconds) < 0.05
        answer = await outside.request(
            "GET", f"/history/user.u1?wait=0.1&since={event['id']}&token={token()}"
        )
        assert (answer.status, answer.json["events"]) == (200, [])


@pytest.mark.parametrize(("headers", "status"), [({}, 503), ({"Idempotency_Key": "k1"}, 200)])
async def test_a_publish_that_was_refused_goes_to_another_node_only_under_a_key(
    tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    refusing = Refusing()
    async with a_server() as node, trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, refusing.handle, 0, host="127.0.0.1"))
        async with nginx(tmp_path, [listener.socket.getsockname()[1], node.port]) as proxy:
            answer = await proxy.publish("user.u1", announcement(), **headers)
            assert answer.status == status
            assert refusing.asked == 1
            if status == 503:
                assert answer.headers["retry-after"] == "1"
        nursery.cancel_scope.cancel()


async def test_the_longest_token_that_a_node_takes_passes_wherever_it_stands(tmp_path: Path) -> None:
    long = max(
        (token(padding="x" * size) for size in range(5_800, 6_100)),
        key=lambda token: len(token) if len(token) <= MAX_TOKEN_BYTES else 0,
    )
    assert len(long) > MAX_TOKEN_BYTES - 4
    async with a_server() as node, nginx(tmp_path, [node.port]) as proxy:
        for server in (node, proxy):
            assert (await server.request("GET", f"/history/user.u1?token={long}")).status == 200
            bearer = {"Authorization": f"Bearer {long}"}
            assert (await server.request("GET", "/history/user.u1", headers=bearer)).status == 200


@pytest.mark.parametrize(
    "path", ["/history/user.u1", "/ws/user.u1", "/publish/user.u1", "/publish/batch", "/", "/health"]
)
async def test_no_log_has_a_token_when_no_node_can_be_reached(tmp_path: Path, path: str) -> None:
    secret = token()
    async with nginx(tmp_path, [a_free_port(), a_free_port()]) as proxy:
        for method in ("GET", "POST"):
            answer = await proxy.request(method, f"{path}?token={secret}")
            assert answer.status == 502
    logs = "".join(log.read_text() for log in tmp_path.glob("*.log"))
    assert f"{path} 502" in logs.replace('"', ""), "what went wrong is there all the same"
    assert secret not in logs


async def test_a_publish_goes_to_another_node_when_one_cannot_be_reached(tmp_path: Path) -> None:
    async with a_server() as node, nginx(tmp_path, [a_free_port(), node.port]) as proxy:
        assert (await proxy.publish("user.u1", announcement())).status == 200


async def test_what_nginx_sends_over_one_connection_comes_back_to_the_desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nginx keeps its connections to a node, and mixes the requests of many on them."""
    taken = answers_at_the_desk(monkeypatch)
    line = json.dumps({"channel": "global", "data": announcement()}).encode()
    stream = {"X-Service-Name": "tests", "Content-Type": "application/x-ndjson"}
    async with a_server() as node, nginx(tmp_path, [node.port]) as proxy:
        for _ in range(3):
            assert (await proxy.request("GET", "/health/ready")).status == 200
            assert (await proxy.request("POST", "/publish/batch", line, stream)).status == 200
        event = json.dumps(announcement()).encode()
        headers = {"X-Service-Name": "tests", "Content-Type": "application/json"}
        async with await proxy.connect() as publisher:
            for _ in range(1000):
                assert (await exchange(publisher, "POST", "/publish/global", event, headers)).status == 200
    assert taken == [200] * 1000
