"""Many events in one request: a batch whose results come in order, and lines that are judged as they come."""

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
import trio

from courier.schemas.registry import Registry
from courier.web.publishing.lines import Lines
from tests.web.servers import Response, TestServer, a_server, announcement, events
from tests.web.test_publish import CALLER, a_server_to_drain, answer, authorized, channels_that_do_nothing

LINES = {"Content-Type": "application/x-ndjson", "X-Service-Name": "tests"}
BATCH = "/publish/batch"


def item(title: str = "t", channel: str = "user.u1", **fields: Any) -> dict[str, Any]:
    return {"channel": channel, "data": announcement(title, **fields)}


def line(title: str = "t", channel: str = "user.u1", **fields: Any) -> bytes:
    return json.dumps(item(title, channel, **fields)).encode() + b"\n"


async def batch(server: TestServer, items: Sequence[Any], **headers: str) -> Response:
    return await send(server, json.dumps({"events": items}).encode(), CALLER | headers)


async def send(server: TestServer, body: bytes, headers: dict[str, str] = LINES) -> Response:
    return await server.request("POST", BATCH, body, headers)


def offsets(results: Sequence[dict[str, Any]]) -> list[int]:
    return [int(result["id"].partition("-")[2]) for result in results]


# A batch


async def test_results_come_in_order_and_the_good_are_published_though_others_fail() -> None:
    async with a_server() as server, server.subscribe() as websocket:
        bad = [
            ({"channel": "nope", "data": announcement()}, 400, "hannel"),
            (item(severity="odd"), 400, "Invalid event schema"),
            (item(source="other"), 400, "Event source must match X-Service-Name header"),
            ({"data": announcement()}, 400, "hannel"),
            ("text", 400, "Expected a JSON object, got a string"),
        ]
        items = [item("0"), *(one for one, _, _ in bad), item("1")]
        response = await batch(server, items)
        assert response.status == 200
        said = response.json
        assert (said["status"], said["published"], said["failed"]) == ("published", 2, len(bad))
        first, *failed, last = said["results"]
        assert offsets([first, last]) == [1, 2]
        assert first.keys() == {"status", "channel", "event_type", "clients_reached", "timestamp", "id"}
        for (_, code, sentence), result in zip(bad, failed, strict=True):
            assert (result["status"], result["code"]) == ("failed", code)
            assert sentence in result["error"]
        assert failed[1]["validation_errors"][0]["loc"] == ["severity"]
        assert [event["title"] for event in await events(websocket, 2)] == ["0", "1"]


async def test_a_batch_to_many_channels_keeps_the_order_of_each() -> None:
    async with a_server() as server, server.subscribe() as websocket:
        items = [item(str(number), f"user.u{number % 3}") for number in range(30)]
        results = (await batch(server, items)).json["results"]
        assert [result["channel"] for result in results] == [one["channel"] for one in items]
        for rest in range(3):
            assert offsets(results[rest::3]) == list(range(1, 11))
        titles = [event["title"] for event in await events(websocket, 10)]
        assert titles == [str(number) for number in range(1, 30, 3)]


async def test_batches_at_once_have_offsets_that_follow_each_other() -> None:
    seen: list[int] = []
    async with a_server() as server, trio.open_nursery() as nursery:

        async def publish() -> None:
            mine = offsets((await batch(server, [item()] * 50)).json["results"])
            assert mine == list(range(mine[0], mine[0] + 50))
            seen.extend(mine)

        for _ in range(8):
            nursery.start_soon(publish)
    assert sorted(seen) == list(range(1, 401))


async def test_each_event_of_a_batch_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    for name in ("parse", "parse_request"):
        original = getattr(Registry, name)

        def count(self: Registry, body: bytes, name: str = name, original: Any = original) -> Any:
            parsed.append(name)
            return original(self, body)

        monkeypatch.setattr(Registry, name, count)
    async with a_server() as server:
        assert (await batch(server, [item()] * 10)).json["published"] == 10
    assert parsed == ["parse_request"] * 10


