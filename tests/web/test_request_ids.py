"""Request ids: taken over when they are what they must be, told in lines, and echoed on both ways in."""

import json
import logging
from datetime import datetime
from typing import Any

import pytest
import trio

from courier.floods import WINDOW_SECONDS, allowance
from courier.logs import LEFT_OUT
from courier.web import notes
from courier.web.request_ids import echo, facts
from tests.web.servers import TestServer, a_server, announcement, closed, token

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
LATER = f"cc{TRACEPARENT[2:]}-what-will-be"


def test_ids_that_are_what_they_must_be_are_told() -> None:
    assert facts("req/1:a", TRACEPARENT) == {
        "request_id": "req/1:a",
        "trace_id": TRACE_ID,
        "traceparent": TRACEPARENT,
    }
    assert facts(None, None) == {}


def test_of_a_version_to_come_what_is_known_is_read() -> None:
    assert facts(None, LATER) == {"trace_id": TRACE_ID, "traceparent": LATER[:55]}
    assert facts(None, LATER[:55]) == facts(None, LATER)


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        TRACEPARENT[:-1],
        TRACEPARENT + "-more",
        TRACEPARENT + " ",
        TRACEPARENT + "\n",
        TRACEPARENT.upper(),
        LATER[:55] + "more",
        "ff" + TRACEPARENT[2:],
        TRACEPARENT.replace(TRACE_ID, "0" * 32),
        TRACEPARENT.replace("00f067aa0ba902b7", "0" * 16),
        TRACEPARENT.replace("-", "_"),
        TRACEPARENT.replace("4bf9", "xyzw"),
        f"{TRACEPARENT},{TRACEPARENT}",
    ],
)
def test_a_traceparent_that_is_none_is_left_out(traceparent: str) -> None:
    assert facts(None, traceparent) == {}


@pytest.mark.parametrize("request_id", ["", "a b", "a\nb", "é", "x" * 129, "a\x00"])
def test_a_request_id_that_is_none_is_neither_told_nor_echoed(request_id: str) -> None:
    assert facts(request_id, None) == echo(request_id) == {}
    assert echo("x" * 128) == {"X-Request-ID": "x" * 128}


IDS = {"X-Request-ID": "req-1", "traceparent": TRACEPARENT}


def lines(capsys: pytest.CaptureFixture[str], message: str) -> list[dict[str, Any]]:
    found = map(json.loads, capsys.readouterr().err.splitlines())
    return [line for line in found if line["message"] == message]


async def publish(server: TestServer, event: Any, headers: dict[str, str]) -> Any:
    given = {"Content-Type": "application/json", "X-Service-Name": "tests"} | headers
    return await server.request("POST", "/publish/user.u1", json.dumps(event).encode(), given)


LONG_WAY = {"TE": "trailers"}
"""What the desk leaves to Hypercorn and Quart."""


