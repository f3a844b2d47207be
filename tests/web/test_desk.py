"""Publishing at the desk: what it answers is plain beyond doubt, and the general path answers all else."""

import json
import socket
import struct
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from hypercorn.config import Config

from courier.serving.desk import desk, http
from courier.serving.desk.desk import Desk
from courier.serving.hypercorn import worker
from courier.serving.hypercorn.config import adapt
from courier.serving.hypercorn.reception import open_desk
from courier.serving.service import Service
from courier.web.caller import Caller
from courier.web.paths import BATCH
from courier.web.publishing import single
from courier.web.publishing.route import Route, route_of
from tests.web.servers import PATIENCE_SECONDS, a_server, announcement, events
from tests.web.test_publish import a_server_to_drain, channels_that_do_nothing
from tests.web.ways import answers_at_the_desk

GOOD = json.dumps(announcement()).encode()


PLAIN = (b"Host: t", b"X-Service-Name: tests", b"Content-Type: application/json")


def head(*headers: bytes, first: bytes = b"POST /publish/global HTTP/1.1", end: bytes = b"\r\n") -> bytes:
    """A head without the empty line after it."""
    return end.join((first, *headers))


def post(
    body: bytes = GOOD, *extra: bytes, path: bytes = b"/publish/global", service: bytes = b"tests"
) -> bytes:
    """A whole plain request."""
    lines = (
        b"POST %b HTTP/1.1" % path,
        b"Host: t",
        b"X-Service-Name: " + service,
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        *extra,
    )
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


LIVE = b"GET /health/live HTTP/1.1\r\nHost: t\r\n\r\n"


def route_to(raw: bytes, max_event_bytes: int = 2000) -> Route | None:
    """The route of publishes with such a head."""
    site: Any = SimpleNamespace(settings=SimpleNamespace(max_event_bytes=max_event_bytes))
    service: Any = SimpleNamespace(route=partial(route_of, site))
    reader = http.Http(*[service] * 4, hand_over=service, date=service)
    known = reader._known(raw, "192.0.2.1")
    return None if known is None else cast("Route | None", known.route)


# What is plain


@pytest.mark.parametrize(
    ("first", "channel"),
    [
        pytest.param(b"POST /publish HTTP/1.1", None, id="the envelope's path"),
        pytest.param(b"POST /publish/global HTTP/1.1", "global", id="a channel"),
        pytest.param(b"POST /publish/user.A-b_9 HTTP/1.1", "user.A-b_9", id="all that a channel may hold"),
        pytest.param(
            b"POST /publish/user.a@b:+~ HTTP/1.1", "user.a@b:+~", id="all that a path may hold as it is"
        ),
        pytest.param(b"POST /publish/user.a%40b%7C%3A%2B HTTP/1.1", "user.a@b|:+", id="what is escaped"),
        pytest.param(b"POST /publish/user.a@b:c+d|e~f HTTP/1.1", "user.a@b:c+d|e~f", id="as it is"),
        pytest.param(b"POST /publish/user.a%40b%7cc%2B HTTP/1.1", "user.a@b|c+", id="with escapes"),
        pytest.param(b"POST /publish/batch HTTP/1.1", BATCH, id="a batch"),
        pytest.param(b"POST /publish/batches HTTP/1.1", "batches", id="no batch"),
    ],
)
def test_a_plain_head_says_where_the_event_goes(first: bytes, channel: str | None) -> None:
    route = route_to(head(*PLAIN, b"content-length: 7", first=first))
    assert route is not None
    assert route._channel == channel
    assert route._caller == Caller("tests", None, "application/json", address="192.0.2.1")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"Connection: keep-alive", id="keep-alive"),
        pytest.param(b"CONNECTION: Keep-Alive", id="keep-alive in capitals"),
        pytest.param(b"Accept:*/*", id="no space after the colon"),
        pytest.param(b'Accept: a, b;c="d"', id="a value with spaces and quotes"),
        pytest.param(b"Authorization: Bearer a.b.c", id="a token"),
        pytest.param(b"Accept:\t a", id="white space before the value"),
        pytest.param(b"Accept:", id="no value"),
    ],
)
def test_what_changes_nothing_about_the_framing_stays_plain(line: bytes) -> None:
    assert route_to(head(*PLAIN, b"Content-Length: 2", line)) is not None


