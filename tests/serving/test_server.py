"""The server, with an application that is not Courier."""

from functools import partial
from pathlib import Path
from typing import Any

import hypercorn.asyncio.run
import pytest
import sniffio
import trio
from hypercorn.config import Config
from hypercorn.utils import wrap_app
from trio_websocket import open_websocket

from courier.serving import patience
from courier.serving.hypercorn import install, link
from courier.serving.requests import Head
from courier.serving.service import Application, Route
from tests.serving.applications import Echo, Short, a_service, echo, served
from tests.web.servers import TestServer
from tests.web.test_hypercorn import close_of, masked, upgrade

GET = b"GET / HTTP/1.1\r\nHost: t\r\n%b\r\n"
CLOSE = GET % b"Connection: close\r\n"


@pytest.fixture(autouse=True)
def installed() -> None:
    install()


async def echoes(server: TestServer) -> None:
    """What is said to it, by HTTP and by WebSocket, comes back."""
    with trio.fail_after(10):
        assert (await server.request("POST", "/", b"a body")).body == b"a body"
        async with open_websocket(server.host, server.port, "/", use_ssl=False) as websocket:
            await websocket.send_message("a message")
            assert await websocket.get_message() == "a message"


async def test_an_application_is_asked_and_served_and_drained() -> None:
    app = Echo(a_service())
    assert isinstance(app, Application)
    async with served(app) as server:
        assert app.said == ["prepare"]
        await echoes(server)
    assert app.said == ["prepare", "leave", "drain", "raise_if_failed"]


async def test_a_message_longer_than_the_service_takes_is_too_big() -> None:
    async with served(Echo(a_service(max_message_bytes=10))) as server, await server.connect() as stream:
        await stream.send_all(upgrade())
        with trio.fail_after(5):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 101 ")
            await stream.send_all(masked(1, b"x" * 10))
            assert await stream.receive_some() == b"\x81\x0a" + b"x" * 10
        await stream.send_all(masked(1, b"x" * 11))
        assert await close_of(stream) == (1009, "Message too big")


async def test_an_application_hears_of_the_end_when_the_peer_is_gone_before_the_close_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = patience.send_all

    async def broken_at_a_close(peer: Any, data: bytes, seconds: float) -> None:
        if data[:1] == b"\x88":
            raise trio.BrokenResourceError
        await whole(peer, data, seconds)

    class Listener(Echo):
        ended = trio.Event()

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await super().__call__(scope, receive, send)
            if scope["type"] == "websocket":
                self.ended.set()

    monkeypatch.setattr(link, "send_all", broken_at_a_close)
    app = Listener(a_service())
    async with served(app) as server, await server.connect() as stream:
        await stream.send_all(upgrade())
        with trio.fail_after(5):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 101 ")
            await stream.send_all(masked(3, b"an unknown opcode"))
            await app.ended.wait()


