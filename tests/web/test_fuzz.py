"""Nonsense, in every form, against a real server: it harms only its sender, and leaves nothing behind."""

import base64
import os
import random
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import trio

from tests.web.servers import PATIENCE_SECONDS, TestServer, a_server, announcement, events, token
from tests.web.test_hypercorn import alive, masked, open_raw, upgrade

SEED = int(os.environ.get("COURIER_TEST_SEED", "0")) or random.SystemRandom().getrandbits(32)
ROUNDS = 300
AT_ONCE = 15

Attack = Callable[[TestServer, random.Random], Awaitable[None]]


def tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


async def until_settled(before: int) -> None:
    """Wait until as many tasks live as before."""
    with trio.fail_after(PATIENCE_SECONDS):
        while tasks() > before:
            await trio.sleep(0.01)


@asynccontextmanager
async def an_unharmed_server() -> AsyncIterator[TestServer]:
    """A server which, after the block, has lost nothing, refuses nobody and has no task more than before."""
    print(f"COURIER_TEST_SEED={SEED}")  # noqa: T201 - to run it again
    async with (
        a_server(max_connections_per_user=0) as server,
        server.subscribe() as witness,
    ):
        await server.publish("user.u1", announcement("first"))
        async with server.subscribe("global"):
            pass  # the channel's own task is nobody's
        before = tasks()
        yield server
        assert await alive(server)
        await server.publish("user.u1", announcement("last"))
        assert [event["title"] for event in await events(witness, 2)] == ["first", "last"]
        await until_settled(before)
        health = (await server.request("GET", "/health")).json["metrics"]
        assert health["active_connections"] == 1


async def read_all(stream: trio.SocketStream) -> bytes:
    """All that the server says until it closes; it must close."""
    received = b""
    with trio.fail_after(PATIENCE_SECONDS):
        try:
            while chunk := await stream.receive_some():
                received += chunk
        except trio.BrokenResourceError:
            pass
    return received


async def send(stream: trio.SocketStream, data: bytes, dice: random.Random) -> None:
    """Send in pieces of any size; that the server has closed meanwhile is its right."""
    try:
        while data:
            size = dice.choice([1, 2, 7, 100, 5000, len(data)])
            await stream.send_all(data[:size])
            data = data[size:]
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass


async def leave(stream: trio.SocketStream, dice: random.Random) -> None:
    """Go, in one of the ways that peers go."""
    match dice.choice(["eof", "close", "reset", "wait"]):
        case "eof":
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await stream.send_eof()
            await read_all(stream)
        case "reset":
            await reset(stream)
        case "wait":
            with trio.move_on_after(0.05):
                await read_all(stream)
        case _:
            pass
    await trio.aclose_forcefully(stream)


async def fuzz(server: TestServer, attack: Attack) -> None:
    """Attack so many times, some at once, each with dice of its own."""
    limit = trio.CapacityLimiter(AT_ONCE)

    async def one(number: int) -> None:
        async with limit:
            await attack(server, random.Random(f"{SEED} {number}"))

    async with trio.open_nursery() as nursery:
        for number in range(ROUNDS):
            nursery.start_soon(one, number)


# Handshakes


PATHS = [b"/ws/user.u1"] * 3 + [
    b"/ws/user.u2",
    b"/ws/",
    b"/ws",
    b"/",
    b"/ws/%ff",
    b"/ws/" + b"x" * 4000,
    b"*",
]
SINCES = [b"", b"aaaaaaaa-1", b"2026-01-01T00:00:00Z", b"%f0%9f", b"&&==%"]

HANDSHAKE = {
    b"Host": [b"t", b"t", b"", b"\xff", b"t\x00"],
    b"Connection": [b"Upgrade", b"Upgrade", b"upgrade, keep-alive", b"close", b""],
    b"Upgrade": [b"websocket", b"WebSocket", b"h2c", b"websocket, h2c", b"\xff"],
    b"Sec-WebSocket-Version": [b"13", b"13", b"13", b"12", b"", b"13, 8", b"-1"],
    b"Sec-WebSocket-Key": [base64.b64encode(bytes(size)) for size in (16, 16, 16, 0, 15, 64)] + [b"\xff"],
}
"""What a handshake needs: some values that will do, and some that won't."""

MORE = {
    b"Sec-WebSocket-Protocol": [
        b"courier.plain",
        b"courier.v1",
        b"",
        b",,",
        b"\xff",
        b"courier.bearer.x",
        b"a" * 500,
    ],
    b"Sec-WebSocket-Extensions": [b"permessage-deflate", b"permessage-deflate; x=\xff", b";;", b""],
    b"Authorization": [b"Bearer", b"Bearer junk", b"Bearer \xff", b"Basic x"],
    b"Origin": [b"null", b"https://x.org", b"\xff"],
    b"Content-Length": [b"0", b"5", b"-1", b"9" * 30, b"x"],
    b"Transfer-Encoding": [b"chunked", b"gzip", b"identity"],
    b"Expect": [b"100-continue", b"x"],
    b"\x00": [b"\x00"],
    b"X": [b"\x01\x02", b"x" * 20_000],
}


