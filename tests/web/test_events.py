"""Event streams: channels read as server-sent events, on both of the server's paths."""

import json
import socket
import time
from typing import Any

import pytest
import trio

from tests.web.servers import a_server, announcement, events, token
from tests.web.streams import reading
from tests.web.test_history import published
from tests.web.test_publish import a_server_to_drain


@pytest.fixture(params=["on", "off"], ids=["the desk", "the general path"])
def desk(request: pytest.FixtureRequest) -> str:
    param: str = request.param
    return param


def titles(found: list[Any]) -> list[int]:
    return [int(event["title"]) for event in found]


async def test_events_come_as_they_do_on_a_websocket(desk: str) -> None:
    async with (
        a_server(desk=desk) as server,
        server.subscribe() as websocket,
        reading(server, "user.u1") as stream,
    ):
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["cache-control"] == "no-store, no-transform"
        assert stream.headers["x-accel-buffering"] == "no"
        joined = await stream.say("courier.joined")
        assert joined["channel"] == "user.u1"
        ids = await published(server, 3)
        assert await stream.events(3) == await events(websocket, 3)
        assert stream.last_id == ids[-1]


async def test_each_event_bears_its_position_and_joined_the_one_before(desk: str) -> None:
    async with a_server(desk=desk) as server:
        ids = await published(server, 1)
        async with reading(server, "user.u1") as stream:
            joined = await stream.say("courier.joined")
            assert stream.last_id == joined["position"] == ids[0]
            later = await published(server, 2)
            for position in later:
                message = await stream.next()
                assert message is not None
                assert message.last_id == message.data["id"] == position


async def test_last_event_id_resumes_and_wins_over_since(desk: str) -> None:
    async with a_server(desk=desk) as server:
        ids = await published(server, 5)
        async with reading(server, "user.u1", since=ids[3], last_id=ids[1]) as stream:
            joined = await stream.say("courier.joined")
            assert (joined["position"], joined["recovered"], joined["replayed"]) == (ids[1], True, 3)
            assert titles(await stream.events(3)) == [2, 3, 4]
        async with reading(server, "user.u1", since=ids[3], last_id="") as stream:
            assert titles(await stream.events(1)) == [4]


async def test_since_a_time_replays(desk: str) -> None:
    async with a_server(desk=desk) as server:
        await published(server, 2)
        async with reading(server, "user.u1", since="2026-01-01T00:00:00Z") as stream:
            assert titles(await stream.events(2)) == [0, 1]


async def test_a_gap_is_a_message_and_only_it_has_the_id(desk: str) -> None:
    async with a_server(desk=desk, history_events=2) as server:
        ids = await published(server, 5)
        async with reading(server, "user.u1", since=ids[0]) as stream:
            joined = await stream.say("courier.joined")
            assert not joined["recovered"]
            assert stream.last_id == ""
            gap = await stream.say("courier.gap")
            assert (gap["requested"], gap["reason"]) == (ids[0], "expired")
            assert stream.last_id == gap["resumed_from"] == ids[2]
            assert titles(await stream.events(2)) == [3, 4]


async def test_several_channels_have_all_their_positions_in_every_id(desk: str) -> None:
    async with a_server(desk=desk) as server:
        first = await published(server, 2)
        other = await published(server, 1, "global")
        start = f"user.u1={first[0]};global={other[0]};user.u9={first[0]}"
        async with reading(server, "user.u1", "global", last_id=start) as stream:
            mine = await stream.say("courier.joined")
            assert (mine["channel"], mine["recovered"], mine["replayed"]) == ("user.u1", True, 1)
            assert stream.last_id == f"user.u1={first[0]};global={other[0]}"
            theirs = await stream.say("courier.joined")
            assert (theirs["channel"], theirs["recovered"], theirs["replayed"]) == ("global", True, 0)
            [event] = await stream.events(1)
            assert event["id"] == first[1]
            assert stream.last_id == f"user.u1={first[1]};global={other[0]}"
            [new] = await published(server, 1, "global")
            [event] = await stream.events(1)
            assert (event["id"], event["channel"]) == (new, "global")
            assert stream.last_id == f"user.u1={first[1]};global={new}"


async def test_a_channel_that_the_id_lacks_starts_now(desk: str) -> None:
    async with a_server(desk=desk) as server:
        first = await published(server, 2)
        other = await published(server, 2, "global")
        async with reading(server, "user.u1", "global", last_id=f"user.u1={first[0]}") as stream:
            await stream.say("courier.joined")
            joined = await stream.say("courier.joined")
            assert (joined["channel"], joined["position"], joined["replayed"]) == ("global", other[-1], 0)
            assert stream.last_id == f"user.u1={first[0]};global={other[-1]}"


