"""Joining over WebSocket: who is admitted, why others are refused, and what a subscriber gets."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jwt
import pytest
import trio
from trio.testing import wait_all_tasks_blocked
from trio_websocket import ConnectionClosed, WebSocketConnection

from courier.actors import subscriber
from courier.web.join import choose
from tests.system.processes import a_node
from tests.web.servers import (
    PATIENCE_SECONDS,
    SECRET,
    TestServer,
    a_server,
    announcement,
    closed,
    events,
    exchange,
    token,
)
from tests.web.test_hypercorn import masked, open_raw, upgrade
from tests.web.test_publish import CALLER, a_server_to_drain, as_json

Refusal = tuple[int, str]

TOKEN_REQUIRED = (1008, "Authentication token required")
INVALID_TOKEN = (1008, "Invalid token")
TOKEN_EXPIRED = (1008, "Token expired")
UNAUTHORIZED = (1008, "Unauthorized access to channel")
UNKNOWN_CHANNEL = (1008, "Unknown channel")
FOREIGN_ORIGIN = (1008, "Origin not allowed")
UNREADABLE_SINCE = (1008, "Unreadable since")
TRY_AGAIN_LATER = (1013, "Try again later")

ORIGIN = "https://app.example.com"


def expired() -> str:
    return token(exp=int(time.time()) - 1)


def unsigned() -> str:
    claims = jwt.decode(token(), options={"verify_signature": False})
    return jwt.encode(claims, "", algorithm="none")


def a_token_with(**claims: object) -> str:
    """A token that is good but for these claims; one that is None is left out."""
    good = jwt.decode(token(), options={"verify_signature": False})
    return jwt.encode({k: v for k, v in (good | claims).items() if v is not None}, SECRET)


def tampered() -> str:
    """u1's token, in which somebody has written u2."""
    head, _, signature = token("u1").split(".")
    return ".".join((head, token("u2").split(".")[1], signature))


@asynccontextmanager
async def that_still_works(server: TestServer) -> AsyncIterator[None]:
    """After the block, a good join works and gets what is published."""
    yield
    async with server.subscribe() as websocket:
        assert (await server.publish("user.u1", announcement("works"))).status == 200
        assert (await events(websocket, 1))[0]["title"] == "works"


# The token


@pytest.mark.parametrize(
    ("make", "refusal"),
    [
        pytest.param(lambda: "junk", INVALID_TOKEN, id="junk"),
        pytest.param(lambda: "a.b.c", INVALID_TOKEN, id="junk with dots"),
        pytest.param(lambda: "\u2603", INVALID_TOKEN, id="a snowman"),
        pytest.param(lambda: "x" * 9000, INVALID_TOKEN, id="longer than any token"),
        pytest.param(expired, TOKEN_EXPIRED, id="expired"),
        pytest.param(lambda: token(exp=0), TOKEN_EXPIRED, id="expired in 1970"),
        pytest.param(unsigned, INVALID_TOKEN, id="alg none"),
        pytest.param(tampered, INVALID_TOKEN, id="tampered with"),
        pytest.param(
            lambda: token(secret="another secret of thirty-two bytes"), INVALID_TOKEN, id="wrong secret"
        ),
        pytest.param(
            lambda: token(secret=SECRET + SECRET, algorithm="HS512"), INVALID_TOKEN, id="another algorithm"
        ),
        pytest.param(lambda: token(exp=None), INVALID_TOKEN, id="no exp"),
        pytest.param(lambda: token(iat=None), INVALID_TOKEN, id="no iat"),
        pytest.param(lambda: a_token_with(user_id=None), INVALID_TOKEN, id="no user_id"),
        pytest.param(lambda: token(wallet_address=None), INVALID_TOKEN, id="no wallet_address"),
        pytest.param(lambda: token(""), INVALID_TOKEN, id="an empty user_id"),
        pytest.param(lambda: a_token_with(user_id=["u1"]), INVALID_TOKEN, id="a list of users"),
        pytest.param(lambda: token(exp=time.time() + 60), INVALID_TOKEN, id="exp with a fraction"),
        pytest.param(lambda: token(iat=int(time.time()) + 90), INVALID_TOKEN, id="not issued yet"),
        pytest.param(lambda: token(nbf=int(time.time()) + 90), INVALID_TOKEN, id="not good yet"),
        pytest.param(
            lambda: jwt.encode({"service": "u1", "iat": 1, "exp": 2**31}, SECRET),
            INVALID_TOKEN,
            id="a service's",
        ),
    ],
)
async def test_a_token_that_proves_nothing_is_refused(make: Callable[[], str], refusal: Refusal) -> None:
    async with a_server() as server, that_still_works(server):
        bearer = make()
        assert await server.refused(f"/ws/user.u1?token={quote(bearer)}") == refusal
        if bearer.isascii():
            headers = [(b"Authorization", f"Bearer {bearer}".encode())]
            assert await server.refused("/ws/user.u1", extra_headers=headers) == refusal


