"""Health: what a node says of itself, to whom, and when."""

import time
from datetime import datetime
from importlib.metadata import version

import pytest
import trio

from tests.web.servers import TestServer, a_server, announcement, closed, events, token
from tests.web.test_publish import a_server_to_drain, authorized


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
        health = (await server.request("GET", "/health")).json
        stated = datetime.fromisoformat(health.pop("timestamp"))
        assert stated.utcoffset() is not None
        assert abs(stated.timestamp() - time.time()) < 10
        assert 0 <= health.pop("uptime_seconds") < 60
        assert 0 <= health["components"].pop("event_loop")["lag_ms"] < 60_000
        assert health == {
            "status": "healthy",
            "version": version("courier"),
            "environment": "development",
            "components": {
                "backplane": {"status": "healthy", "kind": "memory"},
                "supervisor": {"status": "healthy", "sweeps": True, "crashes": 0, "given_up": 0},
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
        health = await server.request("GET", "/health")
        assert (health.status, health.json["status"]) == (503, "draining")
        assert (await server.request("GET", "/health/live")).json == {"status": "alive"}
