"""Servers that do as a test says, on the test's own event loop; and a proxy before a real one."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import h11
from anyio.abc import SocketAttribute, SocketStream
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Pong, Request, TextMessage

Answer = tuple[int, dict[str, str], bytes]

GONE = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


@asynccontextmanager
async def serving(handle: Callable[[SocketStream], Awaitable[None]]) -> AsyncIterator[int]:
    """A listener on a free port, which the block gets; its connections end with it."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:

        async def connected(stream: SocketStream) -> None:
            async with stream:
                with suppress(*GONE):
                    await handle(stream)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, connected)
            yield listener.extra(SocketAttribute.local_port)
            tasks.cancel_scope.cancel()


class Asked:
    """One request that came."""

    def __init__(self, request: h11.Request, body: bytes) -> None:
        self.path = request.target.decode()
        self.headers = {name.decode(): value.decode() for name, value in request.headers}
        self.body = body

    @property
    def key(self) -> str:
        return self.headers["idempotency-key"]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events that it bears, whatever its form."""
        said = json.loads(self.body)
        return [one["data"] for one in said["events"]] if "events" in said else [said]

    @property
    def titles(self) -> list[str]:
        return [event["title"] for event in self.events]


class FakeHttp:
    """Answers what `answer` says: a status, headers and a body; None cuts the connection."""

    def __init__(self, answer: "Callable[[Asked], Awaitable[Answer | None]]") -> None:
        self.asked: list[Asked] = []
        self.url = ""
        self._answer = answer

    async def handle(self, stream: SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)
        request: h11.Request | None = None
        body = b""
        while True:
            match event := connection.next_event():
                case h11.NEED_DATA:
                    connection.receive_data(await stream.receive())
                case h11.Request():
                    request, body = event, b""
                case h11.Data():
                    body += event.data
                case h11.EndOfMessage():
                    assert request is not None
                    asked = Asked(request, body)
                    self.asked.append(asked)
                    answer = await self._answer(asked)
                    if answer is None:
                        return
                    status, headers, content = answer
                    lines = [*headers.items(), ("Content-Length", str(len(content)))]
                    out = connection.send(h11.Response(status_code=status, headers=lines)) or b""
                    out += connection.send(h11.Data(data=content)) or b""
                    out += connection.send(h11.EndOfMessage()) or b""
                    await stream.send(out)
                    connection.start_next_cycle()
                case _:
                    return


@asynccontextmanager
async def fake_http(answer: "Callable[[Asked], Awaitable[Answer | None]]") -> AsyncIterator[FakeHttp]:
    fake = FakeHttp(answer)
    async with serving(fake.handle) as port:
        fake.url = f"http://127.0.0.1:{port}"
        yield fake


def receipt(event: dict[str, Any], number: int = 1) -> dict[str, Any]:
    return {
        "status": "published", "channel": "global", "event_type": event["type"], "clients_reached": 0,
        "timestamp": "2026-01-31T12:00:00.000Z", "id": f"k3v9x0qa-{number}",
    }  # fmt: skip


def published(asked: Asked) -> Answer:
    """Everything is published."""
    results = [receipt(event, number) for number, event in enumerate(asked.events, 1)]
    whole = {"results": results} if asked.path == "/publish/batch" else results[0]
    return 200, {}, json.dumps(whole).encode()


def batch_of(*results: Any) -> Answer:
    """A batch's answer: an event stands for its receipt, a number for a failure of that status."""
    told = [
        {"status": "failed", "code": one, "error": "no"} if isinstance(one, int) else receipt(one)
        for one in results
    ]
    return 200, {}, json.dumps({"results": told}).encode()


def refused(status: int, error: str = "no", *, headers: dict[str, str] | None = None, **facts: Any) -> Answer:
    return status, headers or {}, json.dumps({"detail": {"error": error, **facts}}).encode()