@pytest.mark.parametrize(
    ("path", "authorization"),
    [
        ("/ws/user.u1", None),
        ("/ws/user.u1?token=", None),
        ("/ws/user.u1?since=", None),
        ("/ws/user.u1", "Basic dTE6cGFzcw=="),
        ("/ws/user.u1", "Bearer"),
    ],
)
async def test_no_token_is_refused(path: str, authorization: str | None) -> None:
    headers = [] if authorization is None else [(b"Authorization", authorization.encode())]
    async with a_server() as server, that_still_works(server):
        assert await server.refused(path, extra_headers=headers) == TOKEN_REQUIRED


async def test_a_token_may_come_by_query_by_header_or_by_subprotocol() -> None:
    async with a_server() as server:
        ways: list[tuple[str, dict[str, Any]]] = [
            (f"?token={token()}", {}),
            ("", {"extra_headers": [(b"Authorization", f"Bearer {token()}".encode())]}),
            ("", {"extra_headers": [(b"authorization", f"bearer   {token()}".encode())]}),
            ("", {"subprotocols": ["courier.plain", f"courier.bearer.{token()}"]}),
            ("", {"subprotocols": [f"courier.bearer.{token()}", "courier.plain"]}),
            ("", {"subprotocols": ["courier.v1", f"courier.bearer.{token()}"]}),
            ("", {"subprotocols": [f"courier.bearer.{token()}", "courier.plain", "courier.v1"]}),
        ]
        for query, kwargs in ways:
            async with server.websocket(f"/ws/user.u1{query}", **kwargs) as websocket:
                assert websocket.subprotocol == choose(kwargs.get("subprotocols", []))
                if websocket.subprotocol == "courier.v1":
                    assert [message["type"] for message in await events(websocket, 1)] == ["courier.joined"]
                await websocket.send_message("ping")
                assert await websocket.get_message() == "pong"


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        ([], None),
        (["chat"], None),
        (["courier.bearer.x"], None),
        (["courier.plain"], "courier.plain"),
        (["courier.v1"], "courier.v1"),
        (["courier.plain", "courier.v1"], "courier.v1"),
        (["courier.v1", "courier.plain"], "courier.v1"),
        (["courier.v2", "courier.bearer.x", "courier.plain"], "courier.plain"),
        (["courier.v", "courier.v10", "COURIER.V1"], None),
    ],
)
def test_of_the_subprotocols_offered_the_one_that_says_most_is_selected_and_never_a_bearer(
    offered: list[str], selected: str | None
) -> None:
    assert choose(offered) == selected


@pytest.mark.parametrize("ours", ["courier.plain", "courier.v1"])
async def test_the_bearer_subprotocol_is_never_echoed(ours: str) -> None:
    async with a_server() as server:
        bearer = token()
        for offered in (f"courier.bearer.{bearer}, {ours}", f"{ours}, courier.bearer.{bearer}"):
            async with await server.connect() as stream:
                request = upgrade(f"Sec-WebSocket-Protocol: {offered}\r\n".encode())
                await stream.send_all(request.replace(b"?token=", b"?t="))
                head = await stream.receive_some()
                assert head.startswith(b"HTTP/1.1 101 ")
                assert ours.encode() in head
                assert bearer.encode() not in head


@pytest.mark.parametrize("beside", [[], ["chat"]], ids=["alone", "beside one that nobody speaks"])
async def test_a_bearer_that_leaves_nothing_to_select_is_no_token(beside: list[str]) -> None:
    """A browser ends a connection for which it offered subprotocols and none was selected."""
    async with a_server() as server:
        offered = [f"courier.bearer.{token()}", *beside]
        assert await server.refused("/ws/user.u1", subprotocols=offered) == INVALID_TOKEN


