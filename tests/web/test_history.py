"""History over HTTP: what the log holds, for whoever may join the channel."""

import socket
from contextlib import AsyncExitStack
from typing import Any

import h11
import pytest
import trio

from courier.serving.hypercorn import http1
from courier.web import readers
from tests.web.servers import Response, TestServer, a_server, announcement, events, token
from tests.web.test_publish import a_server_to_drain


async def ask(server: TestServer, channel: str = "user.u1", query: str = "", **claims: Any) -> Response:
    headers = {"Authorization": f"Bearer {token(**claims)}"}
    return await server.request("GET", f"/history/{channel}{query}", headers=headers)


async def published(server: TestServer, count: int, channel: str = "user.u1") -> list[str]:
    """The ids of so many events."""
    receipts = [await server.publish(channel, announcement(str(number))) for number in range(count)]
    return [receipt.json["id"] for receipt in receipts]


def titles(answer: Response) -> list[int]:
    return [int(event["title"]) for event in answer.json["events"]]


async def test_without_since_the_newest_come_oldest_first() -> None:
    async with a_server() as server:
        ids = await published(server, 5)
        answer = await ask(server, query="?limit=2")
        assert answer.status == 200
        assert titles(answer) == [3, 4]
        assert answer.json["channel"] == "user.u1"
        assert answer.json["position"] == ids[-1]
        assert (answer.json["complete"], answer.json["more"]) == (True, False)


async def test_an_event_of_the_history_is_the_one_that_subscribers_got() -> None:
    async with a_server() as server, server.subscribe() as websocket:
        await published(server, 3)
        assert (await ask(server)).json["events"] == await events(websocket, 3)


async def test_from_page_to_page_nothing_is_missed_and_nothing_comes_twice() -> None:
    async with a_server() as server:
        first = (await published(server, 7))[0]
        seen, since, more = [0], first, True
        while more:
            answer = await ask(server, query=f"?since={since}&limit=4")
            seen += titles(answer)
            since, more = answer.json["position"], answer.json["more"]
            assert answer.json["complete"]
        assert seen == list(range(7))


async def test_a_position_of_the_history_is_a_good_since_for_a_join() -> None:
    async with a_server() as server:
        await published(server, 3)
        position = (await ask(server)).json["position"]
        await published(server, 1)
        async with server.subscribe(query=f"&since={position}") as websocket:
            [event] = await events(websocket, 1)
        assert event["title"] == "0"


async def test_since_a_time_gives_what_came_later() -> None:
    async with a_server() as server:
        receipt = (await server.publish("user.u1", announcement("0"))).json
        answer = await ask(server, query=f"?since={receipt['timestamp']}")
        assert (titles(answer), answer.json["complete"]) == ([], True)
        assert answer.json["position"] == receipt["id"]


async def test_what_is_gone_makes_the_answer_incomplete() -> None:
    async with a_server(history_events=3) as server:
        ids = await published(server, 6)
        answer = await ask(server, query=f"?since={ids[0]}")
        assert (titles(answer), answer.json["complete"]) == ([3, 4, 5], False)
        answer = await ask(server, query="?since=zzzzzzzz-1")
        assert (titles(answer), answer.json["complete"]) == ([3, 4, 5], False)


async def test_an_empty_channel_has_a_position_that_is_safe_to_keep() -> None:
    async with a_server() as server:
        answer = (await ask(server)).json
        assert (answer["events"], answer["complete"], answer["more"]) == ([], True, False)
        await published(server, 1)
        later = await ask(server, query=f"?since={answer['position']}")
        assert (titles(later), later.json["complete"]) == ([0], True)


async def test_the_token_may_come_in_the_query() -> None:
    async with a_server() as server:
        answer = await server.request("GET", f"/history/user.u1?token={token()}")
        assert answer.status == 200


@pytest.mark.parametrize(
    ("channel", "query", "claims", "status", "error"),
    [
        pytest.param("user.u2", "", {}, 403, "Unauthorized access to channel", id="another user's"),
        pytest.param("nothing", "", {}, 400, "Unknown channel", id="no channel"),
        pytest.param("user.u1", "", {"exp": 1}, 401, "Token expired", id="expired"),
        pytest.param("user.u1", "", {"secret": "x" * 40}, 401, "Invalid token", id="another secret"),
        pytest.param("user.u1", "?since=yesterday", {}, 400, "Unreadable since", id="since"),
        pytest.param("user.u1", "?order=newest", {}, 400, "Unreadable order", id="order"),
        pytest.param("user.u1", "?before=x&order=desc", {}, 400, "Unreadable before", id="before"),
        pytest.param("user.u1", "?wait=61", {}, 400, "Unreadable wait", id="too long"),
        pytest.param("user.u1", "?wait=soon", {}, 400, "Unreadable wait", id="no wait"),
        pytest.param("user.u1", "?wait=1&wait=2", {}, 400, "Query parameter", id="two waits"),
        pytest.param("user.u1", "?before=aaaaaaaa-1", {}, 400, "Query parameter", id="before alone"),
        pytest.param("user.u1", "?wait=1&order=desc", {}, 400, "Query parameter", id="wait and desc"),
        pytest.param("user.u1", "?wait=1&limit=0", {}, 400, "Query parameter", id="wait for none"),
        pytest.param(
            "user.u1",
            "?since=aaaaaaaa-1&order=desc",
            {},
            400,
            "Query parameter",
            id="since and desc",
        ),
        pytest.param("user.u1", "?limit=1001", {}, 400, "Unreadable limit", id="too many"),
        pytest.param("user.u1", "?limit=9999999999999", {}, 400, "Unreadable limit", id="far too many"),
        pytest.param("user.u1", "?limit=-1", {}, 400, "Unreadable limit", id="negative"),
        pytest.param("user.u1", "?limit=ten", {}, 400, "Unreadable limit", id="a word"),
        pytest.param("user.u2", "?since=x", {"exp": 1}, 401, "Token expired", id="the first fault counts"),
    ],
)
async def test_it_is_judged_as_a_join(
    channel: str, query: str, claims: dict[str, Any], status: int, error: str
) -> None:
    async with a_server() as server:
        answer = await ask(server, channel, query, **claims)
        assert (answer.status, answer.error["error"].startswith(error)) == (status, True)