NOT_PLAIN = {
    "duplicate length": head(*PLAIN, b"Content-Length: 2", b"Content-Length: 2"),
    "two lengths": head(*PLAIN, b"Content-Length: 2", b"content-length: 3"),
    "duplicate header": head(*PLAIN, b"Content-Length: 2", b"x-service-name: other"),
    "duplicate header that means nothing": head(*PLAIN, b"Content-Length: 2", b"A: 1", b"a: 1"),
    "chunked": head(*PLAIN, b"Transfer-Encoding: chunked"),
    "chunked, with a length": head(*PLAIN, b"Content-Length: 2", b"transfer-encoding: chunked"),
    "identity": head(*PLAIN, b"Content-Length: 2", b"Transfer-Encoding: identity"),
    "expect": head(*PLAIN, b"Content-Length: 2", b"Expect: 100-continue"),
    "upgrade": head(*PLAIN, b"Content-Length: 2", b"Upgrade: h2c"),
    "te": head(*PLAIN, b"Content-Length: 2", b"TE: trailers"),
    "trailer": head(*PLAIN, b"Content-Length: 2", b"Trailer: A"),
    "settings of HTTP/2": head(*PLAIN, b"Content-Length: 2", b"HTTP2-Settings: AAMAAABk"),
    "connection: close": head(*PLAIN, b"Content-Length: 2", b"Connection: close"),
    "connection: keep-alive, close": head(*PLAIN, b"Content-Length: 2", b"Connection: keep-alive, close"),
    "connection: a header's name": head(*PLAIN, b"Content-Length: 2", b"Connection: X-Service-Name"),
    "a folded line": head(*PLAIN, b"Content-Length: 2", b"A: b", b" c"),
    "a line folded by a tab": head(*PLAIN, b"Content-Length: 2", b"A: b", b"\tc"),
    "a first header that is folded": head(b" Content-Length: 2", *PLAIN),
    "bare LF": head(*PLAIN, b"Content-Length: 2", end=b"\n"),
    "one bare LF": head(*PLAIN, b"A: b\nContent-Length: 2"),
    "a bare CR": head(*PLAIN, b"A: b\rContent-Length: 2", b"Content-Length: 2"),
    "a tab in a value": head(*PLAIN, b"Content-Length: 2", b"A: b\tc"),
    "a space before the colon": head(*PLAIN, b"Content-Length : 2"),
    "a tab before the colon": head(*PLAIN, b"Content-Length\t: 2"),
    "no name": head(*PLAIN, b"Content-Length: 2", b": a"),
    "no colon": head(*PLAIN, b"Content-Length: 2", b"a"),
    "an empty length": head(*PLAIN, b"Content-Length: "),
    "a NUL": head(*PLAIN, b"Content-Length: 2", b"A: b\0c"),
    "DEL": head(*PLAIN, b"Content-Length: 2", b"A: b\x7fc"),
    "beyond ASCII": head(*PLAIN, b"Content-Length: 2", b"A: \xc3\xa9"),
    "beyond ASCII in a name": head(*PLAIN, b"Content-Length: 2", b"\xc3\xa9: a"),
    "no host": head(*PLAIN[1:], b"Content-Length: 2"),
    "a signed length": head(*PLAIN, b"Content-Length: +5"),
    "a negative length": head(*PLAIN, b"Content-Length: -5"),
    "a hexadecimal length": head(*PLAIN, b"Content-Length: 0x5"),
    "a length with an underscore": head(*PLAIN, b"Content-Length: 1_0"),
    "a length with a fraction": head(*PLAIN, b"Content-Length: 5.0"),
    "a list of lengths": head(*PLAIN, b"Content-Length: 5, 5"),
    "a length of other digits": head(*PLAIN, "Content-Length: ٥".encode()),
    "a huge length": head(*PLAIN, b"Content-Length: 99999999999999999999"),
    "a length of many zeros": head(*PLAIN, b"Content-Length: 00000005"),
    "HTTP/1.0": head(*PLAIN, b"Content-Length: 2", first=b"POST /publish/global HTTP/1.0"),
    "HTTP/1.2": head(*PLAIN, b"Content-Length: 2", first=b"POST /publish/global HTTP/1.2"),
    "HTTP/2.0": head(*PLAIN, b"Content-Length: 2", first=b"POST /publish/global HTTP/2.0"),
    "lower case": head(*PLAIN, b"Content-Length: 2", first=b"post /publish/global HTTP/1.1"),
    "lower-case version": head(*PLAIN, b"Content-Length: 2", first=b"POST /publish/global http/1.1"),
    "another method": head(*PLAIN, b"Content-Length: 2", first=b"PUT /publish/global HTTP/1.1"),
    "an absolute target": head(*PLAIN, b"Content-Length: 2", first=b"POST http://t/publish/global HTTP/1.1"),
    "a needless escape": head(*PLAIN, b"Content-Length: 2", first=b"POST /publish/glob%61l HTTP/1.1"),
    "half an escape": head(*PLAIN, b"Content-Length: 2", first=b"POST /publish/user.a%7 HTTP/1.1"),
    "an escaped slash": head(*PLAIN, b"Content-Length: 2", first=b"POST /publish/user.a%2Fb HTTP/1.1"),
    "a segment of dots": head(*PLAIN, b"Content-Length: 2", first=b"POST /publish/.. HTTP/1.1"),
    "a query": head(*PLAIN, b"Content-Length: 2", first=b"POST /publish/global?a=b HTTP/1.1"),
    "a fragment": head(*PLAIN, b"Content-Length: 2", first=b"POST /publish/global# HTTP/1.1"),
    "a slash more": head(*PLAIN, b"Content-Length: 2", first=b"POST /publish/global/ HTTP/1.1"),
    "two slashes": head(*PLAIN, b"Content-Length: 2", first=b"POST //publish/global HTTP/1.1"),
    "a path below": head(*PLAIN, b"Content-Length: 2", first=b"POST /publish/user.a/b HTTP/1.1"),
    "an empty channel": head(*PLAIN, b"Content-Length: 2", first=b"POST /publish/ HTTP/1.1"),
    "lines": head(*PLAIN[:2], b"Content-Length: 2", b"Content-Type: application/x-ndjson"),
    "a path below a batch": head(*PLAIN, b"Content-Length: 2", first=b"POST /publish/batch/ HTTP/1.1"),
    "another path": head(*PLAIN, b"Content-Length: 2", first=b"POST /publisher HTTP/1.1"),
    "two spaces": head(*PLAIN, b"Content-Length: 2", first=b"POST  /publish/global HTTP/1.1"),
    "a tab for a space": head(*PLAIN, b"Content-Length: 2", first=b"POST\t/publish/global HTTP/1.1"),
    "a space at the end": head(*PLAIN, b"Content-Length: 2", first=b"POST /publish/global HTTP/1.1 "),
    "an empty line first": b"\r\n" + head(*PLAIN, b"Content-Length: 2"),
    "nothing": b"",
}


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in NOT_PLAIN.items()])
def test_what_can_be_read_in_two_ways_is_not_plain(raw: bytes) -> None:
    assert route_to(raw) is None


