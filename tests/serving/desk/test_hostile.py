"""Hostile peers on the desk: each harms itself alone, and leaves nothing behind."""

import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import pytest
import trio
import trio.testing

from courier.serving.desk import http
from courier.serving.desk.websocket import FRAMES_AT_ONCE, Opcode, frame
from courier.serving.peer import Closed, Loss
from tests.serving.desk.desks import HANDSHAKE, AtOnce, EchoDesk, an_echo_desk, answer, rest, until
from tests.serving.desk.test_desk import post, text
from tests.serving.desk.test_websocket import masked

LATE_HANDSHAKE = HANDSHAKE.replace(b"/echo", b"/late", 1)


class Held(NamedTuple):
    """What the desk and the process hold."""

    rows: int
    descriptors: int
    deadlines: int


def held_by(echo: EchoDesk) -> Held:
    return Held(len(echo.desk), len(os.listdir("/proc/self/fd")), len(echo.desk._timers))


async def echoes(stream: trio.SocketStream, word: bytes) -> None:
    """It gets its echo, and nothing else."""
    await stream.send_all(masked(Opcode.TEXT, word))
    assert await until(stream, word) == text(word)


@asynccontextmanager
async def an_unharmed_desk() -> AsyncIterator[EchoDesk]:
    """A desk that serves a neighbour before what is done to it, and after, and holds no more at last."""
    async with an_echo_desk() as echo:
        neighbour = await echo.open()
        await echoes(neighbour, b"before")
        before, made = held_by(echo), len(echo.endpoints)
        yield echo
        await echoes(neighbour, b"after")
        while held_by(echo) != before:
            echo.drop_handed_over()
            await trio.sleep(0.001)
        assert not echo.faults
        assert len(echo.ends.told) == len(echo.endpoints) - made  # each has heard of its end, and once


def turns_of(echo: EchoDesk) -> list[None]:
    """Grows by one at each turn of the desk."""
    turns: list[None] = []
    turn = echo.desk._turn

    def counted() -> None:
        turns.append(None)
        turn()

    echo.desk._turn = counted  # type: ignore[method-assign]
    return turns


# Peers that disappear

Phase = Callable[[EchoDesk], Awaitable[trio.SocketStream]]
PHASES: dict[str, Phase] = {}


def phase(step: Phase) -> Phase:
    PHASES[step.__name__.strip("_").replace("_", " ")] = step
    return step


@phase
async def before_the_head(echo: EchoDesk) -> trio.SocketStream:
    return await echo.connect()


@phase
async def amid_the_head(echo: EchoDesk) -> trio.SocketStream:
    stream = await echo.connect()
    await stream.send_all(HANDSHAKE[:30])
    return stream


@phase
async def amid_a_body(echo: EchoDesk) -> trio.SocketStream:
    stream = await echo.connect()
    await stream.send_all(post(b"12345")[:-1])
    return stream


@phase
async def between_two_requests(echo: EchoDesk) -> trio.SocketStream:
    stream = await echo.connect()
    await stream.send_all(post(b"1"))
    assert await until(stream, b"1") == answer(b"1")
    return stream


@phase
async def while_an_answer_is_waited_for(echo: EchoDesk) -> trio.SocketStream:
    stream = await echo.connect()
    await stream.send_all(post(b"", b"/late") + post(b"next"))
    while not echo.late.waiting:
        await trio.sleep(0.001)
    return stream


@phase
async def while_its_handshake_is_judged(echo: EchoDesk) -> trio.SocketStream:
    stream = await echo.connect()
    await stream.send_all(LATE_HANDSHAKE)
    while not echo.openings:
        await trio.sleep(0.001)
    return stream


@phase
async def while_its_handshake_is_judged_after_early_frames(echo: EchoDesk) -> trio.SocketStream:
    stream = await while_its_handshake_is_judged(echo)
    await stream.send_all(masked(Opcode.TEXT, b"early"))
    return stream


@phase
async def after_the_handshake(echo: EchoDesk) -> trio.SocketStream:
    return await echo.open()


@phase
async def amid_a_frame(echo: EchoDesk) -> trio.SocketStream:
    stream = await echo.open()
    await stream.send_all(masked(Opcode.TEXT, b"x" * 200)[:100])
    return stream


@phase
async def amid_a_message(echo: EchoDesk) -> trio.SocketStream:
    stream = await echo.open()
    await stream.send_all(masked(Opcode.TEXT, b"x", last=False) + masked(Opcode.PING, b"p"))
    await until(stream, b"p")
    return stream


@phase
async def amid_a_flood(echo: EchoDesk) -> trio.SocketStream:
    stream = await echo.open()
    await stream.send_all(masked(Opcode.TEXT, b"x") * 2000)
    return stream


@phase
async def while_much_is_held_for_it(echo: EchoDesk) -> trio.SocketStream:
    stream = await echo.open()
    peer = echo.endpoints[-1].peer
    event = text(b"x" * 60_000)
    while (sent := peer.write(event)) == len(event):
        pass
    peer.hold(event[sent:])
    return stream


