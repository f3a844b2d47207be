"""Heads that could be read in two ways are refused, whatever they ask for; and those that cannot are not."""

from urllib.parse import quote

import pytest
import trio

from courier.web.head import is_plain
from tests.web.servers import a_server, announcement, events, token
from tests.web.test_hypercorn import upgrade

NOT_PLAIN = [
    "//metrics",
    "/%6detrics",
    "/%61dmin",
    "/admin//overview",
    "/./metrics",
    "/health/../metrics",
    "/metrics/.",
    "/metrics/..",
    "/%2e%2e/metrics",
    "/%2Fmetrics",
    "/publish/user.a%2fb",
    "/publish/us%65r.u1",
    "/publish/user%2Eu1",
    "/publish/user.%7Eu1",
    "/publish//user.u1",
    "/publish/user.u1%",
    "/publish/user.u1%4",
    "/publish/user.u1%zz",
    "/history/user%5Fu1",
    "/health/%6Cive",
]


@pytest.mark.parametrize("path", NOT_PLAIN)
async def test_a_path_that_two_readers_may_read_differently_is_400(path: str) -> None:
    async with a_server() as server:
        for method in ("GET", "POST"):
            answer = await server.request(method, path, b"" if method == "POST" else None)
            assert answer.status == 400
            assert answer.error["error"].startswith("Path must be in its plain form")
            assert answer.headers["connection"] == "close"


def test_what_encodeuricomponent_and_quote_write_is_plain() -> None:
    texts = [chr(code) for code in range(256) if chr(code) != "/"]
    assert all(is_plain(b"/publish/user.x" + quote(text, safe="!~*'()").encode()) for text in texts)
    assert all(is_plain(b"/publish/user.x" + quote(text, safe="").encode()) for text in texts)
    assert not is_plain(b"/publish/user.a" + quote("/", safe="").encode())


def test_no_character_that_needs_no_escape_may_have_one() -> None:
    unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
    for code in range(256):
        assert is_plain(b"/a%%%02x" % code) is is_plain(b"/a%%%02X" % code)
        assert is_plain(b"/a%%%02x" % code) is (chr(code) not in unreserved + "/")


@pytest.mark.parametrize("path", ["user%2Eu1", "user.u1%2F", "/user.u1", "user.u1/../user.u1", "user.u1%"])
async def test_a_join_by_a_path_that_is_not_plain_names_no_channel(path: str) -> None:
    async with a_server() as server, await server.connect() as stream:
        assert await server.refused(f"/ws/{path}?token={token()}") == (1008, "Unknown channel")
        await stream.send_all(upgrade().replace(b"/ws/", b"//ws/"))
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 400 ")


ONCE = [
    "X-Service-Name: tests",
    "Authorization: Bearer x",
    "Content-Type: application/json",
    "Idempotency-Key: k",
]
ONCE += ["X-Request-ID: r", "Host: test"]


def post(path: str, *lines: str, body: bytes = b"{}") -> bytes:
    head = "\r\n".join([f"POST {path} HTTP/1.1", *lines, f"Content-Length: {len(body)}"])
    return head.encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize("line", ONCE)
@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
async def test_a_header_that_holds_one_value_is_refused_when_it_comes_twice(line: str, kind: str) -> None:
    name = line.partition(":")[0]
    heads = [ONCE[0], ONCE[-1], f"Content-Type: {kind}"]
    again = [line.lower() + "2", *([] if any(each.startswith(name) for each in heads) else [line])]
    async with a_server() as server:
        for path in ("/publish/user.u1", "/publish", "/publish/batch"):
            answer = await server.raw(post(path, *heads, *again))
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert b"connection: close" in answer
            sentence = "malformed" if name == "Host" else f"Header {name.title()} came more than once"
            assert sentence.encode() in answer
        answer = await server.raw(
            f"GET /history/user.u1 HTTP/1.1\r\nHost: test\r\n{line}\r\n{line}\r\n\r\n".encode()
        )
        assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "line",
    [
        b"Authorization: Bearer x",
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        b"Sec-WebSocket-Version: 13",
    ],
)
async def test_a_handshake_with_two_of_a_header_is_400(line: bytes) -> None:
    async with a_server() as server:
        twice = line + b"\r\n" if line.startswith(b"Sec") else (line + b"\r\n") * 2
        answer = await server.raw(upgrade(twice))
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"came more than once" in answer