async def test_a_stream_that_breaks_before_a_gap_still_asks_for_what_it_missed(desk: str) -> None:
    async with a_server(desk=desk, history_events=2) as server:
        first = await published(server, 5)
        other = await published(server, 1, "global")
        start = f"global={other[0]};user.u1={first[0]}"
        async with reading(server, "global", "user.u1", last_id=start) as stream:
            await stream.say("courier.joined")
            assert stream.last_id == start  # user.u1 has not told its gap yet
            await stream.say("courier.joined")
            assert stream.last_id == start
            await stream.say("courier.gap")
            assert stream.last_id == f"global={other[0]};user.u1={first[2]}"


@pytest.mark.parametrize(
    ("channels", "given", "status", "error"),
    [
        pytest.param(["user.u2"], {}, 403, "Unauthorized access to channel", id="another user's"),
        pytest.param(["nothing"], {}, 400, "Unknown channel", id="no channel"),
        pytest.param(["user.u1"], {"bearer": "x"}, 401, "Invalid token", id="token"),
        pytest.param(["user.u1"], {"since": "now"}, 400, "Unreadable since", id="since"),
        pytest.param(["user.u1"], {"last_id": "now"}, 400, "Unreadable Last-Event-ID", id="id"),
        pytest.param(["user.u1", "global"], {"last_id": "a=1"}, 400, "Unreadable Last-Event-ID", id="ids"),
        pytest.param(["user.u1", "global"], {"since": "aaaaaaaa-1"}, 400, "since goes with one", id="both"),
        pytest.param(["global", "global"], {}, 400, "named twice", id="twice"),
        pytest.param([], {}, 400, "Expected 1 to 16 channels", id="none"),
        pytest.param(["global"] * 17, {}, 400, "Expected 1 to 16 channels", id="too many"),
        pytest.param(["global"], {"query": "&channel=global"}, 400, "named twice", id="path and query"),
        pytest.param(["user.u1", "user.u2"], {}, 403, "Unauthorized access to channel", id="one of them"),
    ],
)
async def test_it_is_judged_as_history(
    desk: str, channels: list[str], given: dict[str, Any], status: int, error: str
) -> None:
    async with a_server(desk=desk) as server, reading(server, *channels, **given) as stream:
        assert stream.status == status
        assert error in json.loads(await stream.body())["detail"]["error"]


async def test_the_token_may_be_a_bearer(desk: str) -> None:
    async with a_server(desk=desk) as server:
        answer = await server.request("GET", "/events/user.u2", headers={"Authorization": "Bearer x"})
        assert answer.status == 401


async def test_heartbeats_are_comments_and_nobody_is_closed_for_not_answering(desk: str) -> None:
    async with a_server(desk=desk, heartbeat_seconds=1) as server, reading(server, "user.u1") as stream:
        await stream.say("courier.joined")
        before = stream.last_id
        await trio.sleep(2.5)
        await published(server, 1)
        await stream.events(1)
        assert stream.comments == ["heartbeat", "heartbeat"]
        assert before != stream.last_id


async def test_the_end_of_the_token_is_told(desk: str) -> None:
    bearer = token(exp=int(time.time()) + 2)
    async with a_server(desk=desk) as server, reading(server, "user.u1", bearer=bearer) as stream:
        await stream.say("courier.joined")
        await stream.say("courier.token_expiring")
        closed = await stream.say("courier.closed")
        assert (closed["code"], closed["reason"]) == (1008, "Token expired")
        assert await stream.next() is None


async def test_a_drain_gives_each_its_slot_and_ends_the_stream() -> None:
    async with a_server_to_drain() as (server, begin), reading(server, "user.u1", "global") as stream:
        await stream.say("courier.joined")
        await stream.say("courier.joined")
        begin()
        drain = await stream.say("courier.drain")
        assert stream.retry_ms == drain["reconnect_in_ms"]
        closed = await stream.say("courier.closed")
        assert closed["code"] == 1001
        assert await stream.next() is None
        async with reading(server, "user.u1") as late:
            assert (late.status, late.headers["content-type"]) == (200, "text/event-stream")
            assert (await late.say("courier.closed"))["code"] == 1001
            assert late.retry_ms is not None
            assert await late.next() is None
        answer = await server.request("GET", f"/events/user.u1?token={token()}")
        assert answer.status == 503


async def test_a_full_node_tells_a_browser_to_come_back(desk: str) -> None:
    async with a_server(desk=desk, max_connections=1) as server, reading(server, "user.u1") as stream:
        await stream.say("courier.joined")
        async with reading(server, "user.u1") as late:
            assert late.status == 200
            assert (await late.say("courier.closed"))["code"] == 1013
            assert 1000 <= (late.retry_ms or 0) <= 5000
        answer = await server.request("GET", f"/events/user.u1?token={token()}")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")