@pytest.mark.parametrize("way", [pytest.param({}, id="desk"), pytest.param(LONG_WAY, id="general path")])
async def test_a_publish_is_told_and_answered_with_its_ids_whichever_way_it_came(
    way: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_server(log_level="debug", log_format="json") as server:
        good = await publish(server, announcement(trace_id="of-the-event"), IDS | way)
        bad = await publish(server, announcement(source="other", trace_id="of-the-event"), IDS | way)
        worse = await publish(server, {}, IDS | way)
        without = await publish(server, announcement(), {"X-Request-ID": "two words"} | way)
    assert [answer.status for answer in (good, bad, worse, without)] == [200, 400, 400, 200]
    assert [answer.headers.get("x-request-id") for answer in (good, bad, worse)] == ["req-1"] * 3
    assert "x-request-id" not in without.headers
    output = capsys.readouterr().err
    told = [json.loads(line) for line in output.splitlines()]
    [published, plain] = [line for line in told if line["message"] == "Event published"]
    [refused, unread] = [line for line in told if line["message"] == "Publish refused"]
    for line in (published, refused, unread):
        assert (line["request_id"], line["traceparent"]) == ("req-1", TRACEPARENT)
        assert (line["service"], line["source"]) == ("courier", "tests")
    assert (published["trace_id"], refused["trace_id"]) == ("of-the-event", "of-the-event")
    assert unread["trace_id"] == TRACE_ID, "there is no event to have one"
    assert (refused["channel"], refused["event_type"]) == ("user.u1", "system.announcement")
    assert (refused["status"], refused["reason"]) == (400, "Event source must match X-Service-Name header")
    assert published["id"] == good.json["id"]
    assert "request_id" not in plain
    assert "two words" not in output


async def test_at_info_an_event_does_not_even_cost_the_call_that_would_write_no_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(notes, "published")
    async with a_server(log_level="info") as server:
        for way in ({}, LONG_WAY):
            assert (await publish(server, announcement(), IDS | way)).status == 200


async def test_batches_and_streams_say_how_many_were_refused_and_why_the_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    items = [
        {"channel": "user.u1", "data": announcement()},
        {"channel": "nope", "data": announcement()},
        {"channel": "user.u1", "data": announcement(source="other")},
    ]
    headers = IDS | {"X-Service-Name": "tests"}
    batch = json.dumps({"events": items}).encode()
    stream = b"\n".join(json.dumps(item).encode() for item in items)
    async with a_server(log_format="json") as server:
        for kind, body in (("json", batch), ("x-ndjson", stream)):
            given = headers | {"Content-Type": f"application/{kind}"}
            answer = await server.request("POST", "/publish/batch", body, given)
            assert (answer.status, answer.json["failed"]) == (200, 2)
            assert answer.headers["x-request-id"] == "req-1"
    told = lines(capsys, "Batch refused in part")
    assert len(told) == 2
    for line in told:
        assert (line["published"], line["failed"], line["reason"]) == (1, 2, "Unknown channel")
        assert (line["source"], line["request_id"]) == ("tests", "req-1")


async def test_a_service_name_that_is_none_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    async with a_server(log_format="json") as server:
        answer = await publish(server, announcement(), {"X-Service-Name": "Hunter2 as a name"})
    assert answer.status == 400
    output = capsys.readouterr().err
    assert "Publish refused" in output
    assert "Hunter2" not in output


async def test_a_join_and_its_end_are_told_with_who_it_was_how_long_and_how_many(
    capsys: pytest.CaptureFixture[str],
) -> None:
    headers = [(name.encode(), value.encode()) for name, value in IDS.items()]
    async with a_server(log_format="json") as server:
        async with server.subscribe(extra_headers=headers) as websocket:
            for _ in range(3):
                await publish(server, announcement(), {})
            for _ in range(3):
                await websocket.get_message()
        async with server.subscribe("user.u2", extra_headers=headers) as refused:
            await closed(refused)
        async with server.subscribe("eyJhbGciOi", extra_headers=headers) as unknown:
            await closed(unknown)
    output = capsys.readouterr().err
    told = [json.loads(line) for line in output.splitlines()]
    [joined] = [line for line in told if line["message"] == "Subscriber joined"]
    [left] = [line for line in told if line["message"] == "Subscriber left"]
    whose, which = [line for line in told if line["message"] == "Join refused"]
    for line in (joined, left, whose):
        assert line["level"] == "info"
        assert line["user_id"] == "u1"
        assert (line["request_id"], line["trace_id"]) == ("req-1", TRACE_ID)
    assert joined["connection_id"] == left["connection_id"]
    assert (joined["channel"], joined["recovered"], joined["replayed"]) == ("user.u1", False, 0)
    assert (left["code"], left["reason"], left["delivered"], left["lag"]) == (1000, "Peer has left", 3, 0)
    assert 0 < left["seconds"] < 20
    assert (whose["channel"], whose["code"], whose["reason"]) == (
        "user.u2",
        1008,
        "Unauthorized access to channel",
    )
    assert which["reason"] == "Unknown channel"
    assert "channel" not in which
    assert "eyJhbGciOi" not in output, "what is no channel may be anything, even a token"


async def test_a_refused_history_is_told_with_its_ids(capsys: pytest.CaptureFixture[str]) -> None:
    async with a_server(log_format="json") as server:
        headers = IDS | {"Authorization": f"Bearer {token()}"}
        refused = await server.request("GET", "/history/user.u2", None, headers)
        read = await server.request("GET", "/history/user.u1", None, headers)
        odd = await server.request("GET", "/history/user.u1?since=hunter2", None, headers)
    assert [answer.status for answer in (refused, read, odd)] == [403, 200, 400]
    assert {answer.headers["x-request-id"] for answer in (refused, read, odd)} == {"req-1"}
    output = capsys.readouterr().err
    assert "hunter2" not in output
    first, second = [json.loads(line) for line in output.splitlines() if "History refused" in line]
    assert (first["user_id"], first["channel"], first["status"]) == ("u1", "user.u2", 403)
    assert (first["request_id"], first["trace_id"]) == ("req-1", TRACE_ID)
    assert (second["status"], second["reason"]) == (400, "Unreadable since")


async def test_a_flood_of_refused_publishes_is_some_lines_and_at_the_nodes_end_a_sum(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = 500
    junk = b"POST /publish/user.u1 HTTP/1.1\r\nHost: t\r\nX-Service-Name: tests\r\n"
    junk += b"Content-Type: application/json\r\nContent-Length: 4\r\n\r\njunk"
    async with a_server(log_format="json") as server, await server.connect() as stream:
        answered = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, junk * asked)
            while answered.count(b"HTTP/1.1 400") < asked:  # who does not read is not read from
                answered += await stream.receive_some()
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    written = [line for line in told if line["message"] == "Publish refused"]
    sums = [line for line in told if line["message"] == LEFT_OUT]
    assert len(written) + sum(line["lines"] for line in sums) == asked
    began, ended = (datetime.fromisoformat(line["timestamp"]) for line in (written[0], told[-1]))
    windows = (
        ended - began
    ).total_seconds() // WINDOW_SECONDS + 2  # the first may have begun, the last not ended
    assert len(written) <= windows * allowance(logging.INFO)
    assert len(sums) <= windows
    assert {(line["of"], line["reason"]) for line in sums} == {("Publish refused", "Expected JSON")}