@pytest.mark.parametrize("ours", ["courier.plain", "courier.v1"])
async def test_a_refusal_too_selects_the_subprotocol_and_says_nothing_but_the_reason(ours: str) -> None:
    """A browser shows its page the reason only so."""
    async with a_server() as server:
        offered = [ours, "courier.bearer.junk"]
        async with server.websocket("/ws/user.u1", subprotocols=offered) as websocket:
            assert websocket.subprotocol == ours
            with pytest.raises(ConnectionClosed) as caught:
                await websocket.get_message()
            reason = caught.value.reason
            assert reason is not None
            assert (reason.code, reason.reason) == INVALID_TOKEN


# The channel


@pytest.mark.parametrize(
    ("channel", "refusal"),
    [
        ("user.u2", UNAUTHORIZED),
        ("user.U1", UNAUTHORIZED),
        ("user.u", UNAUTHORIZED),
        ("user.u11", UNAUTHORIZED),
        ("user.u1.evil", UNKNOWN_CHANNEL),
        ("user.u1/evil", UNKNOWN_CHANNEL),
        ("user.u1%2Fevil", UNKNOWN_CHANNEL),
        ("user.u1%00", UNKNOWN_CHANNEL),
        ("user.u1%20", UNKNOWN_CHANNEL),
        ("user.", UNKNOWN_CHANNEL),
        ("user", UNKNOWN_CHANNEL),
        ("room.u1", UNKNOWN_CHANNEL),
        ("forge.1", UNKNOWN_CHANNEL),
        ("GLOBAL", UNKNOWN_CHANNEL),
        ("global.1", UNKNOWN_CHANNEL),
        ("%F0%9F%92%A9", UNKNOWN_CHANNEL),
        ("%FF", UNKNOWN_CHANNEL),
        ("", UNKNOWN_CHANNEL),
    ],
)
async def test_a_channel_that_is_not_this_subscribers_is_refused(channel: str, refusal: Refusal) -> None:
    async with a_server() as server, that_still_works(server):
        assert await server.refused(f"/ws/{channel}?token={token('u1')}") == refusal


@pytest.mark.parametrize("channel", ["global", "backtest.b1", "forge.job.j1", "strategy.s1"])
async def test_any_valid_token_joins_what_is_for_all(channel: str) -> None:
    async with a_server() as server, server.subscribe(channel, token("anybody")) as websocket:
        await server.publish(channel, announcement())
        [event] = await events(websocket, 1)
        assert event["channel"] == channel


async def test_in_production_nobody_joins_a_strategy_of_which_no_one_knows_the_owner() -> None:
    async with a_server(env="production") as server:
        assert await server.refused(f"/ws/strategy.s1?token={token()}") == UNAUTHORIZED


# The origin


@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", "null", f"{ORIGIN}.evil.com", "http://app.example.com"]
)
async def test_a_foreign_origin_is_refused(origin: str) -> None:
    async with a_server(allowed_origins=ORIGIN) as server:
        headers = [(b"Origin", origin.encode())]
        assert await server.refused(f"/ws/global?token={token()}", extra_headers=headers) == FOREIGN_ORIGIN


async def test_a_known_origin_and_no_origin_are_admitted() -> None:
    async with a_server(allowed_origins=f"https://other.example.com,{ORIGIN}") as server:
        for headers in ([], [(b"Origin", ORIGIN.encode())]):
            async with server.subscribe(extra_headers=headers) as websocket:
                await websocket.send_message("ping")
                assert await websocket.get_message() == "pong"


async def test_where_no_origins_are_set_every_origin_is_admitted() -> None:
    async with (
        a_server() as server,
        server.subscribe(extra_headers=[(b"Origin", b"https://x.org")]) as websocket,
    ):
        await websocket.send_message("ping")
        assert await websocket.get_message() == "pong"


# Room


async def test_a_full_node_refuses_one_more_and_admits_it_when_somebody_has_left() -> None:
    async with a_server(max_connections=2) as server:
        path = f"/ws/global?token={token('u3')}"
        async with (
            server.subscribe("global", token("u1")),
            server.subscribe("global", token("u2")) as leaving,
        ):
            assert await server.refused(path) == TRY_AGAIN_LATER
            assert await server.refused("/ws/nope") == TRY_AGAIN_LATER, "a full node judges nothing else"
            await leaving.aclose()
            with trio.fail_after(PATIENCE_SECONDS):
                while await connections(server) != 1:
                    pass
            async with server.subscribe("global", token("u3")) as websocket:
                await websocket.send_message("ping")
                assert await websocket.get_message() == "pong"


async def connections(server: TestServer) -> int:
    count: int = (await server.request("GET", "/health")).json["metrics"]["active_connections"]
    return count