@phase
async def during_our_close(echo: EchoDesk) -> trio.SocketStream:
    stream = await echo.open()
    await stream.send_all(masked(Opcode.TEXT, b"close"))
    assert await until(stream, b"wish")
    return stream


@phase
async def during_a_refusal(echo: EchoDesk) -> trio.SocketStream:
    stream = await echo.connect()
    await stream.send_all(HANDSHAKE.replace(b"/echo", b"/refused", 1))
    assert await until(stream, b"No")
    return stream


@phase
async def after_its_own_close(echo: EchoDesk) -> trio.SocketStream:
    stream = await echo.open()
    await stream.send_all(masked(Opcode.CLOSE, b"\x03\xe8"))
    assert await rest(stream)
    return stream


@phase
async def after_a_violation(echo: EchoDesk) -> trio.SocketStream:
    stream = await echo.open()
    await stream.send_all(masked(3))
    assert await rest(stream)
    return stream


async def reset(stream: trio.SocketStream) -> None:
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await stream.aclose()


async def close(stream: trio.SocketStream) -> None:
    await stream.aclose()


async def close_half(stream: trio.SocketStream) -> None:
    """Send no more, read to the end, and go."""
    await stream.send_eof()
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await rest(stream)
    await stream.aclose()


@pytest.mark.parametrize("leave", [reset, close, close_half])
@pytest.mark.parametrize("reach", PHASES.values(), ids=PHASES)
async def test_a_peer_that_leaves_at_any_moment_leaves_nothing_behind(
    reach: Phase, leave: Callable[[trio.SocketStream], Awaitable[None]]
) -> None:
    async with an_unharmed_desk() as echo, trio.open_nursery() as nursery:
        stream = await reach(echo)
        nursery.start_soon(leave, stream)
        await trio.testing.wait_all_tasks_blocked(0.002)
        echo.drop_handed_over()
        for respond in echo.late.waiting:  # what comes too late is for nobody, and harms nobody
            respond(answer(b"late"))
        for opening in echo.openings:
            opening.accept(None, echo.echo)


async def test_a_peer_that_closes_its_half_makes_no_work_while_its_answer_is_waited_for() -> None:
    async with an_unharmed_desk() as echo:
        stream = await while_an_answer_is_waited_for(echo)
        await stream.send_eof()
        await trio.testing.wait_all_tasks_blocked(0.01)
        turns = turns_of(echo)
        await trio.sleep(0.05)
        assert not turns
        echo.late.waiting.pop()(answer(b"late"))
        assert await rest(stream) == answer(b"late") + answer(b"next")
        await stream.aclose()


async def test_frames_that_come_before_the_101_are_taken_after_it() -> None:
    async with an_unharmed_desk() as echo:
        stream = await while_its_handshake_is_judged_after_early_frames(echo)
        echo.openings.pop().accept(None, echo.echo)
        data = await until(stream, b"early")
        assert data.startswith(b"HTTP/1.1 101 ")
        assert data.endswith(b"\r\n\r\n" + text(b"early"))
        await stream.aclose()