def test_the_bodies_of_a_route_may_be_as_large_as_on_the_general_path_but_no_larger_than_a_batch() -> None:
    for path, limit in ((b"/publish/global", 2000), (b"/publish", 2000), (b"/publish/batch", 1 << 20)):
        route = route_to(head(*PLAIN, first=b"POST %b HTTP/1.1" % path))
        assert route is not None
        assert route.max_body_bytes == limit
    route = route_to(head(*PLAIN), max_event_bytes=1 << 24)
    assert route is not None
    assert route.max_body_bytes == 1 << 20


async def test_heads_that_differ_in_one_byte_are_not_taken_for_each_other() -> None:
    async with a_server() as server, await server.connect() as stream:
        publisher = Publisher(stream)
        for service in (b"tests", b"testt", b"tests"):
            event = json.dumps(announcement(source=service.decode())).encode()
            await stream.send_all(post(event, service=service))
            assert (await publisher.answer())[0] == 200


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The status of each answer that the desk gave."""
    return answers_at_the_desk(monkeypatch)


# At the desk alone


def patient_for(monkeypatch: pytest.MonkeyPatch, **values: object) -> None:
    """Servers that are started from now on have these of Hypercorn's settings."""

    def adapt_so(config: Config, service: Service) -> None:
        for name in values.keys() & {"accesslog"}:
            setattr(config, name, values[name])
        adapt(config, service)
        for name in values.keys() - {"accesslog"}:
            setattr(config, name, values[name])

    monkeypatch.setattr(worker, "adapt", adapt_so)
    if "keep_alive_timeout" in values:
        monkeypatch.setattr(http, "IDLE_SECONDS", values["keep_alive_timeout"])