async def test_a_user_with_too_many_connections_is_refused_and_others_are_not() -> None:
    async with a_server(max_connections_per_user=2) as server:
        async with server.subscribe("global"), server.subscribe("user.u1"):
            assert await server.refused(f"/ws/global?token={token()}") == TRY_AGAIN_LATER
            async with server.subscribe("global", token("u2")) as websocket:
                await websocket.send_message("ping")
                assert await websocket.get_message() == "pong"
        with trio.fail_after(PATIENCE_SECONDS):
            while await connections(server):
                pass
        async with server.subscribe("global"):
            pass


async def test_a_node_with_too_many_channels_refuses_one_more() -> None:
    async with a_server(max_channels=1) as server, server.subscribe("user.u1"):
        assert await server.refused(f"/ws/global?token={token()}") == TRY_AGAIN_LATER


async def test_a_draining_node_refuses_whoever_comes() -> None:
    async with a_server_to_drain() as (server, begin), server.subscribe() as websocket:
        begin()
        assert await closed(websocket) == (1001, "Server shutting down for maintenance")
        assert await server.refused(f"/ws/user.u1?token={token()}") == TRY_AGAIN_LATER
        assert await server.refused("/ws/nope") == TRY_AGAIN_LATER, "a draining node judges nothing else"


# Since


@pytest.mark.parametrize(
    "since",
    [
        "",
        "yesterday",
        "0",
        "1767225600",
        "aaaaaaaa",
        "aaaaaaaa-",
        "aaaaaaaa-01",
        "AAAAAAAA-1",
        "aaaaaaaa-1-1",
        "aaaaaaaa--1",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01%2000:00:00Z",
        "2026-13-01T00:00:00Z",
        "%C2%B2%C2%B2",
        "aaaaaaaa-1%00",
        "aaaaaaaa-%D9%A1",
        "x" * 4000,
    ],
)
async def test_a_since_that_is_neither_a_position_nor_a_time_is_refused(since: str) -> None:
    async with a_server() as server, that_still_works(server):
        assert await server.refused(f"/ws/user.u1?token={token()}&since={since}") == UNREADABLE_SINCE


# The order of judgement


async def test_of_all_that_is_wrong_with_a_join_it_is_told_the_first() -> None:
    foreign = {"extra_headers": [(b"Origin", b"https://evil.example.com")]}
    async with a_server(allowed_origins=ORIGIN, max_connections=1) as server:
        async with server.subscribe("global", token("u9")):
            assert await server.refused("/ws/nope?since=x", **foreign) == TRY_AGAIN_LATER
        with trio.fail_after(PATIENCE_SECONDS):
            while await connections(server):
                pass
        assert await server.refused("/ws/nope?since=x", **foreign) == FOREIGN_ORIGIN
        assert await server.refused("/ws/nope?since=x") == TOKEN_REQUIRED
        assert await server.refused("/ws/nope?since=x&token=junk") == INVALID_TOKEN
        assert await server.refused(f"/ws/nope?since=x&token={expired()}") == TOKEN_EXPIRED
        assert await server.refused(f"/ws/nope?since=x&token={token()}") == UNKNOWN_CHANNEL
        assert await server.refused(f"/ws/user.u2?since=x&token={token()}") == UNAUTHORIZED
        assert await server.refused(f"/ws/user.u1?since=x&token={token()}") == UNREADABLE_SINCE


# Architect


@asynccontextmanager
async def an_architect(answer: bytes | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """An HTTP server that says this to every request, or never anything; its address, and the requests."""
    requests: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += await stream.receive_some()
        requests.append(request)
        if answer is None:
            await trio.sleep_forever()
        else:
            await stream.send_all(answer)
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}", requests
        nursery.cancel_scope.cancel()