async def test_an_empty_batch_is_answered_with_nothing() -> None:
    async with a_server() as server:
        expected = {"status": "published", "published": 0, "failed": 0, "results": []}
        assert (await batch(server, [])).json == expected


async def test_a_thousand_events_are_a_batch_and_one_more_are_none() -> None:
    async with a_server(inbox_events=1000) as server:
        assert (await batch(server, [item()] * 1000)).json["published"] == 1000
        response = await batch(server, [item()] * 1001)
        assert response.status == 413
        assert "1000" in response.error["error"]
        assert offsets([(await server.publish("user.u1", announcement())).json]) == [1001]


async def test_a_batch_over_a_mebibyte_is_413_and_one_of_it_is_taken() -> None:
    async with a_server() as server:
        body = json.dumps({"events": [item()]}).encode()
        assert (await send(server, body.ljust(1 << 20), CALLER)).json["published"] == 1
        response = await send(server, body.ljust((1 << 20) + 1), CALLER)
        assert response.status == 413
        assert response.error["limit_bytes"] == 1 << 20


async def test_a_batch_over_what_is_left_is_429_whole_and_over_the_limit_itself_413() -> None:
    async with a_server(rate_limit=10) as server:
        first = await batch(server, [item()] * 6)
        assert first.json["published"] == 6
        assert first.headers["x-ratelimit-remaining"] == "4"
        over = await batch(server, [item()] * 5)
        assert (over.status, over.error["error"], over.error["remaining"]) == (429, "Rate limit exceeded", 4)
        assert over.headers["x-ratelimit-remaining"] == "4"
        assert "retry-after" in over.headers
        never = await batch(server, [item()] * 11)
        assert (never.status, never.error["limit"]) == (413, 10)
        last = await batch(server, [item()] * 4)
        assert offsets(last.json["results"]) == [7, 8, 9, 10]  # nothing was published meanwhile
        assert last.headers["x-ratelimit-remaining"] == "0"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="no JSON"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b"{}", id="no events"),
        pytest.param(b'{"events":{}}', id="events that are an object"),
        pytest.param(b'{"events":null}', id="events that are null"),
        pytest.param(b'{"events":[],"more":1}', id="another field"),
        pytest.param(b'{"events":[]}{"events":[]}', id="two"),
        pytest.param(b'{"events":["\xff"]}', id="no UTF-8"),
    ],
)
async def test_what_is_no_batch_is_400_and_the_next_good_one_works(body: bytes) -> None:
    async with a_server() as server:
        response = await send(server, body, CALLER)
        assert response.status == 400
        assert response.error["error"]
        assert (await batch(server, [item()])).json["published"] == 1


async def test_of_all_that_is_wrong_with_a_batch_it_is_told_the_first() -> None:
    async with a_server(publish_auth="required", rate_limit=1) as server:
        good, two = json.dumps({"events": [item()]}).encode(), json.dumps({"events": [item()] * 2}).encode()
        kind = {"Content-Type": "application/json"}
        text = {"Content-Type": "text/plain"}
        name = {"X-Service-Name": "tests"}
        proof = authorized()
        for body, headers, status in (
            (b"{".ljust((1 << 20) + 1), text, 413),
            (b"{", text, 400),
            (b"{", text | name, 401),
            (b"{", text | name | authorized("other"), 403),
            (b"{", text | name | proof, 415),
            (b"{", kind | name | proof, 400),
            (two, kind | name | proof, 413),
            (good, kind | name | proof, 200),
            (good, kind | name | proof, 429),
        ):
            assert (await send(server, body, headers)).status == status


# Lines