class Peer:
    """The server's end of one WebSocket."""

    def __init__(self, stream: SocketStream) -> None:
        self.path = ""
        self.headers: dict[str, str] = {}
        self.offered: list[str] = []
        self.pongs: list[bytes] = []
        """The protocol's own."""
        self.close_code: int | None = None
        """What the subscriber closed with."""
        self._stream = stream
        self._protocol = WSConnection(ConnectionType.SERVER)
        self._heard: list[str] = []

    async def open(self, subprotocol: str | None = "courier.v1") -> None:
        """Accept the handshake."""
        while not self.path:
            await self._read()
        await self._stream.send(self._protocol.send(AcceptConnection(subprotocol=subprotocol)))

    async def join(self, position: str = "k3v9x0qa-0", *, recovered: bool = False, **fields: Any) -> None:
        """Accept, and say that it has joined."""
        await self.open()
        joined = {"type": "courier.joined", "channel": "global", "position": position, "replayed": 0}
        joined |= {"recovered": recovered, "connection_id": "c1", "heartbeat_seconds": 30.0}
        await self.say(joined | fields)

    async def say(self, message: dict[str, Any] | str) -> None:
        text = message if isinstance(message, str) else json.dumps(message)
        await self._stream.send(self._protocol.send(TextMessage(text)))

    async def tell(self, *offsets: int, channel: str = "global") -> None:
        """Deliver the events at these offsets."""
        for offset in offsets:
            await self.say(event_at(offset, channel))

    async def close(self, code: int, reason: str) -> None:
        await self._stream.send(self._protocol.send(CloseConnection(code, reason)))

    async def raw(self, data: bytes) -> None:
        await self._stream.send(data)

    async def hear(self) -> str:
        """What the subscriber says next."""
        while not self._heard:
            await self._read()
        return self._heard.pop(0)

    async def until_closed(self) -> None:
        while True:
            await self._read()

    async def _read(self) -> None:
        self._protocol.receive_data(await self._stream.receive())
        for event in self._protocol.events():
            match event:
                case Request():
                    self.path, self.offered = event.target, list(event.subprotocols)
                    self.headers = {name.decode(): value.decode() for name, value in event.extra_headers}
                case TextMessage():
                    self._heard.append(event.data)
                case Pong():
                    self.pongs.append(bytes(event.payload))
                case CloseConnection():
                    self.close_code = event.code


def event_at(offset: int, channel: str = "global") -> dict[str, Any]:
    return {
        "id": f"k3v9x0qa-{offset}", "channel": channel, "type": "system.announcement", "source": "tests",
        "timestamp": "2026-01-31T12:00:00Z", "title": str(offset), "message": "m", "severity": "info",
    }  # fmt: skip


class FakeWebSockets:
    """Each connection is served by the next of the `scripts`; when there is none left, it is cut."""

    def __init__(self, scripts: list[Callable[[Peer], Awaitable[None]]]) -> None:
        self.peers: list[Peer] = []
        self.times: list[float] = []
        """When each connected."""
        self.url = ""
        self._scripts = scripts

    async def handle(self, stream: SocketStream) -> None:
        peer = Peer(stream)
        self.peers.append(peer)
        self.times.append(anyio.current_time())
        if len(self.peers) <= len(self._scripts):
            await self._scripts[len(self.peers) - 1](peer)


@asynccontextmanager
async def fake_websockets(*scripts: Callable[[Peer], Awaitable[None]]) -> AsyncIterator[FakeWebSockets]:
    fake = FakeWebSockets(list(scripts))
    async with serving(fake.handle) as port:
        fake.url = f"http://127.0.0.1:{port}"
        yield fake


class Proxy:
    """Passes everything on to a node, counts the requests, and loses answers when asked to."""

    def __init__(self, to_port: int) -> None:
        self.requests = 0
        self.url = ""
        self.connections = 0
        self.answers_to_lose = 0
        """So many times from now on a request reaches the node, and its answer does not come back."""
        self.to_port = to_port
        self._frozen = 0

    def freeze(self) -> None:
        """From now on nothing passes over the connections that there are; nobody is told."""
        self._frozen = self.connections

    async def handle(self, client: SocketStream) -> None:
        self.connections += 1
        number = self.connections
        server = await anyio.connect_tcp("127.0.0.1", self.to_port)
        async with server, anyio.create_task_group() as tasks:
            tasks.start_soon(self._pass_on, number, client, server, tasks.cancel_scope)
            tasks.start_soon(self._pass_back, number, server, client, tasks.cancel_scope)

    async def _pass_on(
        self, number: int, client: SocketStream, server: SocketStream, scope: anyio.CancelScope
    ) -> None:
        with suppress(*GONE):
            async for data in client:
                self.requests += data.count(b"POST /publish")
                if number > self._frozen:
                    await server.send(data)
        scope.cancel()

    async def _pass_back(
        self, number: int, server: SocketStream, client: SocketStream, scope: anyio.CancelScope
    ) -> None:
        with suppress(*GONE):
            async for data in server:
                if self.answers_to_lose:
                    self.answers_to_lose -= 1
                    break
                if number > self._frozen:
                    await client.send(data)
        scope.cancel()


@asynccontextmanager
async def proxy_before(port: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(port)
    async with serving(proxy.handle) as own:
        proxy.url = f"http://127.0.0.1:{own}"
        yield proxy