def http(status: str, body: bytes, *headers: bytes) -> bytes:
    lines = [
        b"HTTP/1.1 " + status.encode(),
        b"Content-Length: %d" % len(body),
        b"Connection: close",
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


OWNED_BY_U1 = b'{"strategy_id":"s1","user_id":"u1","name":"Dip buyer"}'


async def test_the_owner_of_a_strategy_joins_it_and_architect_is_asked_with_a_service_token() -> None:
    async with (
        an_architect(http("200 OK", OWNED_BY_U1)) as (url, requests),
        a_server(architect_url=url) as server,
    ):
        for _ in range(3):
            async with server.subscribe("strategy.s1") as websocket:
                await server.publish("strategy.s1", announcement())
                assert len(await events(websocket, 1)) == 1
        assert await server.refused(f"/ws/strategy.s1?token={token('u2')}") == UNAUTHORIZED
        [request] = requests
        assert request.startswith(b"GET /strategies/s1 HTTP/1.1\r\n")
        [line] = [
            line for line in request.split(b"\r\n") if line.lower().startswith(b"authorization: bearer ")
        ]
        claims = jwt.decode(line.split()[2], SECRET, ["HS256"])
        assert claims["service"] == "courier"
        assert token().encode() not in request


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        pytest.param(http("200 OK", b'{"user_id":"u2"}'), UNAUTHORIZED, id="another owner"),
        pytest.param(http("200 OK", b'{"user_id":"u1 "}'), UNAUTHORIZED, id="not quite the owner"),
        pytest.param(http("404 Not Found", b"{}"), UNAUTHORIZED, id="404"),
        pytest.param(http("500 Internal Server Error", OWNED_BY_U1), TRY_AGAIN_LATER, id="500"),
        pytest.param(http("403 Forbidden", OWNED_BY_U1), TRY_AGAIN_LATER, id="403"),
        pytest.param(
            http("302 Found", OWNED_BY_U1, b"Location: /strategies/s2"), TRY_AGAIN_LATER, id="a redirect"
        ),
        pytest.param(http("200 OK", b"{"), TRY_AGAIN_LATER, id="broken JSON"),
        pytest.param(http("200 OK", b"{}"), TRY_AGAIN_LATER, id="no owner"),
        pytest.param(http("200 OK", b'{"user_id":null}'), TRY_AGAIN_LATER, id="null"),
        pytest.param(http("200 OK", b" " * 70_000 + OWNED_BY_U1), TRY_AGAIN_LATER, id="too long"),
        pytest.param(b"junk\r\n\r\n", TRY_AGAIN_LATER, id="no HTTP"),
        pytest.param(b"", TRY_AGAIN_LATER, id="a connection that breaks"),
    ],
)
async def test_whoever_architect_does_not_name_as_the_owner_is_refused(
    answer: bytes, refusal: Refusal
) -> None:
    async with (
        an_architect(answer) as (url, requests),
        a_server(architect_url=url) as server,
        that_still_works(server),
    ):
        assert await server.refused(f"/ws/strategy.s1?token={token('u1')}") == refusal
        assert len(requests) == 1, "no redirect is followed, and nothing is asked twice"


async def test_while_architect_does_not_answer_nobody_joins_and_nobody_else_waits() -> None:
    async with an_architect(None) as (url, requests), a_server(architect_url=url) as server:
        refusals: list[Refusal] = []

        async def join() -> None:
            code, reason = await server.refused(f"/ws/strategy.s1?token={token()}")
            refusals.append((code, reason or ""))

        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(join)
            async with that_still_works(server):
                pass
            assert refusals == []
        assert refusals == [TRY_AGAIN_LATER] * 5
        assert trio.current_time() - started < 4
        assert len(requests) == 1


async def test_where_there_is_no_architect_to_ask_nobody_joins() -> None:
    async with a_server(architect_url="http://127.0.0.1:1") as server:
        assert await server.refused(f"/ws/strategy.s1?token={token()}") == TRY_AGAIN_LATER


# What a subscriber gets


async def publish_numbers(
    server: TestServer, start: int, stop: int, channel: str = "user.u1"
) -> list[dict[str, Any]]:
    """Publish numbered events on one connection; their receipts."""
    receipts = []
    async with await server.connect() as stream:
        for number in range(start, stop):
            event = as_json(announcement(str(number)))
            receipts.append((await exchange(stream, "POST", f"/publish/{channel}", event, CALLER)).json)
    return receipts


def titles(delivered: list[dict[str, Any]]) -> list[Any]:
    return [event.get("title", event.get("reason")) for event in delivered]


async def test_whoever_has_seen_the_101_gets_every_event_from_then_on() -> None:
    async with a_server() as server:
        for number in range(20):
            async with await open_raw(server) as stream:
                assert (await server.publish("user.u1", announcement(f"event {number}"))).status == 200
                received = b""
                with trio.fail_after(5):
                    while b"}" not in received:
                        received += await stream.receive_some()
                assert json.loads(received[received.index(b"{") :])["title"] == f"event {number}"