async def test_a_handshake_that_comes_in_two_pieces_may_be_judged_for_longer_than_its_rest_was_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "REQUEST_SECONDS", 0.05)
    async with an_unharmed_desk() as echo:
        stream = await echo.connect()
        await stream.send_all(LATE_HANDSHAKE[:30])
        await trio.sleep(0.01)
        await stream.send_all(LATE_HANDSHAKE[30:])
        await trio.sleep(0.1)
        echo.openings.pop().accept(None, echo.echo)
        assert (await until(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        with trio.move_on_after(0.1):  # the endpoint has asked for no moment
            assert not await stream.receive_some()
        await stream.aclose()


# Peers that flood

CHUNK = 16 * 1024


async def test_a_flood_of_messages_gives_way_to_each_message_of_a_neighbour() -> None:
    async with an_unharmed_desk() as echo:
        flooding, neighbour = await echo.open(), await echo.open()
        heard: list[str | bytes] = []
        for endpoint in echo.endpoints[-2:]:
            endpoint.heard = heard.append  # type: ignore[method-assign, assignment]
        flood = masked(Opcode.TEXT, b"x")
        for _ in range(10):
            # Both are there before the desk is given its turn.
            os.write(flooding.socket.fileno(), flood * (CHUNK // len(flood)))
            os.write(neighbour.socket.fileno(), masked(Opcode.TEXT, b"mine"))
            before = len(heard)
            while "mine" not in heard[before:]:
                await trio.lowlevel.checkpoint()
            assert heard[before:].index("mine") <= 2 * FRAMES_AT_ONCE
            while len(heard) < before + CHUNK // len(flood) + 1:
                await trio.lowlevel.checkpoint()
        await flooding.aclose()
        await neighbour.aclose()


@pytest.mark.parametrize(
    ("kind", "share"), [("requests", http.REQUESTS_AT_ONCE), ("messages", FRAMES_AT_ONCE)]
)
async def test_a_flood_gets_one_share_between_two_turns_of_the_others(
    kind: str, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever an event has to wait for on its way is then short, and not a whole turn of the desk."""
    taken: list[object] = []

    def take(self: AtOnce, body: bytes, respond: Callable[[bytes], None]) -> bytes:
        taken.append(body)
        return answer(body)

    monkeypatch.setattr(AtOnce, "answer", take)
    async with an_unharmed_desk() as echo:
        if kind == "requests":
            flooding, flood = await echo.connect(), post(b"x") * 200
        else:
            flooding, flood = await echo.open(), masked(Opcode.TEXT, b"x") * 200
            echo.endpoints[-1].heard = taken.append  # type: ignore[method-assign, assignment]
        os.write(flooding.socket.fileno(), flood)
        most = before = 0
        while len(taken) < 200:
            await trio.lowlevel.checkpoint()
            most, before = max(most, len(taken) - before), len(taken)
        assert 0 < most <= 2 * share  # the desk's two tasks may run in either order
        await flooding.aclose()


@pytest.mark.parametrize(
    ("open_with", "piece", "reply"),
    [
        pytest.param(HANDSHAKE, masked(Opcode.PING, b"p"), frame(Opcode.PONG, b"p"), id="pings"),
        pytest.param(HANDSHAKE, masked(Opcode.TEXT, b"x"), text(b"x"), id="messages"),
        pytest.param(HANDSHAKE, masked(Opcode.PONG, b"p"), b"", id="pongs"),
        pytest.param(b"", post(b"1"), answer(b"1"), id="requests"),
        pytest.param(b"", b"\r\n", b"", id="empty lines"),
    ],
)
async def test_a_flood_is_answered_and_neighbours_get_their_echoes(
    open_with: bytes, piece: bytes, reply: bytes
) -> None:
    async with an_unharmed_desk() as echo:
        flooding, neighbour = await echo.connect(), await echo.open()
        if open_with:
            await flooding.send_all(open_with)
            await until(flooding, b"\r\n\r\n")
        count = 4 * CHUNK // len(piece)
        turns = turns_of(echo)

        async def read() -> None:
            got = 0
            while got < count * len(reply):
                got += len(await flooding.receive_some())

        async def flood() -> None:
            for _ in range(4):
                await flooding.send_all(piece * (count // 4))
            await flooding.send_all(piece * (count % 4))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            nursery.start_soon(flood)
            for _ in range(20):
                before = len(turns)
                await echoes(neighbour, b"mine")
                assert len(turns) - before <= 8  # a turn is at most 2 ms, and 16 KiB of a peer
        await flooding.aclose()
        await neighbour.aclose()


# Peers that are slow


async def test_a_peer_that_sends_a_byte_now_and_then_is_waited_for_only_so_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "REQUEST_SECONDS", 0.1)
    async with an_echo_desk() as echo:
        neighbour, framed = await echo.open(), await echo.open()
        head, body = await echo.connect(), await echo.connect()
        sent = {head: HANDSHAKE, body: post(b"12345"), framed: masked(Opcode.TEXT, b"a frame")}
        turns = turns_of(echo)
        for place in range(8):
            for stream, data in sent.items():
                await stream.send_all(data[place : place + 1])
            await echoes(neighbour, b"mine")
        assert len(turns) <= 8 * 6
        assert await rest(head) == b""
        assert await rest(body) == b""
        assert not echo.handed_over
        await framed.send_all(sent[framed][8:])
        assert await until(framed, b"a frame") == text(b"a frame")


async def test_a_peer_that_asks_and_never_reads_is_heard_no_more_and_cut_off() -> None:
    async with an_unharmed_desk() as echo, trio.open_nursery() as nursery:
        stream, neighbour = await echo.open(), await echo.open()
        peer = echo.endpoints[-2].peer

        async def ask() -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                while True:
                    await stream.send_all(masked(Opcode.BINARY, b"x" * 60_000))

        nursery.start_soon(ask)
        while not peer.holding:
            await trio.sleep(0.001)
        turns = turns_of(echo)
        for _ in range(10):
            await echoes(neighbour, b"mine")
        assert len(turns) <= 4 * 10
        assert peer.held_bytes <= 60_010
        assert await echo.ends.next() == (Loss.STALLED, None, "")
        echo.ends.told.append((Loss.STALLED, None, ""))
        await stream.aclose()
        await neighbour.aclose()


async def test_a_crowd_that_comes_and_goes_leaves_nothing_behind() -> None:
    async with an_unharmed_desk() as echo:
        for _ in range(10):
            crowd = [await echo.connect() for _ in range(20)]
            for place, stream in enumerate(crowd):
                await stream.send_all([HANDSHAKE, post(b"1"), HANDSHAKE[:10], b""][place % 4])
            for place, stream in enumerate(crowd):
                await (reset if place % 3 else close)(stream)
        while len(echo.desk) > 1:
            await trio.sleep(0.001)
        echo.drop_handed_over()
        assert len(echo.desk._timers) == 1
    assert {how for how, _, _ in echo.ends.told} <= {Loss.BROKEN, Loss.ABORTED, Closed.BY_PEER}