def a_handshake(dice: random.Random) -> bytes:
    """A WebSocket's handshake, more or less."""
    bearer = dice.choice([token(), token(), "junk", "", "%ff%00", token() + "x", "a" * 3000]).encode()
    method = dice.choice([b"GET", b"GET", b"GET", b"POST", b"get", b"\xff"])
    version = dice.choice([b"1.1", b"1.1", b"1.1", b"1.0", b"2", b"9.9"])
    target = b"%b?token=%b&since=%b" % (dice.choice(PATHS), bearer, dice.choice(SINCES))
    names = dice.sample(sorted(HANDSHAKE), dice.choice([5, 5, 5, 5, 4, 3]))
    names += dice.sample(sorted(MORE), dice.choice([0, 0, 1, 2, 5]))
    lines = [name + b": " + dice.choice((HANDSHAKE | MORE)[name]) for name in names]
    whole = b"\r\n".join([b"%b %b HTTP/%b" % (method, target, version), *lines, b"", b""])
    match dice.randrange(8):
        case 0:
            return whole[: dice.randrange(len(whole))]
        case 1:
            place = dice.randrange(len(whole))
            return whole[:place] + dice.randbytes(dice.choice([1, 1, 30])) + whole[place + 1 :]
        case 2:
            return whole + dice.randbytes(dice.choice([1, 100]))
        case _:
            return whole


async def test_no_handshake_harms_the_server() -> None:
    async def attack(server: TestServer, dice: random.Random) -> None:
        stream = await server.connect()
        await send(stream, a_handshake(dice), dice)
        await leave(stream, dice)

    async with an_unharmed_server() as server:
        await fuzz(server, attack)


async def test_no_bytes_harm_the_server() -> None:
    async def attack(server: TestServer, dice: random.Random) -> None:
        stream = await server.connect()
        begin = dice.choice(
            [
                b"",
                b"GET ",
                b"POST /publish HTTP/1.1\r\n",
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                b"\x16\x03\x01",
            ]
        )
        await send(stream, begin + dice.randbytes(dice.choice([1, 10, 1000, 40_000])), dice)
        await leave(stream, dice)

    async with an_unharmed_server() as server:
        await fuzz(server, attack)


KEY = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(b"Sec-WebSocket-Version: 13\r\n", id="no key"),
        pytest.param(KEY, id="no version"),
        pytest.param(KEY + b"Sec-WebSocket-Version: 12\r\n", id="an old version"),
    ],
)
async def test_a_handshake_that_is_none_is_refused_and_its_connection_closed(lines: bytes) -> None:
    async with an_unharmed_server() as server, await server.connect() as stream:
        head = b"GET /ws/user.u1 HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        await stream.send_all(head + lines + b"\r\n")
        answer = await read_all(stream)  # it must not wait for us to go
        assert answer.startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize("path", ["/ws", "/ws//user.u1", "//ws/user.u1", "/publish//global", "/health/"])
async def test_no_answer_to_an_odd_path_repeats_the_token(path: str) -> None:
    async with a_server() as server:
        secret = token()
        for request in (b"GET /ws/user.u1?token=%b HTTP/1.1\r\nHost: t\r\n\r\n" % secret.encode(), upgrade()):
            async with await server.connect() as stream:
                await stream.send_all(request.replace(b"/ws/user.u1", path.encode()))
                with trio.fail_after(5):
                    answer = await stream.receive_some()
                assert answer.split()[1] in (b"101", b"400", b"404", b"405")
                assert secret.encode() not in answer
                assert b"text/html" not in answer