async def test_without_a_token_it_says_so() -> None:
    async with a_server() as server:
        answer = await server.request("GET", "/history/global")
        assert (answer.status, answer.error) == (401, {"error": "Authentication token required"})


async def test_a_draining_node_is_503() -> None:
    async with a_server_to_drain() as (server, drain):
        drain()
        with trio.fail_after(5):
            while (answer := await ask(server)).status == 200:
                pass
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")


ORIGIN = "https://app.example.com"


async def test_a_page_of_an_allowed_origin_may_read_it() -> None:
    async with a_server(allowed_origins=(ORIGIN,)) as server:
        headers = {"Authorization": f"Bearer {token()}", "Origin": ORIGIN}
        answer = await server.request("GET", "/history/user.u1", headers=headers)
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "access-control-allow-credentials" not in answer.headers
        answer = await server.request("OPTIONS", "/history/user.u1", headers={"Origin": ORIGIN})
        assert (answer.status, answer.headers["access-control-allow-headers"]) == (
            204,
            "Authorization, Last-Event-ID",
        )
        headers["Origin"] = "https://evil.example.com"
        for method in ("GET", "OPTIONS"):
            answer = await server.request(method, "/history/user.u1", headers=headers)
            assert "access-control-allow-origin" not in answer.headers
            assert answer.headers["vary"] == "Origin"


async def test_without_allowed_origins_no_page_is_told_that_it_may() -> None:
    async with a_server() as server:
        headers = {"Authorization": f"Bearer {token()}", "Origin": ORIGIN}
        answer = await server.request("GET", "/history/user.u1", headers=headers)
        assert (answer.status, "access-control-allow-origin" in answer.headers) == (200, False)


# What a reader may take from a node


async def test_a_page_has_a_mebibyte_and_from_page_to_page_nothing_is_missed() -> None:
    """And an event that is larger alone comes alone."""
    async with a_server(max_event_bytes=3_000_000) as server:
        sizes = [60_000] * 20 + [2_000_000] + [60_000] * 20
        for number, size in enumerate(sizes):
            event = announcement(str(number), message="x" * size)
            assert (await server.publish("user.u1", event)).status == 200
        newest = await ask(server, query="?limit=1000")
        assert titles(newest) == list(range(41 - 17, 41))
        assert (newest.json["complete"], newest.json["more"]) == (True, False)
        seen, since, more = [0], newest.json["position"].partition("-")[0] + "-1", True
        while more:
            page = await ask(server, query=f"?since={since}&limit=1000")
            assert len(page.json["events"]) == 1 or len(page.body) < 1_100_000
            seen += titles(page)
            since, more = page.json["position"], page.json["more"]
        assert seen == list(range(41))


async def test_readers_that_do_not_read_are_as_many_as_a_user_and_a_node_may_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And cost a page at most; when they go, there is room again."""
    monkeypatch.setattr(readers, "READERS", 10)
    async with a_server() as server, AsyncExitStack() as stack:
        for _ in range(20):
            await server.publish("global", announcement(message="x" * 60_000))

        async def lazy(user: str, code: bytes) -> None:
            stream = await stack.enter_async_context(await server.connect())
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await stream.send_all(
                f"GET /history/global?limit=1000&token={token(user)} HTTP/1.1\r\nHost: t\r\n\r\n".encode()
            )
            assert (await stream.receive_some(16)).startswith(b"HTTP/1.1 " + code)

        for _ in range(readers.READERS_PER_USER):
            await lazy("u1", b"200")
        refused = await ask(server, "global")
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert refused.error["error"].startswith("User reads as many histories")
        await lazy("u2", b"200")
        await lazy("u3", b"200")
        refused = await ask(server, "global", user_id="u4")
        assert refused.error["error"].startswith("Node sends as many histories")
        await stack.aclose()
        with trio.fail_after(10):
            while (await ask(server, "global")).status != 200:
                await trio.sleep(0.01)


async def test_of_a_large_answer_a_node_holds_little_while_nobody_reads_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every other answer goes out piece by piece, too."""
    sent: list[int] = []
    write = http1.Http1._send_h11_event

    async def noted(self: http1.Http1, event: Any) -> None:
        if isinstance(event, h11.Data):
            sent.append(len(event.data))
        await write(self, event)

    monkeypatch.setattr(http1.Http1, "_send_h11_event", noted)
    async with a_server() as server:
        for _ in range(20):
            await server.publish("user.u1", announcement(message="x" * 60_000))
        answer = await ask(server)
        assert len(answer.body) == sum(sent) > 1_000_000 - 60_000
        document = await server.request("GET", "/openapi.json")
        assert len(document.body) > http1.PIECE_BYTES
    assert max(sent) <= 2 * http1.PIECE_BYTES
