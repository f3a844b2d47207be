"""The lane: what it takes is plain beyond doubt, and whatever comes is answered as on the long way."""

import json
import socket
import struct
from typing import Any

import pytest
import trio
from hypercorn.config import Config

from courier.serving.hypercorn import lane as lane_user
from courier.serving.hypercorn import worker
from courier.serving.hypercorn.config import adapt
from courier.serving.service import Service
from courier.web import lane
from courier.web.answer import Answer
from courier.web.caller import Caller
from courier.web.lane import HEADS_KEPT_BYTES, MOST_HEAD_BYTES, Lane, next_request, parse_head
from courier.web.paths import BATCH
from tests.web.servers import PATIENCE_SECONDS, a_server, announcement, events
from tests.web.test_publish import a_server_to_drain, channels_that_do_nothing

GOOD = json.dumps(announcement()).encode()


async def nowhere(*_: object) -> Answer:
    raise NotImplementedError


LIMIT = Lane(nowhere, nowhere, 65_536, 1 << 20, lambda: False)
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
    parsed = parse_head(head(*PLAIN, b"content-length: 7", first=first))
    assert parsed is not None
    assert (parsed.channel, parsed.body_bytes) == (channel, 7)
    assert parsed.caller == Caller("tests", None, "application/json")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"Connection: keep-alive", id="keep-alive"),
        pytest.param(b"CONNECTION: Keep-Alive", id="keep-alive in capitals"),
        pytest.param(b"Accept:*/*", id="no space after the colon"),
        pytest.param(b'Accept: a, b;c="d"', id="a value with spaces and quotes"),
        pytest.param(b"Authorization: Bearer a.b.c", id="a token"),
    ],
)
def test_what_changes_nothing_about_the_framing_stays_plain(line: bytes) -> None:
    parsed = parse_head(head(*PLAIN, b"Content-Length: 2", line))
    assert parsed is not None
    assert parsed.body_bytes == 2


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
    "a tab after the colon": head(*PLAIN, b"Content-Length:\t2"),
    "two spaces after the colon": head(*PLAIN, b"Content-Length:  2"),
    "a space after the value": head(*PLAIN, b"Content-Length: 2 "),
    "a space before the colon": head(*PLAIN, b"Content-Length : 2"),
    "a tab before the colon": head(*PLAIN, b"Content-Length\t: 2"),
    "no name": head(*PLAIN, b"Content-Length: 2", b": a"),
    "no colon": head(*PLAIN, b"Content-Length: 2", b"a"),
    "no value": head(*PLAIN, b"Content-Length: 2", b"A:"),
    "an empty length": head(*PLAIN, b"Content-Length: "),
    "a NUL": head(*PLAIN, b"Content-Length: 2", b"A: b\0c"),
    "DEL": head(*PLAIN, b"Content-Length: 2", b"A: b\x7fc"),
    "beyond ASCII": head(*PLAIN, b"Content-Length: 2", b"A: \xc3\xa9"),
    "beyond ASCII in a name": head(*PLAIN, b"Content-Length: 2", b"\xc3\xa9: a"),
    "no host": head(*PLAIN[1:], b"Content-Length: 2"),
    "no length": head(*PLAIN),
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
    "an empty query": head(*PLAIN, b"Content-Length: 2", first=b"POST /publish/global? HTTP/1.1"),
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
    assert parse_head(raw) is None
    assert next_request(raw + b"\r\n\r\n{}" + post(), 0, LIMIT) is None


def test_of_a_pipeline_each_request_begins_where_the_last_one_ended() -> None:
    data = post(b"{}") + post(b"[1]", path=b"/publish") + LIVE
    first = next_request(data, 0, LIMIT)
    assert first is not None
    assert (first.body, first.whole, first.head.channel) == (b"{}", True, "global")
    second = next_request(data, first.end, LIMIT)
    assert second is not None
    assert (second.body, second.whole, second.head.channel) == (b"[1]", True, None)
    assert data[second.end :] == LIVE
    assert next_request(data, second.end, LIMIT) is None