class Publisher:
    """A kept-alive connection of plain publishes, written and read by hand."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._rest = b""

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        """The next answer, whole."""
        with trio.fail_after(PATIENCE_SECONDS):
            while b"\r\n\r\n" not in self._rest:
                await self._more()
            raw, _, self._rest = self._rest.partition(b"\r\n\r\n")
            first, *lines = raw.decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            size = int(headers["content-length"])
            while len(self._rest) < size:
                await self._more()
            body, self._rest = self._rest[:size], self._rest[size:]
        return int(first.split()[1]), headers, json.loads(body)

    async def publish(self) -> tuple[int, dict[str, str], Any]:
        await self.stream.send_all(post())
        return await self.answer()

    async def ended(self) -> bool:
        """The server closes, and has said nothing more."""
        with trio.fail_after(PATIENCE_SECONDS):
            return not self._rest and await self.stream.receive_some() == b""

    async def _more(self) -> None:
        more = await self.stream.receive_some()
        assert more, "the server closed in the middle of an answer, or before it"
        self._rest += more


async def test_a_connection_that_is_busy_at_the_desk_is_not_closed_and_an_idle_one_is(
    monkeypatch: pytest.MonkeyPatch, taken: list[int]
) -> None:
    patient_for(monkeypatch, keep_alive_timeout=0.4)
    async with a_server() as server, await server.connect() as stream:
        publisher = Publisher(stream)
        started = trio.current_time()
        while trio.current_time() < started + 1.2:  # three times as long as an idle one may be
            assert (await publisher.publish())[0] == 200
            await trio.sleep(0.1)
        assert len(taken) >= 5
        idle_from = trio.current_time()
        assert await publisher.ended()
        assert 0.2 < trio.current_time() - idle_from < 3


async def test_a_connection_that_only_was_at_the_desk_is_closed_in_its_time(
    monkeypatch: pytest.MonkeyPatch, taken: list[int]
) -> None:
    patient_for(monkeypatch, keep_alive_timeout=0.2)
    async with a_server() as server, await server.connect() as stream:
        publisher = Publisher(stream)
        assert (await publisher.publish())[0] == 200
        assert await publisher.ended()
    assert taken == [200]


async def test_a_publish_that_waits_longer_than_the_idle_time_is_answered(
    monkeypatch: pytest.MonkeyPatch, taken: list[int]
) -> None:
    patient_for(monkeypatch, keep_alive_timeout=0.1)
    async with a_server() as server, await server.connect() as stream:
        with channels_that_do_nothing() as go:
            await stream.send_all(post())
            await trio.sleep(0.5)
            go.set()
            publisher = Publisher(stream)
            assert (await publisher.answer())[0] == 200
            assert await publisher.ended()
    assert taken == [200]


async def test_in_a_drain_what_was_at_the_desk_is_200_or_503_and_nothing_is_cut(taken: list[int]) -> None:
    """Each connection has one publish that waits for its channel, and one behind it in the pipeline."""
    statuses: list[list[int]] = []

    async def publish(number: int, stream: trio.SocketStream) -> None:
        async with stream:
            await stream.send_all(post(path=b"/publish/user.u%d" % number) + post())
            publisher = Publisher(stream)
            first, second = await publisher.answer(), await publisher.answer()
            assert second[1]["connection"] == "close"
            assert await publisher.ended()
            statuses.append([first[0], second[0]])

    async with a_server_to_drain() as (server, begin), trio.open_nursery() as nursery:
        with channels_that_do_nothing() as go:
            for number in range(8):
                nursery.start_soon(publish, number, await server.connect())
            idle = await server.connect()
            await trio.sleep(0.2)
            begin()
            await trio.sleep(0.1)
            go.set()
        async with idle:  # begins its first request in the drain
            await idle.send_all(post())
            late = Publisher(idle)
            status, headers, _ = await late.answer()
            assert (status, headers["connection"]) == (503, "close")
            assert await late.ended()
    assert statuses == [[200, 503]] * 8
    assert taken == [200] * 8


async def test_a_head_and_a_body_in_two_segments_are_answered_at_the_desk(taken: list[int]) -> None:
    async with a_server() as server, await server.connect() as stream:
        publisher = Publisher(stream)
        whole = post()
        at = whole.index(b"\r\n\r\n") + 4
        for number in range(20):
            await stream.send_all(whole[:at])
            await trio.sleep(0.005)
            await stream.send_all(whole[at:])
            status, _, receipt = await publisher.answer()
            assert (status, receipt["id"].partition("-")[2]) == (200, str(number + 1))
    assert len(taken) == 20


async def reset(stream: trio.SocketStream) -> None:
    """Close so that the peer sees a reset."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await trio.aclose_forcefully(stream)