async def test_what_follows_the_request_ends_the_stream() -> None:
    request = b"GET /events/user.u1?token=%b HTTP/1.1\r\nHost: x\r\n\r\n" % token().encode()
    async with a_server(desk="on") as server:
        answer = await server.raw(request * 2)
    assert answer.count(b"HTTP/1.1") == 1
    assert b'"code":1002' in answer
    assert answer.endswith(b"0\r\n\r\n")


async def test_http_1_0_gets_the_events_without_chunks() -> None:
    request = b"GET /events/user.u1?token=%b HTTP/1.0\r\nHost: x\r\n\r\n" % token().encode()
    async with a_server() as server, await server.connect() as stream:
        await stream.send_all(request)
        received = b""
        with trio.fail_after(5):
            while b"courier.joined" not in received:
                received += await stream.receive_some()
            await published(server, 1)
            while b"\n\n" not in received.partition(b"courier.joined")[2].partition(b"\n\n")[2]:
                received += await stream.receive_some()
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert body.startswith(b"id: ")


async def test_a_user_and_a_token_that_are_taken_back_end_their_streams(desk: str) -> None:
    secret = "the-token-of-an-admin-of-some-length"
    admin = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    async with a_server(desk=desk, admin_token=secret) as server, reading(server, "user.u1") as stream:
        await stream.say("courier.joined")
        row = (await server.request("GET", "/admin/connections", headers=admin)).json["connections"][0]
        assert (row["subprotocol"], row["subscriptions"][0]["channel"]) == ("sse", "user.u1")
        answer = await server.request("POST", "/admin/disconnect", b'{"user_id":"u1"}', admin)
        assert answer.json["connections"] == 1
        assert (await stream.say("courier.closed"))["code"] == 1013
        async with reading(server, "user.u1", "global") as both:
            await both.say("courier.joined")
            await both.say("courier.joined")
            await server.request("POST", "/admin/revocations", b'{"user_id":"u1"}', admin)
            assert (await both.say("courier.closed"))["reason"] == "Token revoked"
            assert await both.next() is None


@pytest.mark.parametrize("method", ["HEAD", "POST"])
async def test_another_method_is_refused(method: str) -> None:
    async with a_server() as server:
        assert (await server.request(method, "/events/user.u1")).status == 405


async def test_a_page_of_another_origin_may_ask_with_its_id() -> None:
    origin = "https://app.example"
    async with a_server(allowed_origins=[origin]) as server:
        answer = await server.request("OPTIONS", "/events/user.u1", headers={"Origin": origin})
        assert answer.headers["access-control-allow-headers"] == "Authorization, Last-Event-ID"
        async with reading(server, "user.u1", Origin=origin) as stream:
            assert stream.headers["access-control-allow-origin"] == origin


async def test_an_event_written_over_several_lines_is_one_line_of_data(desk: str) -> None:
    async with a_server(desk=desk) as server, reading(server, "user.u1") as stream:
        event = (
            json.dumps(announcement("0", message="a\r\nb\u2028c"), indent=2).replace("\n", "\r\n").encode()
        )
        await server.publish("user.u1", event)
        [got] = await stream.events(1)
        assert got["message"] == "a\r\nb\u2028c"


async def test_a_reader_that_takes_nothing_is_cut_off_and_others_go_on(desk: str) -> None:
    async with (
        a_server(desk=desk, stall_seconds=1, history_bytes=50_000_000) as server,
        reading(server, "user.u1") as quick,
        reading(server, "user.u1") as slow,
        trio.open_nursery() as nursery,
    ):
        await quick.say("courier.joined")
        await slow.say("courier.joined")
        slow.stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

        async def publish() -> None:
            for number in range(150):
                await server.publish("user.u1", announcement(str(number), message="x" * 60_000))

        nursery.start_soon(publish)
        assert titles(await quick.events(150)) == list(range(150))
        with trio.fail_after(15):
            while (await server.request("GET", "/health")).json["metrics"]["active_connections"] > 1:
                await trio.sleep(0.05)
        await published(server, 1)
        await quick.events(1)


@pytest.mark.parametrize("several", [False, True], ids=["one channel", "two channels"])
async def test_a_slow_reader_gets_each_event_once_though_the_socket_cuts_them(
    desk: str, several: bool
) -> None:
    channels = ("user.u1", "global") if several else ("user.u1",)
    async with a_server(desk=desk, history_bytes=50_000_000) as server:
        async with reading(server, *channels) as stream:
            for number in range(100):  # more than the sockets hold
                for channel in channels:
                    await server.publish(channel, announcement(str(number), message="x" * 60_000))
            found = await stream.events(100 * len(channels))
            for channel in channels:
                assert titles([each for each in found if each["channel"] == channel]) == list(range(100))
            last = stream.last_id
        await published(server, 1)
        async with reading(server, *channels, last_id=last) as stream:
            assert titles(await stream.events(1)) == [0]