def test_cut_anywhere_a_request_is_never_taken_for_more_than_has_come() -> None:
    whole = post(b"{}")
    ends = whole.index(b"\r\n\r\n") + 4
    for cut in range(len(whole)):
        request = next_request(whole[:cut], 0, LIMIT)
        if cut < ends:
            assert request is None
        else:
            assert request is not None
            assert not request.whole
            assert request.end == len(whole)


def test_a_body_of_the_limit_is_plain_and_one_byte_more_is_not() -> None:
    small = LIMIT._replace(event_bytes=100, batch_bytes=200)
    for path, limit in ((b"/publish/global", 100), (b"/publish", 100), (b"/publish/batch", 200)):
        assert next_request(post(bytes(limit), path=path), 0, small) is not None
        assert next_request(post(bytes(limit + 1), path=path), 0, small) is None


def test_a_head_too_large_to_remember_is_taken_and_one_over_the_limit_is_not() -> None:
    large = post(b"{}", b"A: " + b"a" * HEADS_KEPT_BYTES)
    request = next_request(large, 0, LIMIT)
    assert request is not None
    assert request.body == b"{}"
    assert next_request(post(b"{}", b"A: " + b"a" * MOST_HEAD_BYTES), 0, LIMIT) is None


def test_heads_that_differ_in_one_byte_are_not_taken_for_each_other() -> None:
    for service in (b"tests", b"testt", b"tests"):
        request = next_request(post(b"{}", service=service), 0, LIMIT)
        assert request is not None
        assert request.head.caller.service == service.decode()


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The status of each answer that the lane gave."""
    answer, given = lane.response, list[int]()

    def counted(value: Any, date: bytes) -> bytes:
        given.append(value.status)
        return answer(value, date)

    monkeypatch.setattr(lane, "response", counted)
    return given


# The lane alone


def patient_for(monkeypatch: pytest.MonkeyPatch, **values: object) -> None:
    """Servers that are started from now on have these of Hypercorn's settings."""

    def adapt_so(config: Config, service: Service) -> None:
        for name in values.keys() & {"accesslog"}:
            setattr(config, name, values[name])
        adapt(config, service)
        for name in values.keys() - {"accesslog"}:
            setattr(config, name, values[name])

    monkeypatch.setattr(worker, "adapt", adapt_so)


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


async def test_a_connection_that_is_busy_on_the_lane_is_not_closed_and_an_idle_one_is(
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


async def test_a_connection_that_only_was_on_the_lane_is_closed_in_its_time(
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


async def test_in_a_drain_what_was_on_the_lane_is_200_or_503_and_nothing_is_cut(taken: list[int]) -> None:
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


async def test_a_head_and_a_body_in_two_segments_are_taken_by_the_lane(taken: list[int]) -> None:
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


async def test_a_body_that_comes_later_than_the_lane_waits_is_answered_all_the_same(taken: list[int]) -> None:
    async with a_server() as server, await server.connect() as stream:
        publisher = Publisher(stream)
        whole = post()
        await stream.send_all(whole + whole[:-10])
        assert (await publisher.answer())[0] == 200  # before the second is whole
        await trio.sleep(3 * lane_user.SPLIT_SECONDS)
        await stream.send_all(whole[-10:] + whole)
        assert [(await publisher.answer())[0] for _ in range(2)] == [200, 200]
        await trio.sleep(0.05)
        assert (await publisher.publish())[0] == 200  # and the lane is open again
    assert len(taken) >= 2


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
    outer = b"POST /publish/global HTTP/1.1\r\nHost: t\r\nA:  b\r\nContent-Length: %d\r\n\r\n" % len(inner)
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
    monkeypatch.setattr(lane_user, "TURN_SECONDS", 0.0)
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
