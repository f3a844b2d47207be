"""The story of a backtest, from the click to the result, as Lumière's frontend lives it."""

import json
from typing import Any

import trio
from trio_websocket import WebSocketConnection

from tests.web.servers import TestServer, a_server, closed, events, token
from tests.web.test_publish import authorized

USER = "u-7f3a"
BACKTEST = {"backtest_id": "bt-42", "job_id": "job-42", "user_id": USER}


async def cartographe(server: TestServer, *published: dict[str, Any]) -> list[str]:
    """The backtester publishes, with its own token; the positions of its events."""
    ids = []
    for event in published:
        response = await server.publish(
            f"user.{USER}",
            event | BACKTEST | {"source": "cartographe"},
            service="cartographe",
            **authorized("cartographe"),
        )
        assert response.status == 200, response.body
        ids.append(response.json["id"])
    return ids


def progress(share: float, stage: str) -> dict[str, Any]:
    return {"type": "backtest.progress", "progress": share, "stage": stage, "message": f"{share:.0%}"}


STARTED = {"type": "backtest.started", "parameters": {"pair": "SOL/USDC", "days": 90, "fees": None}}
COMPLETED = {"type": "backtest.completed", "duration_seconds": 3, "summary": {"sharpe": 1.4, "trades": 17}}


async def test_a_frontend_sees_a_backtest_from_its_start_to_its_result_in_order() -> None:
    async with a_server(publish_auth="required") as server:
        async with server.subscribe(f"user.{USER}", token(USER)) as frontend:
            ids = await cartographe(
                server,
                STARTED,
                progress(0.25, "loading prices"),
                progress(0.5, "simulating"),
                progress(0.75, "measuring"),
                COMPLETED,
            )
            seen = await events(frontend, 5)
        assert [event["type"].partition(".")[2] for event in seen] == [
            "started",
            *["progress"] * 3,
            "completed",
        ]
        assert [event["progress"] for event in seen[1:4]] == [0.25, 0.5, 0.75]
        assert seen[0]["parameters"] == STARTED["parameters"]
        assert seen[-1]["summary"] == COMPLETED["summary"]
        assert [event["id"] for event in seen] == ids
        assert all(event["channel"] == f"user.{USER}" for event in seen)


async def test_a_frontend_that_loses_its_connection_halfway_misses_nothing_and_gets_nothing_twice() -> None:
    async with a_server(publish_auth="required") as server:
        async with server.subscribe(f"user.{USER}", token(USER)) as frontend:
            await cartographe(server, STARTED, progress(0.25, "loading prices"))
            seen = await events(frontend, 2)
        await cartographe(server, progress(0.5, "simulating"))  # nobody is there
        async with server.subscribe(f"user.{USER}", token(USER), f"&since={seen[-1]['id']}") as frontend:
            await cartographe(server, progress(0.75, "measuring"), COMPLETED)
            seen += await events(frontend, 3)
        assert [event.get("progress") for event in seen] == [None, 0.25, 0.5, 0.75, None]
        offsets = [int(event["id"].partition("-")[2]) for event in seen]
        assert offsets == [1, 2, 3, 4, 5]


async def test_another_user_sees_nothing_of_it_and_a_deployment_in_its_midst_is_announced() -> None:
    goodbyes: list[tuple[int, str | None]] = []

    async def follow(frontend: WebSocketConnection) -> None:
        goodbyes.append(await closed(frontend))

    async with trio.open_nursery() as nursery:
        async with a_server(publish_auth="required") as server:
            assert await server.refused(f"/ws/user.{USER}?token={token('somebody-else')}") == (
                1008,
                "Unauthorized access to channel",
            )
            frontend = await nursery.start(stay, server)
            await cartographe(server, STARTED)
            assert json.loads(await frontend.get_message())["type"] == "backtest.started"
            nursery.start_soon(follow, frontend)
        with trio.fail_after(5):
            while not goodbyes:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert goodbyes == [(1001, "Server shutting down for maintenance")]


async def stay(server: TestServer, *, task_status: trio.TaskStatus[WebSocketConnection]) -> None:
    """A subscriber that outlives the server."""
    async with server.subscribe(f"user.{USER}", token(USER)) as frontend:
        task_status.started(frontend)
        await trio.sleep_forever()
