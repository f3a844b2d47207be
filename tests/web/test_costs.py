"""What an event, a connection and a channel cost, in what can be counted: no clock, no flake."""

import json
import socket
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import jwt
import pytest
import trio
import trio.testing

from courier.actors.channel import Channel
from courier.schemas.registry import Registry
from tests.web.servers import a_server, announcement, events
from tests.web.test_hypercorn import open_raw
from tests.web.test_publish import authorized

SUBSCRIBERS = 20
TASKS_A_WEBSOCKET = 2
"""Of an idle subscriber: the connection, which reads, and the application."""


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


async def test_publishes_that_came_together_are_answered_by_one_write(sends: Counter[int]) -> None:
    async with a_server() as server, await server.connect() as stream:
        await stream.send_all(post(announcement()) * 20)
        await answers(stream, 20)
        assert sends[server.port] == 1


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

    monkeypatch.setattr(Registry, "encode", count)
    async with a_server() as server, AsyncExitStack() as stack:
        joined = [await stack.enter_async_context(server.subscribe()) for _ in range(SUBSCRIBERS)]
        for _ in range(3):
            await server.publish("user.u1", announcement())
        for websocket in joined:
            await events(websocket, 3)
    assert encoded == 3


async def test_a_service_token_is_verified_once_for_many_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    verified = 0
    decode = jwt.PyJWS.decode

    def count(self: jwt.PyJWS, *args: Any, **kwargs: Any) -> Any:
        nonlocal verified
        verified += 1
        return decode(self, *args, **kwargs)

    monkeypatch.setattr(jwt.PyJWS, "decode", count)
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
async def test_an_idle_subscriber_costs_so_many_tasks_and_no_more(subprotocol: bytes) -> None:
    async with a_server() as server, AsyncExitStack() as stack:
        await stack.enter_async_context(await open_raw(server))  # the channel's task is not a subscriber's
        before = await living()
        for _ in range(10):
            await stack.enter_async_context(await open_raw(server, subprotocol))
        assert await living() - before == 10 * TASKS_A_WEBSOCKET


async def test_an_idle_channel_costs_one_task() -> None:
    async with a_server() as server, await server.connect() as stream:
        await stream.send_all(post(announcement()))
        await answers(stream, 1)
        before = await living()
        for number in range(2, 12):
            await stream.send_all(post(announcement(), f"/publish/user.u{number}"))
            await answers(stream, 1)
        assert await living() - before == 10