async def chunked(server: TestServer, chunks: Sequence[bytes], **headers: str) -> Response:
    async with await server.connect() as stream:
        await begin(stream, **headers)
        for chunk in chunks:
            await stream.send_all(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        await stream.send_all(b"0\r\n\r\n")
        with trio.fail_after(20):
            return await answer(stream)


async def begin(stream: trio.SocketStream, **headers: str) -> None:
    """The head of a stream of lines."""
    given = LINES | {"Host": "t", "Transfer-Encoding": "chunked"} | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    await stream.send_all(f"POST {BATCH} HTTP/1.1\r\n{head}\r\n".encode())


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [0, 1, 7, 100, 100_000])
async def test_lines_are_published_wherever_they_are_cut(size: int) -> None:
    data = (
        line("a") + b"\r\n \n" + line("é", message="é" * 20) + b"{\n" + line("b", source="x") + line("c")[:-1]
    )
    async with a_server() as server, server.subscribe() as websocket:
        response = await (chunked(server, pieces(data, size)) if size else send(server, data))
        assert response.status == 200
        said = response.json
        assert (said["published"], said["failed"], said["last_line"]) == (3, 2, 6 + 1)
        assert [(one["line"], one["code"]) for one in said["failures"]] == [(5, 400), (6, 400)]
        assert [event["title"] for event in await events(websocket, 3)] == ["a", "é", "c"]


@pytest.mark.parametrize("size", [50, 1000, 100_000])
async def test_a_line_that_is_too_long_is_told_once_and_the_next_works(size: int) -> None:
    data = line("a") + line("long", message="x" * 5000) + line("b") + line("long", message="x" * 5000)[:-1]
    async with a_server(max_event_bytes=1024) as server:
        said = (await chunked(server, pieces(data, size))).json
        assert (said["published"], said["failed"], said["last_line"]) == (2, 2, 4)
        assert [(one["line"], one["code"]) for one in said["failures"]] == [(2, 413), (4, 413)]


def test_a_line_of_the_limit_is_whole_and_one_byte_more_is_too_long_wherever_it_is_cut() -> None:
    data = b"a" * 5 + b"\n" + b"b" * 6 + b"\n\n" + b"c" * 20 + b"\nd\n" + b"e" * 5
    for size in range(1, len(data) + 1):
        lines = Lines(5)
        found = [one for piece in pieces(data, size) for one in lines.feed(piece)]
        found += lines.rest()
        assert found == [b"aaaaa", None, b"", None, b"d", b"eeeee"], size


async def test_at_most_a_thousand_failures_are_told_and_all_are_counted() -> None:
    async with a_server() as server:
        said = (await send(server, b"{\n" * 1234 + line())).json
        assert (said["published"], said["failed"], said["last_line"]) == (1, 1234, 1235)
        assert [one["line"] for one in said["failures"]] == list(range(1, 1001))


async def test_each_line_counts_for_the_rate() -> None:
    async with a_server(rate_limit=3) as server:
        said = (await send(server, line() * 5)).json
        assert (said["published"], said["failed"]) == (3, 2)
        assert [(one["line"], one["code"]) for one in said["failures"]] == [(4, 429), (5, 429)]


async def test_a_stream_stays_open_and_delivers_each_line_as_it_comes() -> None:
    async with a_server() as server, server.subscribe() as websocket, await server.connect() as stream:
        await begin(stream)
        for number in range(5):
            data = line(str(number))
            await stream.send_all(b"%x\r\n%b\r\n" % (len(data), data))
            assert (await events(websocket, 1))[0]["title"] == str(number)
        await stream.send_all(b"0\r\n\r\n")
        with trio.fail_after(5):
            assert (await answer(stream)).json["published"] == 5


async def test_a_drain_answers_a_stream_with_what_was_judged_and_closes() -> None:
    async with (
        a_server_to_drain() as (server, drain),
        await server.connect() as stream,
        server.subscribe() as websocket,
    ):
        await begin(stream)
        data = line("a") + line("half")[:-20]
        await stream.send_all(b"%x\r\n%b\r\n" % (len(data), data))
        await events(websocket, 1)
        drain()
        with trio.fail_after(5):
            response = await answer(stream)
            assert (response.status, response.headers["connection"]) == (200, "close")
            assert (response.json["published"], response.json["last_line"]) == (1, 1)
            assert await stream.receive_some() == b""


async def test_a_stream_that_falls_silent_is_answered_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("courier.web.publishing.lines.STREAM_SECONDS", 0.2)
    async with a_server() as server, await server.connect() as stream:
        await begin(stream)
        data = line()
        await stream.send_all(b"%x\r\n%b\r\n" % (len(data), data))
        with trio.fail_after(5):
            response = await answer(stream)
            assert (response.json["published"], response.headers["connection"]) == (1, "close")
            assert await stream.receive_some() == b""


