"""Faults of ours, in every phase of a connection: each ends that connection alone, and is told once."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import structlog
import trio

from courier.serving.desk import http
from courier.serving.desk.connection import Connection
from courier.serving.desk.desk import Desk
from courier.serving.desk.door import Door
from courier.serving.desk.http import Http
from courier.serving.desk.lingering import Lingering
from tests.serving.desk.desks import EchoDesk, an_echo_desk, answer, rest, until
from tests.serving.desk.test_desk import post

Reach = Callable[[EchoDesk, trio.SocketStream], Awaitable[None]]


async def connect(echo: EchoDesk, stream: trio.SocketStream) -> None:
    """It has connected already."""


async def ask(echo: EchoDesk, stream: trio.SocketStream) -> None:
    await stream.send_all(post(b"1"))


async def ask_for_much(echo: EchoDesk, stream: trio.SocketStream) -> None:
    """More than the kernels keep, so that the row waits for room."""
    await stream.send_all(post(b"", b"/late"))
    while not echo.late.waiting:
        await trio.sleep(0.001)
    echo.late.waiting.pop()(answer(b"x" * 20_000_000))
    await trio.sleep(0.02)
    with suppress(trio.BrokenResourceError):
        await rest(stream)


async def wait_for_an_answer(echo: EchoDesk, stream: trio.SocketStream) -> None:
    await stream.send_all(post(b"", b"/late"))
    while not echo.late.waiting:
        await trio.sleep(0.001)
    echo.late.waiting.pop()(answer(b"late"))


async def go(echo: EchoDesk, stream: trio.SocketStream) -> None:
    await stream.send_eof()


PHASES = {
    "a new connection": (Http, "begin", connect),
    "reading": (Http, "heard", ask),
    "an answer": (Http, "_answer", ask),
    "writing an answer": (Connection, "give", ask),
    "a late answer": (Http, "_give", wait_for_an_answer),
    "going on": (Http, "go_on", wait_for_an_answer),
    "room to write": (Connection, "flush", ask_for_much),
    "a deadline": (Http, "due", connect),
    "a look at the deadlines": (Connection, "look", connect),
    "the end": (Lingering, "over", go),
    "lingering": (Lingering, "take", go),
}


def peer_of(row: Connection) -> int | None:
    """Its peer's port; None when that has gone."""
    try:
        port: int = row.sock.getpeername()[1]
    except OSError:
        return None
    return port


@pytest.mark.parametrize(("owner", "name", "reach"), PHASES.values(), ids=PHASES)
async def test_a_fault_ends_its_own_connection_alone_and_is_told_once(
    owner: type, name: str, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: Any = getattr(owner, name)
    victims: list[int] = []

    def broken(self: Any, *args: Any) -> Any:
        if victims and peer_of(self if isinstance(self, Connection) else args[0]) in (None, victims[0]):
            raise ZeroDivisionError("a fault")
        return whole(self, *args)

    monkeypatch.setattr(http, "IDLE_SECONDS", 1.0)
    async with an_echo_desk() as echo:
        neighbour = await echo.connect()
        monkeypatch.setattr(owner, name, broken)
        with structlog.testing.capture_logs() as lines:
            sock = trio.socket.socket()
            await sock.bind(("127.0.0.1", 0))
            victims.append(sock.getsockname()[1])
            echo.clients.append(sock)
            with suppress(OSError):  # it may be cut off before it knows that it is connected
                await sock.connect(("127.0.0.1", echo.port))
                await reach(echo, trio.SocketStream(sock))
            for _ in range(3):
                await neighbour.send_all(post(b"neighbour"))
                assert await until(neighbour, b"neighbour") == answer(b"neighbour")
            with suppress(trio.BrokenResourceError, OSError):
                await rest(trio.SocketStream(sock))
            while len(echo.desk) > 1:
                await trio.sleep(0.001)
        assert [type(fault) for fault in echo.faults] == [ZeroDivisionError]
        assert [line["event"] for line in lines] == ["Connection failed"]


async def test_a_connection_that_cannot_be_watched_is_closed_and_others_are_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when the kernel has no room for it (epoll_ctl(2), ENOSPC)."""
    add = Desk.add

    def broken(self: Desk, *args: Any) -> Connection:
        monkeypatch.setattr(Desk, "add", add)
        raise OSError(28, "No space left on device")

    async with an_echo_desk() as echo:
        monkeypatch.setattr(Desk, "add", broken)
        with suppress(trio.BrokenResourceError):
            assert await rest(await echo.connect()) == b""
        stream = await echo.connect()
        await stream.send_all(post(b"1"))
        assert await until(stream, b"1") == answer(b"1")
        assert [type(fault) for fault in echo.faults] == [OSError]


async def test_what_escapes_the_desk_is_raised_by_it_and_closes_its_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(self: Door, descriptor: int) -> None:
        raise ZeroDivisionError("a fault")

    with pytest.raises(BaseExceptionGroup) as caught:
        async with an_echo_desk() as echo:
            stream = await echo.connect()
            await stream.send_all(post(b"1"))
            await until(stream, b"1")
            monkeypatch.setattr(Door, "accept", broken)
            await echo.connect()
            await trio.sleep_forever()
    assert caught.group_contains(ZeroDivisionError)
    assert not len(echo.desk)
