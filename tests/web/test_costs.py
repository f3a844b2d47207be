"""What an event, a connection and a channel cost, in what can be counted: no clock, no flake."""

import gc
import json
import select
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import trustme

from courier.actors.channel import Channel
from courier.schemas.registry import Registry
from courier.serving.desk import desk
from courier.serving.desk.http import REQUESTS_AT_ONCE
from courier.serving.hypercorn import worker
from courier.serving.hypercorn.context import ServerContext
from courier.serving.service import Service
from courier.web.auth import Signatures
from courier.web.exchange.text import OneChannel
from courier.web.single import SingleSession
from tests.web.servers import TestServer, a_server, announcement, events, token
from tests.web.streams import reading
from tests.web.test_hypercorn import upgrade
from tests.web.test_publish import authorized

SUBSCRIBERS = 20
SEVERAL = 10
OBJECTS_A_SUBSCRIBER = 12
"""Of an idle subscriber, at most, among those that the garbage collector walks."""


def post(event: Any, path: str = "/publish/user.u1", **headers: str) -> bytes:
    body = json.dumps(event).encode()
    given = {"Host": "t", "X-Service-Name": "tests", "Content-Type": "application/json"} | headers
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"POST {path} HTTP/1.1\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def answers(stream: trio.SocketStream, count: int) -> bytes:
    """So many answers of 200, all on one connection."""
    got = b""
    with trio.fail_after(10):
        while got.count(b'"status":"published"') < count:
            more = await stream.receive_some()
            assert more
            got += more
    assert got.count(b"HTTP/1.1 200") == count
    return got