async def test_a_peer_that_resets_in_the_middle_publishes_nothing_and_harms_nobody() -> None:
    whole = post()
    async with a_server() as server, server.subscribe("global") as websocket:
        for cut in range(1, len(whole), 23):
            stream = await server.connect()
            await stream.send_all(whole[:cut])
            await trio.sleep(0.002)
            await reset(stream)
        assert (await server.publish("global", announcement("last"))).json["id"].endswith("-1")
        assert (await events(websocket, 1))[0]["title"] == "last"


async def test_a_peer_that_resets_before_its_answer_has_published_once() -> None:
    async with a_server() as server:
        with channels_that_do_nothing() as go:
            stream = await server.connect()
            await stream.send_all(post() + post())
            while not (await server.request("GET", "/health")).json["metrics"]["active_channels"]:
                await trio.sleep(0.01)
            await reset(stream)
            go.set()
        offset = int((await server.publish("global", announcement())).json["id"].partition("-")[2])
        assert offset in (2, 3)  # the second was read, and may be published or not


async def test_32_connections_in_a_closed_loop_get_each_offset_once(taken: list[int]) -> None:
    offsets: list[int] = []
    async with a_server() as server, server.subscribe("global") as websocket:

        async def loop() -> None:
            async with await server.connect() as stream:
                publisher = Publisher(stream)
                mine = []
                for _ in range(40):
                    status, _, receipt = await publisher.publish()
                    assert status == 200
                    mine.append(int(receipt["id"].partition("-")[2]))
                assert mine == sorted(mine)
                offsets.extend(mine)

        async with trio.open_nursery() as nursery:
            for _ in range(32):
                nursery.start_soon(loop)
        delivered = await events(websocket, 1280)
    assert sorted(offsets) == list(range(1, 1281))
    assert [int(event["id"].partition("-")[2]) for event in delivered] == list(range(1, 1281))
    assert len(taken) == 1280


async def test_a_request_that_is_plain_waits_for_the_one_before_it_that_is_not(taken: list[int]) -> None:
    """Hypercorn holds a part of a request, whose body looks like a plain one."""
    inner = post()
    outer = b"POST /publish/global HTTP/1.1\r\nHost: t\r\nA: \xff\r\nContent-Length: %d\r\n\r\n" % len(inner)
    async with a_server() as server, await server.connect() as stream:
        await stream.send_all(outer)
        await trio.sleep(0.02)
        await stream.send_all(inner)  # a body, and no request
        publisher = Publisher(stream)
        assert (await publisher.answer())[0] == 400  # no X-Service-Name
        assert not taken
        await trio.sleep(0.05)
        status, _, receipt = await publisher.publish()
        assert (status, receipt["id"].partition("-")[2]) == (200, "1")
    assert taken == [200]


async def test_of_many_publishes_that_came_together_others_get_turns_between(
    monkeypatch: pytest.MonkeyPatch, taken: list[int]
) -> None:
    monkeypatch.setattr(desk, "TURN_SECONDS", 0.0)
    turns: list[int] = []

    async def look_on() -> None:
        while True:
            turns.append(len(taken))
            await trio.lowlevel.checkpoint()

    async with a_server() as server, await server.connect() as stream, trio.open_nursery() as nursery:
        nursery.start_soon(look_on)
        await stream.send_all(post() * 50)
        while len(taken) < 50:
            await stream.receive_some()
        nursery.cancel_scope.cancel()
    assert len(set(turns)) >= 30


# To the general path, and back