async def test_a_parameter_that_came_twice_is_refused() -> None:
    good = token()
    async with a_server() as server:
        for query in (
            f"token={good}&token={good}",
            f"token={good}&%74oken=x",
            f"token={good}&limit=1&limit=1000",
        ):
            answer = await server.request("GET", f"/history/user.u1?{query}")
            assert answer.status == 400
            assert answer.error["error"].endswith("came more than once")
        assert await server.refused(f"/ws/user.u1?token={good}&token={good}") == (1008, "Invalid token")
        since = "since=2026-01-31T12:00:00Z"
        assert await server.refused(f"/ws/user.u1?token={good}&{since}&{since}") == (1008, "Unreadable since")
        assert (await server.request("GET", "/health/live?x=1&x=2")).status == 200


CHUNKED = (
    b"POST /publish HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n%b\r\n0\r\n\r\n"
)
LIVE = b"GET /health/live HTTP/1.1\r\nHost: t\r\n\r\n"


@pytest.mark.parametrize("more", [b"", b"X-Service-Name: tests\r\nContent-Type: application/x-ndjson\r\n"])
async def test_a_request_with_two_framings_is_refused_and_what_follows_it_is_not_read(more: bytes) -> None:
    async with a_server() as server:
        for path in (b"/publish", b"/publish/batch", b"/health/live"):
            answer = await server.raw(CHUNKED.replace(b"/publish", path) % more + LIVE)
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert b"both Content-Length and Transfer-Encoding" in answer
            assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
async def test_empty_lines_before_a_request_are_passed_over(size: int) -> None:
    """RFC 9112, 2.2: on a fresh connection, and between requests, at the desk and elsewhere."""
    event = b'{"type":"system.announcement","source":"tests","title":"t","message":"m","severity":"info"}'
    publish = post("/publish/user.u1", "Host: t", ONCE[0], ONCE[2], body=event)
    last = LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    sent = b"\r\n" + LIVE + b"\r\n\r\n" + publish + b"\r\n" + publish + b"\r\n" + last
    async with a_server() as server, await server.connect() as stream:
        for start in range(0, len(sent), size):
            await stream.send_all(sent[start : start + size])
            if size < 1000:
                await trio.sleep(0)
        answers = b""
        with trio.fail_after(10):
            while data := await stream.receive_some():
                answers += data
        assert answers.count(b"HTTP/1.1 200 ") == 4
        assert b"-2" in answers


async def test_what_is_no_empty_line_before_a_request_is_still_400() -> None:
    async with a_server() as server:
        for odd in (b"\r", b"\n", b" \r\n", b"\r\r\n"):
            assert (await server.raw(odd + LIVE)).startswith(b"HTTP/1.1 400 ")


async def test_a_channel_is_the_same_however_its_name_is_escaped() -> None:
    """On both paths, in publishes, joins and histories; in a query a plus is a space."""
    name, bearer = "user.auth0|x:y+z~@", token("auth0|x:y+z~@")
    ways = [name, "user." + quote("auth0|x:y+z~@", safe="~"), name.replace("|", "%7c")]
    async with a_server() as server:
        for way in ways:
            async with server.subscribe(way, bearer) as websocket:
                for slow in ({}, {"TE": "trailers"}):
                    assert (await server.publish(way, announcement(), **slow)).json["channel"] == name
                assert [event["channel"] for event in await events(websocket, 2)] == [name] * 2
            answer = await server.request("GET", f"/history/{way}?limit=1&token={bearer}")
            assert [event["channel"] for event in answer.json["events"]] == [name]