async def test_since_a_position_everything_after_it_comes_in_order() -> None:
    async with a_server() as server:
        receipts = await publish_numbers(server, 0, 10)
        for missed in (10, 5, 1, 0):
            last_seen = receipts[9 - missed]["id"] if missed < 10 else receipts[0]["id"].split("-")[0] + "-0"
            async with server.subscribe(query=f"&since={last_seen}") as websocket:
                await server.publish("user.u1", announcement("live"))
                delivered = await events(websocket, missed + 1)
                assert titles(delivered[:missed]) == [str(n) for n in range(10 - missed, 10)]
                offsets = [int(event["id"].partition("-")[2]) for event in delivered]
                assert offsets == list(range(offsets[0], offsets[0] + missed + 1))
            receipts = await publish_numbers(server, 0, 10)


async def test_where_replay_meets_live_there_is_no_hole_and_no_duplicate() -> None:
    async with a_server() as server:
        [first] = await publish_numbers(server, 0, 1)
        count = 150
        results: list[list[str]] = []

        async def follow() -> None:
            async with server.subscribe(query=f"&since={first['id']}") as websocket:
                results.append(titles(await events(websocket, count)))

        async with trio.open_nursery() as nursery, await server.connect() as stream:
            for number in range(1, count + 1):
                event = as_json(announcement(str(number)))
                assert (await exchange(stream, "POST", "/publish/user.u1", event, CALLER)).status == 200
                if number % 15 == 0:
                    nursery.start_soon(follow)
        assert results == [[str(number) for number in range(1, count + 1)]] * 10


async def a_moment_between(server: TestServer) -> tuple[datetime, datetime]:
    """Publish one event and, later by the clock of milliseconds, another; when each arrived."""
    arrived = []
    for number in (1, 2):
        receipt = (await server.publish("user.u1", announcement(str(number)))).json
        arrived.append(datetime.fromisoformat(receipt["timestamp"]))
        while datetime.now(UTC) < arrived[-1] + timedelta(milliseconds=2):
            await trio.lowlevel.checkpoint()
    return arrived[0], arrived[1]


async def test_since_a_time_everything_that_arrived_later_comes() -> None:
    async with a_server() as server:
        first, second = await a_moment_between(server)
        moment = first.isoformat()
        assert moment.endswith("+00:00")
        zoned = first.astimezone(timezone(timedelta(hours=2))).isoformat()
        assert "+02:00" in zoned
        west = first.astimezone(timezone(timedelta(hours=-5))).isoformat()
        for since in (moment, quote(moment), zoned, quote(zoned), west, moment.replace("+00:00", "Z")):
            async with server.subscribe(query=f"&since={since}") as websocket:
                assert titles(await events(websocket, 1)) == ["2"]
        async with server.subscribe(query=f"&since={second.isoformat()}") as websocket:
            await server.publish("user.u1", announcement("3"))
            assert titles(await events(websocket, 1)) == ["3"]


GAP = {"type": "courier.gap", "channel": "user.u1"}


async def test_what_the_log_has_dropped_is_told_as_an_expired_gap() -> None:
    async with a_server(history_events=3) as server:
        receipts = await publish_numbers(server, 1, 7)
        requested = receipts[0]["id"]
        async with server.subscribe(query=f"&since={requested}") as websocket:
            gap, *rest = await events(websocket, 4)
        assert gap == GAP | {"requested": requested, "resumed_from": receipts[2]["id"], "reason": "expired"}
        assert titles(rest) == ["4", "5", "6"]
        async with server.subscribe(query=f"&since={gap['resumed_from']}") as websocket:
            assert titles(await events(websocket, 3)) == ["4", "5", "6"], "it is safe to come back with"


@pytest.mark.parametrize("where", ["another life", "ahead"])
async def test_a_position_that_this_log_never_had_is_an_unknown_one(where: str) -> None:
    async with a_server() as server:
        receipts = await publish_numbers(server, 1, 3)
        epoch = receipts[0]["id"].partition("-")[0]
        requested = "zzzzzzz0-1" if where == "another life" else f"{epoch}-3"
        async with server.subscribe(query=f"&since={requested}") as websocket:
            gap, *rest = await events(websocket, 3)
        assert gap == GAP | {
            "requested": requested,
            "resumed_from": f"{epoch}-0",
            "reason": "unknown_position",
        }
        assert titles(rest) == ["1", "2"]


async def test_a_gap_is_told_at_once_although_no_event_comes() -> None:
    async with a_server() as server, server.subscribe(query="&since=zzzzzzz0-1") as websocket:
        [gap] = await events(websocket, 1)
        assert gap["reason"] == "unknown_position"
        assert gap["resumed_from"].endswith("-0")


