"""A peer that reads slowly lives as long as it reads; one that reads nothing is cut off in time."""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from courier.serving.hypercorn.listeners import NOTSENT_BYTES, harden
from courier.serving.patience import SocketPeer
from tests.web.servers import TestServer, a_server, announcement, token
from tests.web.test_costs import post
from tests.web.test_hypercorn import upgrade

STALL_SECONDS = 0.8

RATE = 120_000
"""Bytes a second that a slow peer reads. It acknowledges something every 1.1 s, and its socket is writable
again after ten seconds or so."""

BIG = announcement(message="x" * 60_000)

PAGES = f"GET /history/user.u1?limit=100&token={token()} HTTP/1.1\r\nHost: t\r\n\r\n".encode() * 7
"""Seven answers of almost a MiB: more than the kernel keeps for one connection."""


@asynccontextmanager
async def connect(server: TestServer, context: ssl.SSLContext | None = None) -> AsyncIterator[Any]:
    plain = trio.socket.socket()
    await plain.connect((server.host, server.port))
    stream: Any = trio.SocketStream(plain)
    if context is not None:
        stream = trio.SSLStream(stream, context, server_hostname="127.0.0.1", https_compatible=True)
    async with stream:
        yield stream


async def read_slowly(stream: Any, seconds: float, rate: int = RATE) -> int:
    """Read at `rate` for so long; raises, or ends early, when the connection does. Returns how many bytes."""
    count = 0
    ends_at = trio.current_time() + seconds
    while trio.current_time() < ends_at:
        data = await stream.receive_some(rate // 10)
        if not data:
            break
        count += len(data)
        await trio.sleep(len(data) / rate)
    return count


async def cut_off(plain: trio.socket.SocketType) -> float:
    """Read nothing until the connection is gone; returns how long that was."""
    began = trio.current_time()
    with trio.fail_after(10 * STALL_SECONDS):
        while plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1:  # established
            await trio.sleep(0.02)
    return trio.current_time() - began


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
async def test_a_subscriber_that_reads_slowly_lives_until_it_reads_nothing(
    secure: bool, authority: trustme.CA, tmp_path: Path
) -> None:
    pem, context = tmp_path / "pem", ssl.create_default_context()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    authority.configure_trust(context)
    files = {"certfile": str(pem), "keyfile": str(pem)} if secure else {}
    async with a_server(stall_seconds=STALL_SECONDS, **files) as server:
        tls = context if secure else None
        async with connect(server, tls) as publisher, connect(server, tls) as stream:
            await stream.send_all(upgrade())
            assert b" 101 " in await stream.receive_some()
            async with trio.open_nursery() as publishing:
                publishing.start_soon(
                    publish, publisher, 100
                )  # more than the kernel keeps for one connection
                assert await read_slowly(stream, 6 * STALL_SECONDS) >= 4 * STALL_SECONDS * RATE
            under = stream.transport_stream if secure else stream
            assert 0.5 * STALL_SECONDS <= await cut_off(under.socket) <= 4 * STALL_SECONDS


async def publish(stream: Any, events: int) -> None:
    for _ in range(events):
        await stream.send_all(post(BIG))
        answer = b""
        while b'"id":"' not in answer:
            answer += await stream.receive_some()
        assert b" 200 " in answer


async def test_answers_that_are_read_slowly_come_whole() -> None:
    async with a_server(stall_seconds=STALL_SECONDS) as server, connect(server) as stream:
        for _ in range(100):
            await server.publish("user.u1", BIG)
        await stream.send_all(PAGES)
        count = await read_slowly(stream, 2)
        with trio.fail_after(20):
            while count < 6_000_000:
                data = await stream.receive_some(65536)
                assert data
                count += len(data)


async def test_a_publisher_that_reads_its_answers_slowly_lives_until_it_reads_nothing() -> None:
    """Nothing more is read of it meanwhile."""
    refused, seconds = post(announcement(source="x" * 60)) * 50, STALL_SECONDS / 2

    async def publish_more(stream: Any) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while True:
                await stream.send_all(refused)

    async with a_server(stall_seconds=seconds) as server, connect(server) as stream:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        async with trio.open_nursery() as publishing:
            publishing.start_soon(publish_more, stream)
            began = trio.current_time()
            await read_slowly(stream, 6 * seconds)
            assert trio.current_time() >= began + 6 * seconds
            assert seconds <= await cut_off(stream.socket) <= 6 * seconds


async def test_an_answer_that_is_read_slowly_does_not_hold_up_the_end_of_the_process() -> None:
    async with trio.open_nursery() as nursery:
        async with a_server() as server:
            stream = await nursery.start(open_slow_reader, server)
            stopping = trio.current_time()
        stopped = trio.current_time() - stopping
        nursery.cancel_scope.cancel()
    assert stream is not None
    assert stopped < 8


async def open_slow_reader(server: TestServer, task_status: trio.TaskStatus[Any]) -> None:
    """Ask for much history, and read it very slowly until the connection ends."""
    async with connect(server) as stream:
        for _ in range(100):
            await server.publish("user.u1", BIG)
        await stream.send_all(PAGES)
        assert await read_slowly(stream, 0.3)
        task_status.started(stream)
        with suppress(trio.BrokenResourceError):
            await read_slowly(stream, 60, RATE // 100)


async def test_a_ping_behind_what_is_read_slowly_has_the_time_that_it_takes_to_come() -> None:
    async with a_server(heartbeat_seconds=0.5) as server, connect(server) as stream:
        await stream.send_all(upgrade(b"Sec-WebSocket-Protocol: courier.v1\r\n"))
        assert b" 101 " in await stream.receive_some()
        for _ in range(5):
            await server.publish("user.u1", BIG)
        assert await read_slowly(stream, 4) >= 2 * RATE


async def test_what_a_peer_has_taken_is_known_of_any_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        pairs = [
            socket.socketpair(),
            (socket.create_connection(listening.getsockname()), listening.accept()[0]),
        ]
        for ours, theirs in pairs:
            with ours, theirs:
                peer = SocketPeer(ours)
                ours.send(b"x" * 1000)
                before = peer.taken_bytes()
                assert before is not None
                theirs.recv(1000)
                with trio.fail_after(5):
                    while peer.unsent_bytes():
                        await trio.sleep(0.01)
                after = peer.taken_bytes()
                assert after is not None
                assert before <= after
            assert peer.unsent_bytes() is None
            assert peer.taken_bytes() is None


@pytest.mark.parametrize(("stall_seconds", "milliseconds"), [(4, 60_000), (30, 60_000), (120, 240_000)])
def test_the_kernel_gives_a_peer_up_later_than_courier_does(stall_seconds: float, milliseconds: int) -> None:
    with socket.socket() as listener:
        harden(listener, stall_seconds)
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == milliseconds


def test_what_is_written_does_not_wait_in_the_kernel_where_a_calm_channel_would_wait_behind_it() -> None:
    with socket.socket() as listener:
        harden(listener, 30)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == NOTSENT_BYTES
