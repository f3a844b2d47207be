"""TLS: the general path of a WebSocket keeps every promise."""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import h11
import pytest
import trio
import trustme
from trio_websocket import WebSocketConnection, wrap_client_stream

from tests.web.servers import TestServer, a_server, announcement, closed, events, read_response, token


class TlsServer(TestServer):
    """A node behind TLS."""

    def __init__(self, server: TestServer, authority: trustme.CA) -> None:
        super().__init__(server.url)
        self._context = ssl.create_default_context()
        authority.configure_trust(self._context)

    async def connect_by_tls(self) -> trio.SSLStream[trio.SocketStream]:
        stream = await trio.open_ssl_over_tcp_stream(
            self.host, self.port, ssl_context=self._context, https_compatible=True
        )
        await stream.do_handshake()
        return stream

    @asynccontextmanager
    async def subscribe_by_tls(self, **kwargs: Any) -> AsyncIterator[WebSocketConnection]:
        async with await self.connect_by_tls() as stream, trio.open_nursery() as nursery:
            path = f"/ws/user.u1?token={token()}"
            websocket = await wrap_client_stream(
                nursery, stream, self.host, path, message_queue_size=10_000, **kwargs
            )
            yield websocket
            with trio.move_on_after(1):
                await websocket.aclose()
            nursery.cancel_scope.cancel()

    async def publish_by_tls(self, *published: dict[str, object]) -> None:
        """Publish one after the other on one connection."""
        async with await self.connect_by_tls() as stream:
            for event in published:
                body = json.dumps(event).encode()
                await stream.send_all(PUBLISH % len(body) + body)
                answer = h11.Connection(h11.CLIENT)
                answer.send(
                    h11.Request(method="POST", target="/", headers=[("Host", "t"), ("Content-Length", "0")])
                )
                assert (await read_response(stream, answer)).status == 200


PUBLISH = (
    b"POST /publish/user.u1 HTTP/1.1\r\nHost: t\r\nX-Service-Name: tests\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)


@asynccontextmanager
async def a_tls_server(folder: Path, **overrides: object) -> AsyncIterator[TlsServer]:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certfile, keyfile = folder / "chain.pem", folder / "key.pem"
    certificate.private_key_pem.write_to_path(str(keyfile))
    for link in certificate.cert_chain_pems:
        link.write_to_path(str(certfile), append=True)
    async with a_server(certfile=str(certfile), keyfile=str(keyfile), **overrides) as server:
        yield TlsServer(server, authority)


async def test_by_tls_events_arrive_in_order_and_a_drain_says_goodbye(tmp_path: Path) -> None:
    goodbyes: list[tuple[int, str | None]] = []
    ready = trio.Event()

    async def follow(server: TlsServer) -> None:
        async with server.subscribe_by_tls() as websocket:
            await websocket.send_message("ping")
            assert await websocket.get_message() == "pong"
            ready.set()
            assert [event["title"] for event in await events(websocket, 20)] == list(map(str, range(20)))
            goodbyes.append(await closed(websocket))

    async with trio.open_nursery() as nursery, a_tls_server(tmp_path) as server:
        nursery.start_soon(follow, server)
        await ready.wait()
        await server.publish_by_tls(*(announcement(str(number)) for number in range(20)))
    assert goodbyes == [(1001, "Server shutting down for maintenance")]


async def test_by_tls_too_courier_v1_speaks_first_and_last(tmp_path: Path) -> None:
    types: list[str] = []
    joined = trio.Event()

    async def follow(server: TlsServer) -> None:
        async with server.subscribe_by_tls(subprotocols=["courier.v1"]) as websocket:
            for _ in range(22):
                types.extend(event["type"] for event in await events(websocket, 1))
                joined.set()
            assert await closed(websocket) == (1001, "Server shutting down for maintenance")

    async with trio.open_nursery() as nursery, a_tls_server(tmp_path) as server:
        nursery.start_soon(follow, server)
        await joined.wait()
        await server.publish_by_tls(*(announcement(str(number)) for number in range(20)))
    assert types == ["courier.joined", *["system.announcement"] * 20, "courier.drain"]


async def a_stuck_tls_subscriber(server: TlsServer) -> trio.SSLStream[trio.SocketStream]:
    """A subscriber that reads nothing any more, behind by more than all buffers hold."""
    stream = await server.connect_by_tls()
    key = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    head = (
        b"GET /ws/user.u1?token=%b HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n%b\r\n"
    )
    await stream.send_all(head % (token().encode(), key))
    assert b" 101 " in await stream.receive_some()
    await server.publish_by_tls(*[announcement("big", message="x" * 60_000)] * 80)
    return stream


async def test_by_tls_a_peer_that_takes_no_byte_is_closed_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_tls_server(tmp_path, stall_seconds=0.3) as server:
        await server.publish_by_tls(announcement())  # a channel is a task
        before = trio.lowlevel.current_statistics().tasks_living
        stream = await a_stuck_tls_subscriber(server)
        with trio.fail_after(10):
            while trio.lowlevel.current_statistics().tasks_living > before:
                await trio.sleep(0.01)
        await trio.aclose_forcefully(stream)


async def test_by_tls_a_peer_that_takes_no_byte_is_closed_within_the_limit_of_the_settings(
    tmp_path: Path,
) -> None:
    async with a_tls_server(tmp_path, stall_seconds=0.3) as server:
        await server.publish_by_tls(announcement())  # a channel is a task
        before = trio.lowlevel.current_statistics().tasks_living
        stream = await a_stuck_tls_subscriber(server)
        with trio.fail_after(5):
            while trio.lowlevel.current_statistics().tasks_living > before:
                await trio.sleep(0.01)
        await trio.aclose_forcefully(stream)


async def test_by_tls_a_peer_that_takes_no_byte_does_not_hold_up_a_drain(tmp_path: Path) -> None:
    async with a_tls_server(tmp_path, drain_seconds=0.3) as server:
        stream = await a_stuck_tls_subscriber(server)
        asked = trio.current_time()
    assert trio.current_time() - asked < 5.3
    await trio.aclose_forcefully(stream)