@pytest.fixture
def sends(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often a socket was written to, by its own port: the server's is one, and each client's another."""
    counted = Counter[int]()
    send, send_all = socket.socket.send, trio.SocketStream.send_all

    def count(self: socket.socket, *args: Any) -> int:
        if self.family == socket.AF_INET:  # Trio wakes itself through another
            counted[self.getsockname()[1]] += 1
        return send(self, *args)

    async def count_all(self: trio.SocketStream, data: Any) -> None:
        counted[self.socket.getsockname()[1]] += 1
        await send_all(self, data)

    monkeypatch.setattr(socket.socket, "send", count)
    monkeypatch.setattr(trio.SocketStream, "send_all", count_all)
    return counted


async def test_a_plain_publish_is_answered_by_one_write(sends: Counter[int]) -> None:
    async with a_server() as server, await server.connect() as stream:
        for _ in range(10):
            await stream.send_all(post(announcement()))
            await answers(stream, 1)
        assert sends[server.port] == 10


async def test_publishes_that_came_together_are_answered_by_one_write(
    sends: Counter[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "TURN_SECONDS", 10)  # however slow the machine is
    async with a_server() as server, await server.connect() as stream:
        await stream.send_all(post(announcement()) * REQUESTS_AT_ONCE)
        await answers(stream, REQUESTS_AT_ONCE)
        assert sends[server.port] == 1


async def test_handshakes_that_came_together_are_answered_by_one_write_each_when_all_are_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(desk, "TURN_SECONDS", 10)  # however slow the machine is
    steps: list[str] = []
    start, send = SingleSession.start, socket.socket.send

    def note_start(self: SingleSession) -> None:
        steps.append("joined")
        start(self)

    def note_send(self: socket.socket, data: bytes) -> int:
        if data.startswith(b"HTTP/1.1 101"):
            steps.append("written")
            assert b"courier.joined" in data
        return send(self, data)

    async with a_server() as server, server.subscribe():  # so that the channel runs
        monkeypatch.setattr(SingleSession, "start", note_start)
        monkeypatch.setattr(socket.socket, "send", note_send)
        with ExitStack() as stack:
            for _ in range(SEVERAL):  # without a checkpoint, so that all stand at the door together
                peer = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                peer.sendall(upgrade(b"Sec-WebSocket-Protocol: courier.v1\r\n"))
            with trio.fail_after(10):
                while len(steps) < 2 * SEVERAL:
                    await trio.sleep(0)
    assert steps == ["joined"] * SEVERAL + ["written"] * SEVERAL


async def test_a_batch_is_delivered_by_one_write_a_subscriber(sends: Counter[int]) -> None:
    async with a_server() as server, AsyncExitStack() as stack:
        joined = [await stack.enter_async_context(server.subscribe()) for _ in range(SUBSCRIBERS)]
        stream = await stack.enter_async_context(await server.connect())
        sends.clear()
        items = [{"channel": "user.u1", "data": announcement()}] * 100
        await stream.send_all(post({"events": items}, "/publish/batch"))
        for websocket in joined:
            await events(websocket, 100)
        await stream.receive_some()
        # Beside the deliveries: one answer, of which Hypercorn would make three writes.
        assert SUBSCRIBERS <= sends[server.port] - 1 <= SUBSCRIBERS + 2


async def test_in_a_burst_a_subscriber_is_written_to_at_most_once_a_turn(
    sends: Counter[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = 0
    fan_out = Channel.fan_out

    async def count(self: Channel) -> None:
        nonlocal turns
        turns += 1
        await fan_out(self)

    async with a_server() as server, AsyncExitStack() as stack:
        joined = [await stack.enter_async_context(server.subscribe()) for _ in range(SUBSCRIBERS)]
        streams = [await stack.enter_async_context(await server.connect()) for _ in range(10)]
        monkeypatch.setattr(Channel, "fan_out", count)
        sends.clear()
        for stream in streams:
            await stream.send_all(post(announcement()) * 10)
        for websocket in joined:
            await events(websocket, 100)
        for stream in streams:
            await answers(stream, 10)
        assert turns <= 101
        assert sends[server.port] <= turns * SUBSCRIBERS + 10 * 10


async def test_an_event_is_encoded_once_whoever_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = 0
    encode = Registry.encode

    def count(self: Registry, event: Any) -> bytes:
        nonlocal encoded
        encoded += 1
        return encode(self, event)

    async with a_server() as server, AsyncExitStack() as stack:
        joined = [await stack.enter_async_context(server.subscribe()) for _ in range(SUBSCRIBERS)]
        await server.publish("user.u1", announcement())
        for websocket in joined:
            await events(websocket, 1)  # which makes the document that messages are held against
        monkeypatch.setattr(Registry, "encode", count)
        for _ in range(3):
            await server.publish("user.u1", announcement())
        for websocket in joined:
            await events(websocket, 3)
    assert encoded == 3


async def test_a_service_token_is_verified_once_for_many_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    verified = 0
    payload = Signatures.payload

    def count(self: Signatures, token: str, key: Any, algorithms: Sequence[str]) -> bytes:
        nonlocal verified
        verified += 1
        return payload(self, token, key, algorithms)

    monkeypatch.setattr(Signatures, "payload", count)
    async with a_server(publish_auth="required") as server, await server.connect() as stream:
        data = post(announcement(), **authorized())
        for _ in range(20):
            await stream.send_all(data)
            await answers(stream, 1)
        await stream.send_all(post(announcement(), "/publish/user.u2", **authorized(iat=1)))
        await answers(stream, 1)
    assert verified == 2  # each token once


class Steps(trio.abc.Instrument):
    """Counts the steps of the tasks whose name ends so."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task.name.endswith(self._name)


EPOLL = select.epoll


class CountedEpoll:
    """An epoll of the desk's, and how often it was told what to watch for."""

    told = 0

    def __init__(self) -> None:
        self._epoll = EPOLL()

    def __getattr__(self, name: str) -> Any:
        CountedEpoll.told += name in ("register", "modify", "unregister")
        return getattr(self._epoll, name)


@pytest.mark.parametrize("asleep", [True, False])
async def test_a_publish_tells_no_epoll_what_to_watch_for_and_starts_no_task(
    asleep: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is answered at once, or its channel is busy and gives a reply later."""
    monkeypatch.setattr(select, "epoll", CountedEpoll)
    started = Started()
    async with a_server() as server, AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(await server.connect()) for _ in range(10)]
        if not asleep:
            await stack.enter_async_context(server.subscribe())
            monkeypatch.setattr(Channel, "at_once", lambda self, message: False)
        for stream in streams:
            await stream.send_all(post(announcement()))
            await answers(stream, 1)
        await living()
        CountedEpoll.told = 0
        trio.lowlevel.add_instrument(started)
        for _ in range(20):
            for stream in streams:
                await stream.send_all(post(announcement()))
            for stream in streams:
                await answers(stream, 1)
        trio.lowlevel.remove_instrument(started)
        assert (CountedEpoll.told, started.names) == (0, [])


class Started(trio.abc.Instrument):
    """The names of the tasks that were started."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self.names.append(task.name)


async def test_an_idle_connection_costs_no_task() -> None:
    async with a_server() as server, AsyncExitStack() as stack:
        before = await living()
        for _ in range(20):
            stream = await stack.enter_async_context(await server.connect())
            await stream.send_all(b"GET /health/live HTTP/1.1\r\nHost: t\r\n\r\n")
            assert b" 200 " in await stream.receive_some()
        assert await living() == before


async def test_a_publish_to_a_channel_without_subscribers_wakes_no_channel() -> None:
    channels = Steps("Supervisor._keep")
    async with a_server() as server, await server.connect() as stream:
        await stream.send_all(post(announcement()))  # starts the channel
        await answers(stream, 1)
        await living()
        trio.lowlevel.add_instrument(channels)
        for _ in range(20):
            await stream.send_all(post(announcement()))
            await answers(stream, 1)
        assert channels.count == 0


async def test_publishes_of_many_connections_at_once_wake_a_channel_once() -> None:
    channels = Steps("Supervisor._keep")
    async with a_server() as server, AsyncExitStack() as stack:
        websocket = await stack.enter_async_context(server.subscribe())
        streams = [await stack.enter_async_context(await server.connect()) for _ in range(10)]
        for stream in streams:
            await stream.send_all(post(announcement()))
            await answers(stream, 1)
        await events(websocket, 10)
        await living()
        trio.lowlevel.add_instrument(channels)
        for stream in streams:
            plain: socket.socket = stream.socket._sock  # type: ignore[attr-defined]
            plain.send(post(announcement()))  # all are there before the server reads
        await events(websocket, 10)
        assert channels.count <= 2


async def living() -> int:
    """Tasks, once all that began has come to rest."""
    await trio.testing.wait_all_tasks_blocked(0.05)
    return trio.lowlevel.current_statistics().tasks_living


@pytest.mark.parametrize("subprotocol", [b"", b"Sec-WebSocket-Protocol: courier.v1\r\n"], ids=["plain", "v1"])
async def test_an_idle_subscriber_is_no_task_and_few_objects(subprotocol: bytes) -> None:
    async with a_server() as server:
        socks = [await trio.to_thread.run_sync(open_plain, server, subprotocol) for _ in range(2)]
        before = await living()
        gc.collect()
        objects = len(gc.get_objects())
        socks += [await trio.to_thread.run_sync(open_plain, server, subprotocol) for _ in range(100)]
        assert await living() == before
        gc.collect()
        per_subscriber = (len(gc.get_objects()) - objects) / 100 - 1  # less the test's own socket
        assert per_subscriber <= OBJECTS_A_SUBSCRIBER
        for sock in socks:
            sock.close()


EVENTS_REQUEST = "GET /events/{channel}?token={token} HTTP/1.1\r\nHost: t\r\n\r\n"
POLL_REQUEST = "GET /history/{channel}?since={since}&wait=60&token={token} HTTP/1.1\r\nHost: t\r\n\r\n"


@pytest.mark.parametrize("request_", [EVENTS_REQUEST, POLL_REQUEST], ids=["event stream", "poll"])
async def test_an_idle_reader_over_http_is_no_task_and_few_objects(request_: str) -> None:
    async with a_server() as server:
        since = (await server.publish("global", announcement())).json["id"]
        users = count()

        def ask() -> socket.socket:
            sock = socket.create_connection((server.host, server.port), timeout=10)
            given = {"channel": "global", "token": token(f"u{next(users)}"), "since": since}
            sock.sendall(request_.format(**given).encode())
            if request_ is EVENTS_REQUEST:
                assert b"courier.joined" in sock.recv(4096)
            return sock

        async def settled(readers: int) -> int:
            with trio.fail_after(10):
                while (await server.request("GET", "/health")).json["metrics"][
                    "active_connections"
                ] < readers:
                    await trio.sleep(0.01)
            return await living()

        socks = [await trio.to_thread.run_sync(ask) for _ in range(2)]
        before = await settled(2)
        gc.collect()
        objects = len(gc.get_objects())
        socks += [await trio.to_thread.run_sync(ask) for _ in range(100)]
        assert await settled(102) == before
        gc.collect()
        per_subscriber = (len(gc.get_objects()) - objects) / 100 - 1  # less the test's own socket
        assert per_subscriber <= OBJECTS_A_SUBSCRIBER
        for sock in socks:
            sock.close()


async def test_the_text_of_a_page_is_made_once_for_all_event_streams(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[bytes] = []
    of = OneChannel.of

    def counted(self: OneChannel, payload: bytes) -> bytes:
        made.append(payload)
        return of(self, payload)

    async with a_server() as server, AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(reading(server, "user.u1")) for _ in range(SUBSCRIBERS)]
        for stream in streams:
            await stream.say("courier.joined")
        monkeypatch.setattr(OneChannel, "of", counted)
        await server.publish("user.u1", announcement())
        for stream in streams:
            await stream.events(1)
    assert len([payload for payload in made if b"system.announcement" in payload]) == 1


def open_plain(server: TestServer, subprotocol: bytes) -> socket.socket:
    """A subscriber of a user of its own, that has its 101."""
    sock = socket.create_connection((server.host, server.port), timeout=10)
    sock.sendall(upgrade(subprotocol))
    assert b" 101 " in sock.recv(4096)
    return sock


class Epolls:
    """Counts what the server asks of its epoll for its rows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = Counter[str]()
        counted, make = self.count, select.epoll

        class Counting:
            def __init__(self) -> None:
                self._epoll = make()
                self.fileno, self.poll, self.close = self._epoll.fileno, self._epoll.poll, self._epoll.close

            def __getattr__(self, name: str) -> Any:
                counted[name] += 1
                return getattr(self._epoll, name)

        monkeypatch.setattr("courier.serving.desk.desk.select.epoll", Counting)


async def test_a_row_asks_epoll_for_nothing_but_to_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    epolls = Epolls(monkeypatch)
    async with a_server() as server, AsyncExitStack() as stack:
        joined = [await stack.enter_async_context(server.subscribe()) for _ in range(SUBSCRIBERS)]
        stream = await stack.enter_async_context(await server.connect())
        epolls.count.clear()
        for _ in range(10):
            await stream.send_all(post(announcement()))
            await answers(stream, 1)
        for websocket in joined:
            await events(websocket, 10)
            await websocket.send_message("ping")
            assert await websocket.get_message() == "pong"
        assert not epolls.count


async def test_an_idle_channel_costs_one_task() -> None:
    async with a_server() as server, await server.connect() as stream:
        await stream.send_all(post(announcement()))
        await answers(stream, 1)
        before = await living()
        for number in range(2, 12):
            await stream.send_all(post(announcement(), f"/publish/user.u{number}"))
            await answers(stream, 1)
        assert await living() - before == 10


CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"
"""A client's close with 1000."""

Ending = Callable[[socket.socket], None]


def by_a_close(sock: socket.socket) -> None:
    sock.sendall(upgrade())
    sock.recv(4096)
    sock.sendall(CLOSE)


def by_a_reset(sock: socket.socket) -> None:
    sock.sendall(upgrade(b"Sec-WebSocket-Protocol: courier.v1\r\n"))
    sock.recv(4096)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def by_no_token(sock: socket.socket) -> None:
    sock.sendall(upgrade().replace(b"token=", b"no="))


def by_a_broken_frame(sock: socket.socket) -> None:
    sock.sendall(upgrade())
    sock.recv(4096)
    sock.sendall(b"\xff\xff\xff\xff")


def by_a_channel_that_ends(sock: socket.socket) -> None:
    channel = f"backtest.c{sock.getsockname()[1]}".encode()
    sock.sendall(upgrade().replace(b"/ws/user.u1", b"/ws/" + channel))
    sock.recv(4096)
    sock.sendall(CLOSE)


def by_being_too_slow(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.sendall(upgrade())
    sock.recv(4096)


def after_publishes(sock: socket.socket) -> None:
    for _ in range(3):
        sock.sendall(post(announcement()))
        sock.recv(4096)
    sock.shutdown(socket.SHUT_WR)


def by_leaving_a_stream(sock: socket.socket) -> None:
    sock.sendall(asked(EVENTS_REQUEST))
    sock.recv(4096)
    sock.shutdown(socket.SHUT_WR)


def by_leaving_a_stream_of_two(sock: socket.socket) -> None:
    sock.sendall(asked(EVENTS_REQUEST.replace("/{channel}?", "?channel=user.u1&channel=global&")))
    sock.recv(4096)
    sock.shutdown(socket.SHUT_WR)


def by_asking_behind_a_stream(sock: socket.socket) -> None:
    sock.sendall(asked(EVENTS_REQUEST) * 2)


def by_waiting_in_vain(sock: socket.socket) -> None:
    sock.sendall(asked(POLL_REQUEST.replace("wait=60", "wait=0")))
    sock.recv(4096)
    sock.shutdown(socket.SHUT_WR)


def by_leaving_while_it_waits(sock: socket.socket) -> None:
    sock.sendall(asked(POLL_REQUEST.replace("since={since}&", ""), "u2"))
    sock.shutdown(socket.SHUT_WR)


def asked(request: str, user_id: str = "u1") -> bytes:
    return request.format(channel=f"user.{user_id}", token=token(user_id), since="aaaaaaaa-1").encode()


def by_nonsense(sock: socket.socket) -> None:
    sock.sendall(b"\xff\xff\r\n\r\n")


ENDINGS: list[Ending] = [
    by_a_close,
    by_a_reset,
    by_no_token,
    by_a_broken_frame,
    by_a_channel_that_ends,
    by_being_too_slow,
    after_publishes,
    by_leaving_a_stream,
    by_leaving_a_stream_of_two,
    by_asking_behind_a_stream,
    by_waiting_in_vain,
    by_leaving_while_it_waits,
    by_nonsense,
]


@pytest.mark.parametrize(
    ("secure", "endings", "most"),
    [
        pytest.param(False, ENDINGS, 3, id="plain"),
        # Werkzeug's router makes a function that refers to itself for each request of the general path.
        pytest.param(
            True,
            [by_a_close, by_a_reset, by_leaving_a_stream, by_leaving_while_it_waits, by_nonsense],
            12,
            id="TLS",
        ),
    ],
)
async def test_a_connection_that_has_ended_leaves_nothing_to_the_garbage_collector(
    secure: bool, endings: list[Ending], most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the collector has to find stays until it runs, and it stops the node while it runs."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "pem")
    files = {"certfile": str(tmp_path / "pem"), "keyfile": str(tmp_path / "pem")} if secure else {}
    context = ssl.create_default_context()
    authority.configure_trust(context)
    contexts: list[ServerContext] = []

    def context_of(service: Service) -> ServerContext:
        contexts.append(ServerContext(service))
        return contexts[0]

    monkeypatch.setattr(worker, "ServerContext", context_of)

    def open_socket(server: TestServer) -> socket.socket:
        sock = socket.create_connection((server.host, server.port), timeout=10)
        return context.wrap_socket(sock, server_hostname="127.0.0.1") if secure else sock

    def connect(server: TestServer, end: Ending) -> socket.socket:
        sock = open_socket(server)
        end(sock)
        if end is not by_being_too_slow:
            with suppress(OSError):
                while sock.recv(65536):
                    pass
            sock.close()
        return sock

    async def connect_several(server: TestServer, end: Ending) -> None:
        socks = [await trio.to_thread.run_sync(connect, server, end) for _ in range(SEVERAL)]
        if end is by_being_too_slow:
            for _ in range(100):
                await server.publish("user.u1", announcement(message="x" * 60_000))
        with trio.fail_after(10):
            while contexts[0].connections:
                await trio.sleep(0.01)
        if end is by_a_channel_that_ends:
            await trio.sleep(1.5)  # those without subscribers are looked for every second
        for sock in socks:
            sock.close()

    left = {}
    async with a_server(stall_seconds=0.3, history_seconds=0.1, **files) as server:
        gc.disable()
        try:
            for end in endings:
                await connect_several(server, end)
                gc.collect()
                gc.collect()  # a tuple of tuples is left out once those in it are
                await connect_several(server, end)
                before = len(gc.get_objects())
                gc.collect()  # what it returns leaves out whatever a generator's end frees
                left[end.__name__] = (before - len(gc.get_objects())) / SEVERAL
        finally:
            gc.enable()
    # A tuple of plain values, of which some live on, is none of its objects after a collection.
    assert {name: count for name, count in left.items() if count > most} == {}