async def test_a_sender_faster_than_its_channel_is_made_to_wait() -> None:
    async with a_server(inbox_wait_seconds=60) as server, await server.connect() as stream:
        data = line(message="x" * 5000) * 10
        with channels_that_do_nothing() as go:
            await begin(stream)
            sent = 0
            with trio.move_on_after(1):
                while sent < 100_000_000:
                    await stream.send_all(b"%x\r\n%b\r\n" % (len(data), data))
                    sent += len(data)
            assert sent < 20_000_000  # what sockets and queues hold, and no more
            go.set()


# What one peer may take from the others


def padded(size: int, channel: str = "user.u1") -> bytes:
    """A line of so many bytes, without its end."""
    return line(channel=channel, message="x" * (size - len(line(channel=channel, message="")) + 1))[:-1]


async def test_an_event_over_the_limit_is_413_alone_in_a_batch_and_in_a_stream() -> None:
    """Measured as it came; the others of a batch are published."""
    async with a_server(max_event_bytes=1024) as server:
        for size, code in ((1024, None), (1025, 413), (50_000, 413)):
            one = padded(size)
            alone = await server.request("POST", "/publish", one, CALLER)
            lines = await send(server, one + b"\n" + line())
            many = await send(server, b'{"events":[%b, %b]}' % (one, line()), CALLER)
            failed = [*lines.json["failures"], *(each for each in many.json["results"] if "code" in each)]
            assert alone.status == (code or 200)
            assert [each["code"] for each in failed] == [code] * 2 if code else not failed
            assert lines.json["published"] == many.json["published"] == (1 if code else 2)
            assert all(each["limit_bytes"] == 1024 for each in failed)


EXTRAS = "," + ",".join(f'"{number:x}":1' for number in range(6000)) + "}}"
SLOW = {
    "lines": (LINES, b"x\n" * 20_000),
    "blank lines": (LINES, b"\n" * 100_000),
    "faults": (CALLER, b'{"events":[%b]}' % b",".join([line()[:-3] + EXTRAS.encode()] * 15)),
    "wrong types": (
        CALLER,
        b'{"events":[%b]}' % b",".join([b'{"channel":"global","data":{"type":"no"}}'] * 1000),
    ),
    "brackets": (CALLER, b'{"events":[[%b[]]]}' % (b"[]," * 100_000)),
}


@pytest.mark.parametrize("kind", SLOW)
async def test_what_is_made_to_be_slow_does_not_hold_up_others(kind: str) -> None:
    """In CPU time between two turns of another task, while four do it at once."""
    longest = 0.0

    async def look_on() -> None:
        nonlocal longest
        while True:
            began = time.thread_time()
            await trio.lowlevel.checkpoint()
            longest = max(longest, time.thread_time() - began)

    async def attack(server: TestServer) -> None:
        headers, body = SLOW[kind]
        assert (await send(server, body, headers)).status == 200

    async with a_server(log_level="critical") as server, trio.open_nursery() as watching:
        watching.start_soon(look_on)
        async with trio.open_nursery() as attacks:
            for _ in range(4):
                attacks.start_soon(attack, server)
        watching.cancel_scope.cancel()
    assert longest < 0.15


async def test_what_an_answer_says_of_failures_has_a_size() -> None:
    """From 1 MiB of events with fifty faults each; all of them have their status."""
    wrong = line()[:-3] + b"," + b",".join(b'"%s%d":1' % (b"n" * 10, n) for n in range(50)) + b"}}"
    events = [wrong] * 900
    async with a_server() as server:
        for answer in (
            await send(server, b'{"events":[%b]}' % b",".join(events), CALLER),
            await send(server, b"\n".join(events)),
        ):
            failures = answer.json.get("results") or answer.json["failures"]
            assert [each["code"] for each in failures] == [400] * len(events)
            assert len(failures[0]["validation_errors"]) == 50
            assert "validation_errors" not in failures[-1]
            assert len(answer.body) < 512 * 1024
