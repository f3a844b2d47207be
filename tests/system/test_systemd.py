"""systemd's side of a node: what its manager hears, and sockets that outlive it."""

import json
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import count, takewhile
from pathlib import Path

import pytest
import trio

from courier.web.server import addresses, serve
from tests.backplane.redis_servers import needs_redis, redis_server
from tests.system.managers import Ear, a_told_node
from tests.system.nodes import Publisher, Reader, judge
from tests.system.processes import BIN, a_node
from tests.system.test_drain import open_stuck
from tests.web.servers import TestServer, announcement, exchange, settings_for

pytestmark = pytest.mark.system

ACTIVATE = shutil.which("systemd-socket-activate")

COMMANDS = {
    "courier serve": ["courier", "serve"],
    "hypercorn -k trio": ["hypercorn", "-k", "trio", "-b", "fd://3", "courier.web:app"],
}


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """The socket that a service manager keeps."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        yield listener


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_service_manager_hears_of_the_life_of_a_node(
    listener: socket.socket, tmp_path: Path, name: str
) -> None:
    told = {"NOTIFY_SOCKET": f"{tmp_path}/notify", "WATCHDOG_USEC": "200000"}
    with trio.fail_after(20), Ear(told["NOTIFY_SOCKET"]) as ear:
        async with a_told_node(
            listener, tmp_path / "log", COMMANDS[name], told=told, DRAIN_DELAY_SECONDS="0.5"
        ) as node:
            await ear.wait_for("READY=1", "STATUS=Ready: 0 subscribers")
            assert (await node.request("GET", "/health/ready")).status == 200
            async with node.subscribe():
                await ear.wait_for("WATCHDOG=1", "STATUS=Ready: 1 subscribers")
            for _ in range(2):
                await ear.wait_for("WATCHDOG=1")
            node.signal_master()
            await ear.wait_for("STOPPING=1", "STATUS=Leaving: 0 subscribers")
            assert (await node.request("GET", "/health/ready")).status == 503
            for _ in range(2):
                await ear.wait_for("STOPPING=1", "WATCHDOG=1", "EXTEND_TIMEOUT_USEC=300000")
            assert await node.exit_code() == 0, node.log


async def test_a_node_that_the_watchdog_ends_says_where_it_stood(
    listener: socket.socket, tmp_path: Path
) -> None:
    told = {"NOTIFY_SOCKET": f"{tmp_path}/notify"}
    with trio.fail_after(20), Ear(told["NOTIFY_SOCKET"]) as ear:
        async with a_told_node(listener, tmp_path / "log", COMMANDS["courier serve"], told=told) as node:
            await ear.wait_for("READY=1")
            node.signal_master(signal.SIGABRT)
            assert await node.exit_code() == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in node.log
    assert "in serve\n" in node.log


@pytest.mark.parametrize("kept", [pytest.param("redis", marks=needs_redis), "disk"])
async def test_nobody_notices_that_a_node_is_restarted_while_its_socket_is_kept(
    listener: socket.socket, tmp_path: Path, kept: str
) -> None:
    """No connection is refused or reset, no publish is left without an answer, and no event is lost."""
    address = TestServer("http://{}:{}".format(*listener.getsockname()))
    publisher, reader = Publisher(), Reader(address)
    answers: list[int] = []

    async def connect_again_and_again() -> None:
        while True:
            answers.append((await address.request("GET", "/health/live")).status)

    over, published = trio.Event(), trio.Event()
    titles = takewhile(lambda _: not over.is_set(), map(str, count()))
    start = partial(a_told_node, listener, tmp_path / "log", COMMANDS["courier serve"])

    async def publish_again_and_again() -> None:
        await publisher.run(address, titles, until_taken=True)
        published.set()

    def enough(taken: int, answered: int) -> bool:
        return len(publisher.acknowledged) >= taken + 100 and len(answers) >= answered + 20

    with ExitStack() as stack, trio.fail_after(40):
        if kept == "redis":
            variable, where = "REDIS_URL", stack.enter_context(redis_server()).url
        else:
            variable, where = "DATA", str(tmp_path / "data")
        async with trio.open_nursery() as clients:
            for turn in range(3):
                async with start(None, **{variable: where}) as node:
                    if turn == 0:
                        await clients.start(reader.run)
                        clients.start_soon(connect_again_and_again)
                        clients.start_soon(publish_again_and_again)
                    taken, answered = len(publisher.acknowledged), len(answers)
                    while not enough(taken, answered):
                        await trio.sleep(0.01)
                    if turn < 2:
                        node.signal_master()
                        assert await node.exit_code() == 0, node.log
                        continue
                    over.set()
                    await published.wait()
                    await reader.until(lambda reader: publisher.acknowledged.keys() <= set(reader.titles))
                    clients.cancel_scope.cancel()
    assert set(answers) == {200}
    assert publisher.broken == 0
    assert {(status, headers["retry-after"]) for status, headers in publisher.refused} <= {(503, "1")}
    judge(reader, publisher.acknowledged)
    assert reader.gaps == []
    assert {code for code, _ in reader.closes} == {1001}


async def test_what_comes_while_a_node_drains_waits_for_the_next_if_the_socket_is_kept(
    listener: socket.socket, tmp_path: Path
) -> None:
    start = partial(a_told_node, listener, tmp_path / "log", COMMANDS["courier serve"], DRAIN_SECONDS="1.5")
    body = json.dumps(announcement()).encode()
    headers = {"X-Service-Name": "tests", "Content-Type": "application/json"}
    statuses: list[int] = []

    async def publish(server: TestServer) -> None:
        statuses.append((await server.publish("user.u1", announcement())).status)

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            async with start() as node, await open_stuck(node), await node.connect() as known:
                node.signal_master()
                while (
                    said := await exchange(known, "POST", "/publish/user.u1", body, headers)
                ).status == 200:
                    pass
                assert (said.status, said.headers["retry-after"]) == (503, "1")
                nursery.start_soon(publish, node)
                assert await node.exit_code() == 0, node.log
                assert statuses == []
            async with start():
                while not statuses:
                    await trio.sleep(0.01)
    assert statuses == [200]


@pytest.mark.skipif(ACTIVATE is None, reason="systemd-socket-activate is not installed (Debian: systemd)")
async def test_systemd_hands_down_its_socket_when_somebody_comes(tmp_path: Path) -> None:
    command = [str(ACTIVATE), "-l", "{bind}", "-E", "COURIER_JWT_SECRET", str(BIN / "courier"), "serve"]
    async with a_node(tmp_path / "log", command) as node:
        assert (await node.publish("user.u1", announcement())).status == 200
        node.signal_master()
        with trio.fail_after(10):
            assert await node.exit_code() == 0, node.log


async def refused(listener: socket.socket, log: Path, *arguments: str) -> str:
    """What a node says that does not start with this socket as its descriptor 3."""
    with trio.fail_after(10):
        async with a_told_node(listener, log, ["courier", "serve", *arguments]) as node:
            assert await node.exit_code() == 1
    assert "Traceback" not in node.log
    return node.log


async def test_what_is_no_listening_stream_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, socket.socket() as silent:
        for each in (datagrams, silent):
            each.bind(("127.0.0.1", 0))
        begin = "Courier does not start: it cannot listen on fd://"
        said = await refused(datagrams, tmp_path / "datagrams")
        assert said == f"{begin}3: a socket that is handed down must be a stream socket\n"
        said = await refused(silent, tmp_path / "silent")
        assert said == f"{begin}3: a socket that is handed down must be listening\n"
        said = await refused(silent, tmp_path / "none", "--bind", "fd://4000")
        assert said == f"{begin}4000: [Errno 9] Bad file descriptor\n"


async def test_a_socket_that_others_reach_is_refused_while_anybody_can_publish(tmp_path: Path) -> None:
    """What counts is the address that it is bound to, not its number."""
    with socket.create_server(("0.0.0.0", 0)) as public:
        said = await refused(public, tmp_path / "log")
        assert "COURIER_PUBLISH_AUTH must be required or report" in said
        assert f"to listen on 0.0.0.0:{public.getsockname()[1]} " in said


async def test_all_sockets_that_are_handed_down_are_served(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(str(tmp_path / "socket"), family=socket.AF_UNIX) as other,
    ):
        stop = trio.Event()
        binds = [f"fd://{each.dup().detach()}" for each in (one, other)]
        async with trio.open_nursery() as nursery:
            found = await nursery.start(
                partial(serve, settings_for(), binds=binds, shutdown_trigger=stop.wait)
            )
            assert found == ["http://{}:{}".format(*one.getsockname()), f"http://unix:{tmp_path}/socket"]
            async with await TestServer(found[0]).connect() as stream:
                assert (await exchange(stream, "GET", "/health/live")).status == 200
            async with await trio.open_unix_socket(tmp_path / "socket") as stream:
                assert (await exchange(stream, "GET", "/health/live")).status == 200
            stop.set()


@pytest.mark.parametrize(
    ("bind", "setting", "used"),
    [
        (None, "127.0.0.1:1", ["fd://3"]),
        (None, "fd://4", ["fd://4"]),
        ("fd://5", "127.0.0.1:1", ["fd://5"]),
    ],
)
def test_a_socket_that_is_handed_down_goes_before_an_address(
    bind: str | None, setting: str, used: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("courier.web.server.handed_down", lambda: [3])
    assert addresses(settings_for(bind=setting), bind) == used


def test_an_address_on_the_command_line_beside_a_socket_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("courier.web.server.handed_down", lambda: [3])
    with pytest.raises(SystemExit, match=r"--bind says 127\.0\.0\.1:1, and a socket was handed down"):
        addresses(settings_for(), "127.0.0.1:1")