async def test_an_application_hears_of_a_peer_that_is_gone_amid_a_body_when_nothing_can_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(peer: Any, data: bytes, seconds: float) -> None:
        raise trio.BrokenResourceError

    class Listener(Echo):
        ended = trio.Event()

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await super().__call__(scope, receive, send)
            if scope["type"] == "http":
                self.ended.set()

    monkeypatch.setattr(link, "send_all", broken)
    app = Listener(a_service())
    async with served(app) as server, await server.connect() as stream:
        await stream.send_all(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n12")
        await stream.send_eof()
        with trio.fail_after(5):
            await app.ended.wait()


@pytest.mark.parametrize("header", [b"X-Once: %b\r\n", b"Sec-WebSocket-Key: %b\r\n"])
async def test_a_header_that_holds_one_value_comes_once(header: bytes) -> None:
    async with served(Echo(a_service())) as server:
        said = await server.raw(GET % (header % b"a" + header % b"b" + b"Connection: close\r\n"))
        assert said.startswith(b"HTTP/1.1 400 ")
        assert b"came more than once" in said
        assert (await server.raw(GET % b"X-Many: a\r\nX-Many: b\r\nConnection: close\r\n"))[9:12] == b"200"


async def test_two_servers_of_a_process_count_their_own_connections() -> None:
    one, other = Echo(a_service(max_connections=1)), Echo(a_service(max_connections=1))
    async with served(one) as first, served(other) as second, await first.connect() as kept:
        with trio.fail_after(5):
            await kept.send_all(GET % b"")
            assert (await kept.receive_some()).startswith(b"HTTP/1.1 200")
            assert await first.raw(CLOSE) == b""
            assert (await second.raw(CLOSE)).startswith(b"HTTP/1.1 200")


SHORT = b"POST /short HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\ncut"


def to_short(head: Head, address: str | None) -> Route | None:
    assert address == "127.0.0.1"
    return Short() if head.path == "/short" else None


async def test_the_desk_answers_what_the_service_has_a_route_for_and_leaves_the_rest() -> None:
    async with served(Echo(a_service(route=to_short))) as server:
        said = await server.raw(SHORT + SHORT + CLOSE)
    heads = [part.partition(b"\r\n")[0] for part in said.split(b"cut")]
    assert heads == [b"HTTP/1.1 203 ", b"HTTP/1.1 203 ", b"HTTP/1.1 200 "]
    assert said.count(b"\r\ndate: ") == 3


async def test_a_unix_socket_has_a_desk_whose_peers_have_no_address(tmp_path: Path) -> None:
    addresses: list[str | None] = []

    def route(head: Head, address: str | None) -> Route | None:
        addresses.append(address)
        return Short() if head.path == "/short" else None

    async with served(Echo(a_service(route=route)), f"unix:{tmp_path}/socket"):
        stream = await trio.open_unix_socket(f"{tmp_path}/socket")
        async with stream:
            await stream.send_all(SHORT + GET % b"" + SHORT)
            said = b""
            with trio.fail_after(5):
                while said.count(b"HTTP/1.1 ") < 3:
                    said += await stream.receive_some()
    assert addresses == [None] * 2  # the second time it is remembered


@pytest.mark.parametrize("values", [{"desk": False}, {"closed": lambda: True}])
async def test_without_a_desk_or_while_it_is_closed_all_goes_the_general_path(values: dict[str, Any]) -> None:
    async with served(Echo(a_service(route=to_short, **values))) as server:
        assert (await server.raw(SHORT + CLOSE)).count(b"HTTP/1.1 200 ") == 2
        await echoes(server)


async def test_a_fault_at_the_desk_is_told_to_the_service_and_ends_one_connection() -> None:
    def broken(head: Head, address: str | None) -> Route | None:
        raise ZeroDivisionError("a fault")

    faults: list[BaseException] = []
    async with served(Echo(a_service(route=broken, fault=faults.append))) as server:
        assert await server.raw(SHORT) == b""
        async with open_websocket(server.host, server.port, "/", use_ssl=False):
            pass
    assert [type(fault) for fault in faults] == [ZeroDivisionError]


async def test_an_app_of_others_is_served_by_hypercorns_own_server() -> None:
    async with served(echo) as server:
        await echoes(server)


def test_an_app_of_others_stays_on_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hypercorn.asyncio.run, "_run", hypercorn.asyncio.run._run)  # for the time after
    install()
    libraries: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        libraries.append(sniffio.current_async_library())
        await echo(scope, receive, send)

    async def at_once(*args: Any) -> None:
        return

    config = Config()
    config.bind = ["127.0.0.1:0"]
    wrapped = wrap_app(app, config.wsgi_max_body_size, "asgi")
    main = partial(hypercorn.asyncio.run.worker_serve, wrapped, config, sockets=None)
    hypercorn.asyncio.run._run(main, shutdown_trigger=at_once)
    assert libraries == ["asyncio"]


def test_to_install_twice_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hypercorn.asyncio.run, "_run", hypercorn.asyncio.run._run)
    install()
    once = hypercorn.asyncio.run._run
    install()
    assert hypercorn.asyncio.run._run is once
