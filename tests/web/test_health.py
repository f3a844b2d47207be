"""Health: what a node says of itself, to whom, and when."""

import json
import time
from datetime import datetime
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from courier import pulse
from courier.actors.supervisor import Supervisor
from courier.schemas.registry import Registry
from courier.version import VERSION
from courier.web import auth, health
from tests.actors.test_hub import crashing
from tests.system.processes import a_free_port
from tests.web.servers import TestServer, a_server, announcement, closed, events, token
from tests.web.test_auth import EC, jwk
from tests.web.test_ownership import says, serving
from tests.web.test_publish import a_server_to_drain, authorized


@pytest.fixture(autouse=True)
def _never_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with other things is no finding."""
    monkeypatch.setattr(health, "LATE_SECONDS", 60)


async def test_a_node_that_serves_is_alive_ready_and_healthy() -> None:
    async with a_server() as server:
        for path, body in (
            ("/health/live", {"status": "alive"}),
            ("/health/ready", {"status": "ready", "ready": True}),
        ):
            response = await server.request("GET", path)
            assert (response.status, response.json) == (200, body)
            assert response.headers["content-type"] == "application/json"
            assert response.headers["cache-control"] == "no-store"
        assert (await server.request("GET", "/health")).status == 200


async def test_health_has_all_its_fields_and_counts_what_happens() -> None:
    async with a_server() as server, server.subscribe() as one, server.subscribe("global") as other:
        for _ in range(3):
            await server.publish("user.u1", announcement())
        await server.publish("global", announcement())
        await events(one, 3)
        await events(other, 1)
        told = (await server.request("GET", "/health")).json
        stated = datetime.fromisoformat(told.pop("timestamp"))
        assert stated.utcoffset() is not None
        assert abs(stated.timestamp() - time.time()) < 10
        assert 0 <= told.pop("uptime_seconds") < 60
        assert 0 <= told["components"].pop("event_loop")["lag_ms"] < 60_000
        assert told == {
            "status": "healthy",
            "version": VERSION,
            "environment": "development",
            "components": {
                "backplane": {"status": "healthy", "kind": "memory"},
                "supervisor": {"status": "healthy", "sweeps": True, "crashes": 0, "given_up": 0},
                "publishing": {"status": "healthy", "failed": 0},
            },
            "metrics": {
                "active_connections": 2,
                "active_channels": 2,
                "total_messages_sent": 4,
                "total_messages_received": 4,
            },
        }


async def test_a_subscriber_that_left_is_not_counted() -> None:
    async with a_server() as server:
        async with server.subscribe():
            assert await connections(server) == 1
        with trio.fail_after(5):
            while await connections(server):
                pass


async def connections(server: TestServer) -> int:
    count: int = (await server.request("GET", "/health")).json["metrics"]["active_connections"]
    return count


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no token"),
        pytest.param({"Authorization": "Bearer junk"}, id="junk"),
        pytest.param({"Authorization": f"Bearer {token()}"}, id="a subscriber's"),
        pytest.param(authorized(exp=1), id="expired"),
    ],
)
async def test_in_production_a_stranger_learns_the_status_only(headers: dict[str, str]) -> None:
    async with a_server(env="production") as server:
        response = await server.request("GET", "/health", None, headers)
        assert (response.status, response.json) == (200, {"status": "healthy"})


async def test_in_production_a_service_learns_everything() -> None:
    async with a_server(env="production") as server:
        response = await server.request("GET", "/health", None, authorized())
        assert response.json["environment"] == "production"
        assert "metrics" in response.json


async def test_a_node_that_drains_is_alive_and_not_ready() -> None:
    async with a_server_to_drain() as (server, begin), server.subscribe() as websocket:
        begin()
        await closed(websocket)
        ready = await server.request("GET", "/health/ready")
        assert ready.status == 503
        assert ready.json == {"status": "not_ready", "ready": False, "reason": "Node is draining"}
        told = await server.request("GET", "/health")
        assert (told.status, told.json["status"]) == (503, "draining")
        assert (await server.request("GET", "/health/live")).json == {"status": "alive"}


async def test_in_production_the_admin_token_opens_health_and_a_wrong_one_does_not() -> None:
    async with a_server(env="production", admin_token="an-admin-token-of-some-length") as server:
        for bearer, opened in (
            ("an-admin-token-of-some-length", True),
            ("an-admin-token-of-some-other", False),
        ):
            headers = {"Authorization": f"Bearer {bearer}"}
            response = await server.request("GET", "/health", None, headers)
            assert ("components" in response.json) is opened


# Each part fails for real, and recovers


async def component(server: TestServer, name: str) -> tuple[int, str, dict[str, Any]]:
    """The status of the answer, of the node, and the part."""
    response = await server.request("GET", "/health")
    return response.status, response.json["status"], response.json["components"][name]


async def until_healthy(server: TestServer) -> None:
    with trio.fail_after(10):
        while (await server.request("GET", "/health")).status != 200:
            await trio.sleep(0.02)  # nothing says when it changes


async def test_an_event_loop_that_is_held_up_is_told_until_it_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "LATE_SECONDS", 0.25)  # held up for less long, so that the test is short
    monkeypatch.setattr(pulse, "REMEMBERED_SECONDS", 1.0)
    async with a_server() as server:
        await until_healthy(server)
        time.sleep(0.4)
        status, said, part = await component(server, "event_loop")
        assert (status, said, part["status"]) == (503, "degraded", "degraded")
        assert 250 <= part["lag_ms"] < 10_000
        assert (await server.request("GET", "/health/live")).status == 200
        assert (await server.request("GET", "/health/ready")).status == 200
        await until_healthy(server)
        assert (await component(server, "event_loop"))[2]["lag_ms"] < 250


async def test_a_channel_that_crashed_is_told_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LATELY_SECONDS", 0.5)
    crashing(monkeypatch, "_append", times=1)
    async with a_server() as server:
        assert (await server.publish("user.u1", announcement())).status == 500
        status, said, part = await component(server, "supervisor")
        assert (status, said) == (503, "degraded")
        assert part == {"status": "degraded", "sweeps": True, "crashes": 1, "given_up": 0}
        assert (await server.request("GET", "/health/ready")).status == 200
        await until_healthy(server)
        assert (await component(server, "supervisor"))[2]["crashes"] == 0


async def test_publishes_that_fail_are_told_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LATELY_SECONDS", 0.5)

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    async with a_server() as server:
        with monkeypatch.context() as failing:
            failing.setattr(Registry, "parse", fail)
            for _ in range(3):
                assert (await server.publish("user.u1", announcement())).status == 500
        status, said, part = await component(server, "publishing")
        assert (status, said, part) == (503, "degraded", {"status": "degraded", "failed": 3})
        await until_healthy(server)


async def test_a_channel_that_was_given_up_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    crashing(monkeypatch, "_append", times=5)
    async with a_server() as server:
        for _ in range(5):
            assert (await server.publish("user.u1", announcement())).status == 500
        part = (await component(server, "supervisor"))[2]
        assert (part["crashes"], part["given_up"]) == (5, 1)
        assert (await server.publish("user.u1", announcement())).status == 200


async def test_channels_that_nobody_looks_after_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    sweeping = trio.Event()

    async def stuck(self: Supervisor) -> None:
        await sweeping.wait()
        self.swept_at = trio.current_time() + 60
        await trio.sleep_forever()

    monkeypatch.setattr(Supervisor, "sweep", stuck)
    monkeypatch.setattr(health, "SWEEP_SECONDS", 0.1)
    async with a_server() as server:
        await trio.sleep(0.1)
        status, _, part = await component(server, "supervisor")
        assert (status, part["status"], part["sweeps"]) == (503, "degraded", False)
        sweeping.set()
        await until_healthy(server)


async def test_keys_that_cannot_be_had_are_told_until_they_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "REFETCH_SECONDS", 0.0)
    refused = says("", 500)
    answers = [refused] * 3 + [says(json.dumps({"keys": [jwk(EC, kid="e")]}))]
    async with (
        serving(*answers) as keys,
        a_server(jwt_algorithms="HS256,ES256", jwks_url=keys.url) as server,
    ):
        status, said, part = await component(server, "verifier_keys")
        assert (status, said) == (503, "degraded")
        assert part == {"status": "degraded", "keys": 0, "age_seconds": None}
        assert (await server.request("GET", "/health/ready")).status == 200
        await until_healthy(server)
        part = (await component(server, "verifier_keys"))[2]
        assert (part["status"], part["keys"]) == ("healthy", 1)
        assert 0 <= part["age_seconds"] < 10
        asked = len(keys.requests)
        await component(server, "verifier_keys")
        assert len(keys.requests) == asked == 4, "who holds them does not ask at every look"


async def test_without_a_redis_that_it_should_have_a_node_is_alive_and_not_ready() -> None:
    async with a_server(redis_url=f"redis://:hunter2@127.0.0.1:{a_free_port()}") as server:
        status, said, part = await component(server, "backplane")
        assert (status, said, part) == (
            503,
            "degraded",
            {"status": "down", "kind": "redis", "reason": "Redis unreachable"},
        )
        ready = await server.request("GET", "/health/ready")
        assert (ready.status, ready.json["reason"]) == (503, "Redis unreachable")
        assert (await server.request("GET", "/health/live")).status == 200


async def test_no_part_tells_what_is_secret() -> None:
    secrets = {
        "redis_url": f"redis://:hunter2@127.0.0.1:{a_free_port()}",
        "admin_token": "hunter2-the-admin-token",
        "metrics_token": "hunter2-the-metrics-token",
    }
    async with a_server(**secrets) as server:
        assert b"hunter2" not in (await server.request("GET", "/health")).body


# The pulse


async def test_the_pulse_remembers_the_worst_for_five_to_ten_seconds(mock_clock: MockClock) -> None:
    beating = pulse.Pulse()
    late: list[float] = []
    for tenth in range(1, 200):
        now = tenth / 10
        beating.note(now + (0.7 if tenth == 10 else 0.0))
        late.append(round(beating.worst_seconds(now + 0.1), 3))
    assert max(late[:9]) < 0.01
    remembered = [place for place, each in enumerate(late) if each > 0.6]
    assert remembered == list(range(9, 9 + len(remembered)))
    assert 50 <= len(remembered) <= 100


async def test_an_event_loop_that_is_late_now_is_late_before_it_beats_again(mock_clock: MockClock) -> None:
    beating = pulse.Pulse()
    assert beating.worst_seconds(5.1) == pytest.approx(5.0)