async def test_a_time_before_the_node_began_is_an_expired_gap_that_repeats_what_was_asked() -> None:
    async with a_server() as server:
        await publish_numbers(server, 1, 3)
        async with server.subscribe(query="&since=2020-01-01T00:00:00+02:00") as websocket:
            gap, *rest = await events(websocket, 3)
        assert gap["reason"] == "expired"
        assert gap["requested"].replace(" ", "+") == "2020-01-01T00:00:00+02:00"
        assert gap["resumed_from"].endswith("-0")
        assert titles(rest) == ["1", "2"]


async def test_a_quiet_channels_last_position_is_no_gap() -> None:
    async with a_server() as server:
        receipts = await publish_numbers(server, 1, 3)
        async with server.subscribe(query=f"&since={receipts[-1]['id']}") as websocket:
            await server.publish("user.u1", announcement("3"))
            assert titles(await events(websocket, 1)) == ["3"]


# Heartbeat


async def test_a_ping_is_answered_whether_text_or_binary_or_a_control_frame() -> None:
    async with a_server() as server, server.subscribe() as websocket:
        await websocket.send_message("ping")
        await websocket.send_message(b"ping")
        await websocket.send_message("anything else is let pass")
        await websocket.send_message("ping")
        with trio.fail_after(5):
            assert [await websocket.get_message() for _ in range(3)] == ["pong"] * 3
            await websocket.ping(b"beat")


async def test_a_silent_subscriber_is_pinged_again_and_again_and_not_closed() -> None:
    async with a_server(heartbeat_seconds=0.2) as server, server.subscribe() as websocket:
        started = trio.current_time()
        with trio.fail_after(5):
            assert [await websocket.get_message() for _ in range(3)] == ["ping"] * 3
        assert trio.current_time() - started > 0.5
        await server.publish("user.u1", announcement("still here"))
        with trio.fail_after(5):
            while (message := await websocket.get_message()) == "ping":
                pass
        assert "still here" in message


async def test_a_subscriber_that_speaks_is_not_pinged() -> None:
    async with a_server(heartbeat_seconds=1) as server, server.subscribe() as websocket:
        for _ in range(7):
            await trio.sleep(0.2)
            await websocket.send_message("ping")
            with trio.fail_after(1):
                assert await websocket.get_message() == "pong"


# The token's end


async def test_when_its_token_ends_a_subscription_ends_within_five_seconds_and_not_before() -> None:
    async with a_server() as server:
        ends = int(time.time()) + 2
        async with server.subscribe(bearer=token(exp=ends)) as websocket:
            await server.publish("user.u1", announcement("before"))
            assert titles(await events(websocket, 1)) == ["before"]
            assert time.time() < ends
            with trio.fail_after(8):
                assert await closed(websocket) == TOKEN_EXPIRED
            assert ends <= time.time() < ends + 5