@pytest.mark.parametrize("line", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Upgrade: h2c"])
async def test_a_handshake_with_something_odd_is_not_logged_as_a_fault_of_ours(
    line: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or whoever likes fills the log with tracebacks."""
    async with an_unharmed_server() as server, await server.connect() as stream:
        await stream.send_all(upgrade(line + b"\r\n"))
        with trio.move_on_after(0.3):
            await stream.receive_some()
    assert "Traceback" not in capsys.readouterr().err


async def test_a_peer_that_speaks_before_its_turn_is_not_logged_as_a_fault_of_ours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with an_unharmed_server() as server:
        for size in range(40):
            async with await server.connect() as stream:
                await stream.send_all(upgrade())
                for _ in range(size % 8):
                    await trio.lowlevel.checkpoint()
                await stream.send_all(b"/" * (size + 2))  # of one byte alone, nothing can be said
                await read_all(stream)
    assert "Traceback" not in capsys.readouterr().err


AGAIN = [
    pytest.param(b"GET /health/live HTTP/1.1\r\nHost: t\r\n\r\n", id="GET"),
    pytest.param(b"POST /publish HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n", id="POST"),
    pytest.param(b"GET /nowhere HTTP/1.1\r\nHost: t\r\nUpgrade: h2c\r\n\r\n", id="an upgrade that is none"),
]


@pytest.mark.parametrize("request_again", AGAIN)
async def test_a_peer_that_sends_requests_ahead_and_goes_leaves_nothing_behind(request_again: bytes) -> None:
    async with an_unharmed_server() as server:
        for _ in range(20):
            stream = await server.connect()
            await stream.send_all(request_again * 3)
            await reset(stream)


async def reset(stream: trio.SocketStream) -> None:
    """Go without a goodbye."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await trio.aclose_forcefully(stream)


# Frames


def some_frames(dice: random.Random) -> bytes:
    """What a client may send, or may not."""
    text = dice.choice([b"ping", b"hello", b"", "€".encode(), b"\xff", b"x" * 126, b"x" * 65_536, b"{}"])
    key = dice.randbytes(4)
    under_key = bytes(byte ^ key[place % 4] for place, byte in enumerate(text[:300]))
    match dice.randrange(17):
        case 0:
            return masked(1, text)
        case 1:
            return masked(2, text)
        case 2:
            return masked(1, text, fin=False) + masked(9, b"in between") + masked(0, text)
        case 3:
            return masked(1, text, fin=False) * 3
        case 4:
            return masked(0, text)
        case 5:
            return masked(9, text[:125]) * dice.choice([1, 100])
        case 6:
            return masked(10, text[:125])
        case 7:
            return masked(9, b"p" * 126)
        case 8:
            return masked(
                8,
                dice.choice(
                    [b"", b"\x03", b"\x03\xe8", b"\x03\xe8bye", b"\x00\x00", b"\x03\xed", b"\x03\xe8\xff"]
                ),
            )
        case 9:
            return masked(8, b"\x03\xe8") + masked(1, b"after the close") * 3
        case 10:
            return bytes([0x81, len(text[:125])]) + text[:125]  # not masked
        case 11:
            return masked(dice.choice([3, 7, 11, 15]), text)
        case 12:
            return masked(1 | dice.choice([0x40, 0x20, 0x10]), text)
        case 13:
            return masked(1, b"x" * 65_537)
        case 14:
            return b"\x81\xff" + b"\xff" * 8 + bytes(4)  # longer than there are bytes in the world
        case 15:
            return bytes([0x81, 0x80 | 0x7E]) + len(under_key).to_bytes(2, "big") + key + under_key
        case _:
            return dice.randbytes(dice.choice([1, 20, 500]))


async def test_no_frames_harm_the_server() -> None:
    async def attack(server: TestServer, dice: random.Random) -> None:
        stream = await open_raw(server)
        for _ in range(dice.choice([1, 3, 10])):
            await send(stream, some_frames(dice), dice)
        await leave(stream, dice)

    async with an_unharmed_server() as server:
        await fuzz(server, attack)


async def test_frames_amid_events_harm_nobody_and_others_get_every_event() -> None:
    async with an_unharmed_server() as server, server.subscribe("global") as other:

        async def attack(server: TestServer, dice: random.Random) -> None:
            stream = await server.connect()
            await stream.send_all(upgrade().replace(b"/ws/user.u1", b"/ws/global"))
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 101 ")
            await send(stream, some_frames(dice), dice)
            assert (await server.publish("global", announcement())).status == 200
            await send(stream, some_frames(dice), dice)
            await leave(stream, dice)

        await fuzz(server, attack)
        offsets = [int(event["id"].partition("-")[2]) for event in await events(other, ROUNDS)]
        assert offsets == list(range(1, ROUNDS + 1))
        await other.aclose()


async def test_a_flood_of_pings_is_answered_and_delays_nobody() -> None:
    pongs = 0

    async def read(stream: trio.SocketStream) -> None:
        nonlocal pongs
        while chunk := await stream.receive_some():
            pongs += chunk.count(b"\x8a\x01p")

    async def flood(stream: trio.SocketStream) -> None:
        for _ in range(200):
            await stream.send_all(masked(9, b"p") * 100)

    async with an_unharmed_server() as server:
        stream = await open_raw(server)
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(read, stream)
            nursery.start_soon(flood, stream)
            with trio.fail_after(10):
                while pongs < 1000:
                    assert await alive(server)
            nursery.cancel_scope.cancel()


async def test_peers_that_break_off_at_any_moment_leave_nothing_behind() -> None:
    whole = upgrade()

    async def attack(server: TestServer, dice: random.Random) -> None:
        stream = await server.connect()
        await stream.send_all(whole[: dice.randrange(len(whole) + 1)])
        if dice.random() < 0.5:
            await trio.lowlevel.checkpoint()
        await reset(stream)

    async with an_unharmed_server() as server:
        await fuzz(server, attack)
