"""What Courier changes in Hypercorn: each trap of the stock server, by the bytes that spring it."""

import base64
import json
import os
import time
from functools import partial
from importlib.metadata import version

import h2.config
import h2.connection
import h11
import pytest
import trio
from hypercorn.config import Config

from courier.serving.desk import http
from courier.serving.hypercorn import link, worker
from courier.serving.hypercorn.config import adapt
from courier.serving.service import Service
from courier.web.server import serve
from tests.web.servers import (
    TestServer,
    a_server,
    announcement,
    closed,
    exchange,
    read_response,
    settings_for,
    token,
)

UPGRADE = (
    b"GET /ws/user.u1?token=%b HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n%b\r\n"
)


def upgrade(extra: bytes = b"") -> bytes:
    return UPGRADE % (token().encode(), base64.b64encode(os.urandom(16)), extra)


def masked(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """A client's frame (RFC 6455, 5.2), with a mask of zeros."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    return bytes([opcode | (0x80 if fin else 0)]) + length + bytes(4) + payload


async def open_raw(server: TestServer, extra: bytes = b"") -> trio.SocketStream:
    """A WebSocket by hand, its handshake done."""
    stream = await server.connect()
    await stream.send_all(upgrade(extra))
    head = b""
    while b"\r\n\r\n" not in head:
        head += await stream.receive_some()
    assert head.startswith(b"HTTP/1.1 101")
    return stream


async def close_of(stream: trio.SocketStream) -> tuple[int, str]:
    """The close frame that the server sends, and that nothing but the end follows."""
    data = b""
    with trio.fail_after(10):
        while chunk := await stream.receive_some():
            data += chunk
    assert data[0] == 0x88
    assert len(data) == 2 + data[1]
    return int.from_bytes(data[2:4], "big"), data[4:].decode()


async def alive(server: TestServer) -> bool:
    return (await server.request("GET", "/health/live")).status == 200


def test_the_hypercorn_that_was_adapted_is_the_one_installed() -> None:
    assert version("hypercorn").startswith("0.18.")


def http2_with_a_path_that_is_not_ascii() -> bytes:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
    connection.initiate_connection()
    headers = [(b":method", b"GET"), (b":path", b"/\xff"), (b":scheme", b"http"), (b":authority", b"t")]
    connection.send_headers(1, headers, end_stream=True)
    return connection.data_to_send()


H2C = (
    b"GET / HTTP/1.1\r\nHost: t\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: %b\r\n\r\n"
)
LENGTHS = b"POST /publish HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(upgrade(b"Sec-WebSocket-Protocol: \xff\r\n"), id="a subprotocol that is not ASCII"),
        pytest.param(upgrade(b"Sec-WebSocket-Extensions: \xff\r\n"), id="an extension that is not ASCII"),
        pytest.param(http2_with_a_path_that_is_not_ascii(), id="cleartext HTTP/2"),
        pytest.param(H2C % b"!!!", id="h2c with settings that are no base64"),
        pytest.param(upgrade() + b"x", id="a byte before the WebSocket is accepted"),
        pytest.param(upgrade() + masked(1, b"ping"), id="a frame before the WebSocket is accepted"),
        pytest.param(b"GET /\xff HTTP/1.1\r\nHost: t\r\n\r\n", id="a path that is not ASCII"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01", id="TLS where there is none"),
        pytest.param(LENGTHS, id="two lengths"),
        pytest.param(
            b"POST /publish HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\n", id="a negative length"
        ),
    ],
)
async def test_one_malformed_request_ends_only_its_own_connection(data: bytes) -> None:
    async with a_server() as server, server.subscribe() as websocket:
        async with await server.connect() as stream:
            await stream.send_all(data)
            await stream.send_eof()
            with trio.fail_after(10):
                try:
                    while await stream.receive_some():
                        pass
                except trio.BrokenResourceError:
                    pass
        assert await alive(server)
        await server.publish("user.u1", announcement())
        with trio.fail_after(5):
            assert "announcement" in await websocket.get_message()


async def test_h2c_is_answered_as_http_1() -> None:
    async with a_server() as server, await server.connect() as stream:
        headers = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABk"}
        assert (await exchange(stream, "GET", "/health/live", None, headers)).status == 200


async def test_compression_is_declined() -> None:
    async with a_server() as server, await server.connect() as stream:
        offer = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
        await stream.send_all(upgrade(offer))
        head = await stream.receive_some()
        assert head.startswith(b"HTTP/1.1 101")
        assert b"extensions" not in head.lower()


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        pytest.param(masked(1, b"\xff\xfe"), 1007, id="text that is not UTF-8"),
        pytest.param(b"\x81\x04ping", 1002, id="not masked"),
        pytest.param(masked(3, b""), 1002, id="an opcode that there is not"),
        pytest.param(masked(0, b""), 1002, id="the continuation of nothing"),
        pytest.param(masked(1, b"a", fin=False) + masked(1, b"b"), 1002, id="a message within a message"),
        pytest.param(masked(9, b"x" * 126), 1002, id="a ping that is too long"),
        pytest.param(masked(0x41, b""), 1002, id="a reserved bit"),
        pytest.param(masked(8, b"\x03\xe8bye"), 1000, id="a close"),
    ],
)
async def test_a_peer_that_breaks_the_protocol_is_told_how(frames: bytes, code: int) -> None:
    async with a_server() as server, await open_raw(server) as stream:
        await stream.send_all(frames)
        assert (await close_of(stream))[0] == code
        assert await alive(server)


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(masked(1, b"x" * 65_537), id="in one frame"),
        pytest.param(masked(2, bytes(65_537)), id="binary"),
        pytest.param(masked(1, "€".encode() * 21_846), id="counted in bytes, not in characters"),
        pytest.param(masked(1, b"x" * 40_000, fin=False) + masked(0, b"x" * 40_000), id="in two"),
    ],
)
async def test_a_message_over_64_kib_is_too_big(frames: bytes) -> None:
    async with a_server() as server, await open_raw(server) as stream:
        await stream.send_all(frames)
        assert await close_of(stream) == (1009, "Message too big")


async def test_a_message_of_64_kib_is_borne() -> None:
    async with a_server() as server, server.subscribe() as websocket:
        await websocket.send_message("x" * 65_536)
        await websocket.send_message(b"")
        await websocket.send_message("ping")
        assert await websocket.get_message() == "pong"


async def test_a_peer_that_sends_and_does_not_read_is_cut_and_not_waited_for() -> None:
    async with a_server(stall_seconds=0.3) as server:
        async with server.subscribe():  # which starts the channel's own task
            pass
        assert await alive(server)
        before = trio.lowlevel.current_statistics().tasks_living
        stream = await open_raw(server)
        flood = masked(9, b"p" * 125) * 1000 + masked(1, b"ping") * 1000
        with pytest.raises(trio.BrokenResourceError), trio.fail_after(20):
            while True:
                await stream.send_all(flood)
        await stream.aclose()
        with trio.fail_after(10):
            while trio.lowlevel.current_statistics().tasks_living > before:
                await trio.lowlevel.checkpoint()


async def test_what_was_said_before_a_close_is_not_lost_by_what_the_peer_still_sends() -> None:
    async with a_server(max_event_bytes=1024) as server, await server.connect() as stream:
        head = b"POST /publish/global HTTP/1.1\r\nHost: t\r\nContent-Length: 4000000\r\n\r\n"
        await stream.send_all(head)
        for _ in range(40):
            await stream.send_all(bytes(100_000))
        connection = h11.Connection(h11.CLIENT)
        connection.send(h11.Request(method="POST", target="/", headers=[("Host", "t")]))
        response = await read_response(stream, connection)
        assert response.status == 413
        assert response.headers["connection"] == "close"


async def test_many_requests_share_a_connection() -> None:
    async with a_server() as server, await server.connect() as stream:
        for _ in range(1100):
            assert (await exchange(stream, "GET", "/health/live")).status == 200


async def test_the_close_comes_with_its_reason_after_all_that_was_sent() -> None:
    soon = token(exp=int(time.time()) + 1)
    async with a_server() as server, server.subscribe(bearer=soon) as websocket:
        await server.publish("user.u1", announcement())
        assert await closed(websocket) == (1008, "Token expired")


def keep_alive_for(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    def adapt_with_little_patience(config: Config, service: Service) -> None:
        adapt(config, service)
        config.keep_alive_timeout = seconds

    monkeypatch.setattr(worker, "adapt", adapt_with_little_patience)
    monkeypatch.setattr(http, "IDLE_SECONDS", seconds)


async def test_a_connection_that_is_used_is_kept_however_old(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_alive_for(monkeypatch, 0.5)
    async with a_server() as server, await server.connect() as stream:
        for _ in range(6):
            assert (await exchange(stream, "GET", "/health/live")).status == 200
            await trio.sleep(0.15)


async def test_who_asks_again_and_again_is_told_of_the_end() -> None:
    """A node without subscribers drains at once, and whose connection is cut cannot tell what was heard."""
    stop = trio.Event()
    body = json.dumps(announcement()).encode()
    headers = {"Content-Type": "application/json", "X-Service-Name": "tests"}
    async with trio.open_nursery() as nursery:
        [url] = await nursery.start(partial(serve, settings_for(), shutdown_trigger=stop.wait))
        async with await TestServer(url).connect() as busy, await TestServer(url).connect() as silent:
            for stream in (busy, silent):
                assert (await exchange(stream, "POST", "/publish/user.u1", body, headers)).status == 200
            stop.set()
            with trio.fail_after(5), pytest.raises(OSError):
                while True:  # until nothing listens any more
                    await (await TestServer(url).connect()).aclose()
            said = await exchange(busy, "POST", "/publish/user.u1", body, headers)
            assert said.status == 503
            assert (said.headers["retry-after"], said.headers["connection"]) == ("1", "close")
            for stream in (busy, silent):
                with trio.fail_after(2):
                    assert await stream.receive_some() == b""


async def test_an_idle_connection_is_closed_in_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_alive_for(monkeypatch, 0.2)
    async with a_server() as server, await server.connect() as stream:
        assert (await exchange(stream, "GET", "/health/live")).status == 200
        with trio.fail_after(5):
            assert await stream.receive_some() == b""


CLOSE = b"GET /health/live HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
TOO_LARGE = b"POST /publish HTTP/1.1\r\nHost: t\r\nContent-Length: 1025\r\n\r\n" + bytes(1025)


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    ("last", "status"),
    [pytest.param(CLOSE, b"200", id="said to be"), pytest.param(TOO_LARGE, b"413", id="refused half-read")],
)
async def test_what_follows_the_last_request_does_not_harm_its_answer(
    last: bytes, status: bytes, apart: bool
) -> None:
    async with a_server(max_event_bytes=1024) as server:
        for _ in range(20):
            async with await server.connect() as stream:
                for data in (last, CLOSE) if apart else (last + CLOSE,):
                    await stream.send_all(data)
                answer = b""
                with trio.fail_after(5):
                    while more := await stream.receive_some():
                        answer += more
            assert answer.startswith(b"HTTP/1.1 " + status)
            assert answer.endswith(b"}")
            assert answer.count(b"HTTP/1.1") == 1


async def test_an_answer_that_was_begun_is_whole_though_the_rest_of_its_request_is_broken() -> None:
    """Whether it was begun when the broken place is read, hangs on how much there is before it."""
    begin = b"POST /nowhere HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with a_server() as server:
        for chunks in list(range(12)) * 10:
            with trio.fail_after(5):
                said = await server.raw(begin + b"1\r\na\r\n" * chunks + b"broken\r\n\r\n")
            head, _, body = said.partition(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length: ")[2].split()[0])
            assert len(body) == size, head


async def test_after_the_last_answer_the_end_comes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "LINGER_SECONDS", 60)
    async with a_server() as server:
        for _ in range(5):
            with trio.fail_after(5):
                assert (await server.raw(CLOSE)).endswith(b"}")
