"""A fault of ours, wherever it is, is counted by its kind and is one line with a traceback."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from courier.actors.hub import Hub
from courier.backplane import BackplaneAway
from courier.backplane.redis.pump import Pump
from courier.metrics import Metrics
from courier.schemas.registry import Registry
from courier.serving.hypercorn.connection import Connection
from courier.web import health
from courier.web.access import Rules
from courier.web.single import SingleSession
from tests.web.servers import TestServer, a_server, announcement, closed, token

Ask = Callable[[TestServer], Awaitable[Any]]


async def publish(server: TestServer) -> None:
    assert (await server.publish("user.u1", announcement())).status == 500


async def publish_batch(server: TestServer) -> None:
    body = json.dumps({"events": [{"channel": "user.u1", "data": announcement()}]}).encode()
    headers = {"X-Service-Name": "tests", "Content-Type": "application/json"}
    answer = await server.request("POST", "/publish/batch", body, headers)
    assert (answer.status, answer.json["results"][0]["code"]) == (200, 500)


async def read_history(server: TestServer) -> None:
    assert (await server.request("GET", f"/history/user.u1?token={token()}")).status == 500


async def subscribe(server: TestServer) -> None:
    async with server.subscribe() as websocket:
        await closed(websocket)


async def ask_health(server: TestServer) -> None:
    answer = await server.request("GET", "/health")
    assert (answer.status, answer.error) == (500, {"error": "Internal Server Error"})


async def connect(server: TestServer) -> None:
    assert await server.raw(b"GET /health/live HTTP/1.1\r\nHost: t\r\n\r\n") == b""


@pytest.mark.parametrize(
    ("broken", "name", "ask", "kind", "line"),
    [
        pytest.param(Registry, "encode", publish, "publish", "Publish failed", id="publish"),
        pytest.param(Registry, "encode", publish_batch, "publish", "Publish failed", id="batch"),
        pytest.param(Hub, "read", read_history, "history", "History failed", id="history"),
        pytest.param(Rules, "admit", subscribe, "join", "Join failed", id="join"),
        pytest.param(SingleSession, "start", subscribe, "connection", "Connection failed", id="session"),
        pytest.param(health, "components", ask_health, "request", "Exception on request", id="quart"),
        pytest.param(Connection, "_read_data", connect, "connection", "Connection failed", id="connection"),
    ],
)
async def test_a_fault_is_counted_and_told_once(
    broken: Any,
    name: str,
    ask: Ask,
    kind: str,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    counted: list[str] = []
    monkeypatch.setattr(Metrics, "error", lambda self, component, error: counted.append(component))

    def fault(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("a fault")

    async with a_server(log_format="json") as server:
        with monkeypatch.context() as patch:
            patch.setattr(broken, name, fault)
            await ask(server)
    told = [line for line in map(json.loads, capsys.readouterr().err.splitlines()) if "exception" in line]
    assert [(each["level"], each["message"].startswith(line)) for each in told] == [("error", True)]
    assert "ZeroDivisionError: a fault" in told[0]["exception"]
    assert counted == [kind]


def test_an_answer_of_redis_that_cannot_be_read_is_counted_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Odd:
        def settle(self, answer: Any) -> None:
            raise ZeroDivisionError

        def fail(self, error: BackplaneAway) -> None:
            self.error = error

    faults: list[Exception] = []
    odd: Any = Odd()
    pump = object.__new__(Pump)
    pump._fault = faults.append
    pump._settle(odd, [])
    assert [type(each) for each in faults] == [ZeroDivisionError]
    assert str(odd.error) == "Redis gave an unreadable answer"
    assert "Unreadable answer from Redis" in caplog.text
