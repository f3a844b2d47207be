"""Peers that leave an application by Quart-Trio, at any moment and in any way, leave nothing behind.

`tests/serving/desk/test_hostile.py` holds the same of the desk.
"""

import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import pytest
import trio
import trio.testing

from tests.serving.desk.desks import HANDSHAKE, rest, until
from tests.serving.desk.test_websocket import masked
from tests.serving.echoes import a_quart_echo
from tests.web.servers import TestServer

POST = b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12"


class Phase(NamedTuple):
    sent: bytes
    answered: bytes = b""
    """What the answer to that ends with."""
    then: bytes = b""


PHASES = {
    "before the head": Phase(b""),
    "amid the head": Phase(HANDSHAKE[:30]),
    "amid a body": Phase(POST + b"12"),
    "amid a chunk": Phase(CHUNKED),
    "amid a body that is not read": Phase(POST.replace(b"/echo", b"/nowhere") + b"12"),
    "after a request": Phase(POST + b"12345"),
    "after three requests": Phase((POST + b"12345") * 3),
    "early bytes": Phase(HANDSHAKE + masked(1, b"early")),
    "after the handshake": Phase(HANDSHAKE, b"\r\n\r\n"),
    "with the handshake": Phase(HANDSHAKE),
    "amid a frame": Phase(HANDSHAKE, b"\r\n\r\n", masked(1, b"x" * 200)[:100]),
    "amid a message": Phase(HANDSHAKE, b"\r\n\r\n", masked(1, b"x", last=False)),
    "amid a flood": Phase(HANDSHAKE, b"\r\n\r\n", masked(1, b"x") * 2000 + masked(9, b"p") * 2000),
    "after its own close": Phase(HANDSHAKE, b"\r\n\r\n", masked(8, b"\x03\xe8")),
    "after a violation": Phase(HANDSHAKE, b"\r\n\r\n", masked(3)),
}


class Held(NamedTuple):
    tasks: int
    descriptors: int


def held() -> Held:
    return Held(trio.lowlevel.current_statistics().tasks_living, len(os.listdir("/proc/self/fd")))


@asynccontextmanager
async def an_unharmed_app() -> AsyncIterator[TestServer]:
    """An echo that serves a neighbour before what is done to it, and after, and holds no more at last."""
    with trio.fail_after(20):
        async with a_quart_echo() as server, await server.connect() as neighbour:
            await neighbour.send_all(HANDSHAKE)
            assert (await until(neighbour, b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            await trio.testing.wait_all_tasks_blocked()
            before = held()
            yield server
            await neighbour.send_all(masked(1, b"after"))
            assert await until(neighbour, b"after") == b"\x81\x05after"
            while held() != before:
                await trio.sleep(0.001)


@pytest.mark.parametrize("leave", ["reset", "close", "half"])
@pytest.mark.parametrize("phase", PHASES.values(), ids=PHASES)
async def test_a_peer_that_leaves_at_any_moment_leaves_nothing_behind(
    phase: Phase, leave: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with an_unharmed_app() as server:
        stream = await server.connect()
        await stream.send_all(phase.sent)
        if phase.answered:
            await until(stream, phase.answered)
            await stream.send_all(phase.then)
        if leave == "reset":
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif leave == "half":
            with suppress(trio.BrokenResourceError):
                await stream.send_eof()
                await rest(stream)
        await stream.aclose()
    assert "Traceback" not in capsys.readouterr().err