@pytest.fixture
def desks(monkeypatch: pytest.MonkeyPatch) -> list[Desk]:
    """The desks of the servers that are started from now on."""
    opened: list[Desk] = []

    def noted(*args: Any) -> Desk:
        opened.append(open_desk(*args))
        return opened[-1]

    monkeypatch.setattr(worker, "open_desk", noted)
    return opened


LINES = b"\n".join(json.dumps({"channel": "global", "data": announcement()}).encode() for _ in range(5))
STREAM = (
    b"POST /publish/batch HTTP/1.1\r\nHost: t\r\nX-Service-Name: tests\r\n"
    b"Content-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n" % len(LINES)
) + LINES


async def test_a_connection_that_has_carried_other_requests_is_answered_at_the_desk_again(
    taken: list[int], desks: list[Desk]
) -> None:
    async with a_server() as server, await server.connect() as stream:
        publisher = Publisher(stream)
        for odd in (LIVE, STREAM, LIVE):
            await stream.send_all(odd)
            assert (await publisher.answer())[0] == 200
        for number in range(1000):
            status, _, receipt = await publisher.publish()
            assert (status, receipt["id"].partition("-")[2]) == (200, str(6 + number))
        assert len(desks[0]) == 1
    assert taken == [200] * 1000


async def test_requests_for_both_that_come_together_are_answered_in_their_order(taken: list[int]) -> None:
    async with a_server() as server, await server.connect() as stream:
        publisher = Publisher(stream)
        for _ in range(20):
            await stream.send_all(post() + LIVE + post() + post() + STREAM)
            kinds = [sorted((await publisher.answer())[2]) for _ in range(5)]
            assert [kind[0] for kind in kinds] == ["channel", "status", "channel", "channel", "failed"]
            assert (await publisher.publish())[0] == 200
    assert len(taken) >= 40


async def test_connections_that_go_and_come_back_while_they_are_used_lose_nothing(taken: list[int]) -> None:
    """Whatever the moment at which the next request comes."""
    async with a_server() as server, await server.connect() as stream:
        publisher = Publisher(stream)
        for number in range(200):
            await stream.send_all(LIVE)
            for _ in range(number % 20):
                await trio.lowlevel.checkpoint()
            await stream.send_all(post())
            assert [(await publisher.answer())[0] for _ in range(2)] == [200, 200]


async def test_a_connection_counts_once_wherever_it_is(desks: list[Desk]) -> None:
    async with a_server() as server, await server.connect() as stream:
        publisher = Publisher(stream)
        with channels_that_do_nothing() as go:
            await stream.send_all(post(b"[" + GOOD) + STREAM)  # the stream waits for its channel
            assert (await publisher.answer())[0] == 400
            await trio.sleep(0.05)
            assert (len(desks[0]), desks[0]._connections()) == (0, 1)
            go.set()
            assert (await publisher.answer())[0] == 200
        assert (await publisher.publish())[0] == 200
        assert (len(desks[0]), desks[0]._connections()) == (1, 1)


async def test_with_the_desk_off_all_is_answered_by_the_general_path(
    taken: list[int], desks: list[Desk]
) -> None:
    async with a_server(desk="off") as server, await server.connect() as stream:
        publisher = Publisher(stream)
        assert [(await publisher.publish())[0] for _ in range(3)] == [200] * 3
    assert not taken
    assert not desks


async def test_a_desk_that_fails_ends_the_node_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(self: Desk) -> None:
        raise ZeroDivisionError("a fault")

    with pytest.raises(BaseExceptionGroup) as caught:
        async with a_server() as server:
            monkeypatch.setattr(Desk, "_turn", broken)
            with suppress(OSError):
                while True:
                    await (await server.connect()).aclose()
    [ended] = leaves(caught.value)
    assert str(ended) == "Courier stopped: the desk failed, see the log"
    assert capsys.readouterr().err.count("Desk failed") == 1


def leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in leaves(each)]
    return [error]


async def test_a_publish_that_raises_where_nothing_may_is_answered_with_500(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a fault")

    async with a_server() as server, await server.connect() as stream:
        publisher = Publisher(stream)
        with channels_that_do_nothing() as go:
            await stream.send_all(post())
            await trio.sleep(0.05)
            monkeypatch.setattr(single, "Answer", broken)
            go.set()
            status, _, answer = await publisher.answer()
        assert (status, answer["detail"]["error"]) == (500, "Internal error")
        monkeypatch.undo()
        assert (await publisher.publish())[0] == 200