async def test_a_token_ends_a_subscription_that_never_stops_speaking(no_spread: None) -> None:
    async def chatter(websocket: WebSocketConnection) -> None:
        with suppress(ConnectionClosed):  # the end that is waited for
            while True:
                await websocket.send_message("chatter")
                await trio.sleep(0.001)

    ends = int(time.time()) + 1
    async with (
        a_server() as server,
        server.subscribe(bearer=token(exp=ends)) as websocket,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(chatter, websocket)
        with trio.fail_after(6):
            assert await closed(websocket) == TOKEN_EXPIRED
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("how", ["behind with its events", "behind with its pongs"])
async def test_a_token_ends_a_subscription_that_reads_nothing_and_leaves_nothing_behind(
    how: str, monkeypatch: pytest.MonkeyPatch, no_spread: None
) -> None:
    monkeypatch.setattr(subscriber, "GOODBYE_SECONDS", 0.3)
    async with a_server() as server:
        await server.publish("user.u1", announcement())  # a channel is a task
        await wait_all_tasks_blocked(0.05)  # the publisher's connection is gone
        before = trio.lowlevel.current_statistics().tasks_living
        async with await server.connect() as stream:
            ends_soon = token(exp=int(time.time()) + 2)
            await stream.send_all(
                upgrade().replace(b"?token=", b"?t=").replace(b"\r\n", _bearer(ends_soon), 1)
            )
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 101 ")
            if how == "behind with its events":
                await publish_big(server)
            else:
                with trio.move_on_after(1):
                    while True:
                        await stream.send_all(masked(1, b"ping") * 1000)
            with trio.fail_after(10):
                while trio.lowlevel.current_statistics().tasks_living > before:
                    await trio.sleep(0.01)
        assert await connections(server) == 0


def _bearer(bearer: str) -> bytes:
    return b"\r\nAuthorization: Bearer %b\r\n" % bearer.encode()


async def publish_big(server: TestServer, channel: str = "user.u1") -> None:
    """More than all buffers between the node and a subscriber hold."""
    event = as_json(announcement("big", message="x" * 60_000))
    async with await server.connect() as stream:
        for _ in range(120):
            assert (await exchange(stream, "POST", f"/publish/{channel}", event, CALLER)).status == 200


async def test_a_peer_that_takes_no_byte_is_cut_off_and_others_get_everything_meanwhile() -> None:
    async with (
        a_server(stall_seconds=0.5) as server,
        server.subscribe() as other,
        await open_raw(server) as stream,
    ):
        await publish_big(server)
        assert titles(await events(other, 120)) == ["big"] * 120
        with trio.fail_after(10):
            while await connections(server) > 1:
                await trio.sleep(0.01)
        with trio.fail_after(5), pytest.raises(trio.BrokenResourceError):
            while await stream.receive_some():
                pass  # what the kernel still had; then the reset


async def test_a_subscriber_that_goes_is_forgotten_however_it_goes() -> None:
    async with a_server() as server:
        await server.publish("user.u1", announcement())
        before = trio.lowlevel.current_statistics().tasks_living

        async def says_goodbye(websocket: WebSocketConnection) -> None:
            await websocket.aclose(1000, "bye")

        async with server.subscribe() as websocket:
            await says_goodbye(websocket)
        async with await open_raw(server) as stream:  # half closed
            await stream.send_eof()
            with trio.fail_after(5):
                while await stream.receive_some():
                    pass
        stream = await open_raw(server)
        await trio.aclose_forcefully(stream)
        with trio.fail_after(5):
            while await connections(server):
                pass
            while trio.lowlevel.current_statistics().tasks_living > before:
                await trio.sleep(0.01)


# Secrets


def refresh(bearer: str) -> str:
    return json.dumps({"type": "courier.refresh", "token": bearer})


async def test_no_token_is_in_any_line_of_the_log(tmp_path: Path) -> None:
    command = ["hypercorn", "-k", "trio", "-b", "{bind}", "--access-logfile", "-", "courier.web:app"]
    good, wrong, old = token(), token(secret="another secret of thirty-two bytes"), expired()
    opaque = "an-opaque-secret-of-somebody"
    async with a_node(tmp_path / "log", command, LOG_LEVEL="debug") as node:
        async with node.subscribe(bearer=good):
            pass
        async with node.websocket("/ws/user.u1", subprotocols=["courier.plain", f"courier.bearer.{good}"]):
            pass
        async with node.subscribe(subprotocols=["courier.v1"]) as websocket:
            for said in (refresh(good), refresh(wrong)):
                await websocket.send_message(said)
            assert await closed(websocket) == INVALID_TOKEN
        async with node.subscribe(subprotocols=["courier.v1"]) as websocket:
            await websocket.send_message(json.dumps({"type": "courier.refresh", "token": [opaque]}))
            assert await closed(websocket) == INVALID_TOKEN
        for bearer in (wrong, old, opaque):
            headers = [(b"Authorization", f"Bearer {bearer}".encode())]
            offered = ["courier.plain", f"courier.bearer.{bearer}"]
            await node.refused(f"/ws/user.u1?token={bearer}")
            await node.refused(f"/ws/user.u1?since=x&token={bearer}")
            await node.refused("/ws/user.u1", extra_headers=headers)
            await node.refused("/ws/user.u1", subprotocols=offered)
            await node.request(
                "GET", f"/health?token={bearer}", headers={"Authorization": f"Bearer {bearer}"}
            )
            await node.request("GET", f"/nowhere?token={bearer}")
            await node.publish("global", announcement(), Authorization=f"Bearer {bearer}")
            async with await node.connect() as stream:
                await stream.send_all(
                    f"GET /ws/user.u1?token={bearer} HTTP/1.1\r\nHost: \xff\r\n\r\n".encode()
                )
                await stream.send_eof()
                while await stream.receive_some():
                    pass
        node.signal_master()
        with trio.fail_after(10):
            assert await node.exit_code() == 0
    log = node.log
    assert "Join refused" in log
    assert "Refresh refused" in log
    assert "/ws/user.u1" in log, "the access log was written"
    for bearer in (good, wrong, old):
        for part in bearer.split(".")[1:]:
            assert part not in log
    assert opaque not in log
