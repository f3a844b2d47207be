"""What the admin sees and does: stats, channels, connections, one channel, a test event, a close."""

import json
import socket
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any

import pytest
import trio

from courier.node import Phase, open_node
from courier.schemas.registry import default_registry
from courier.web.admin.overview import CHANNELS_A_TURN, overview
from courier.web.auth import Verifier
from courier.web.rate_limit import RateLimiter
from courier.web.site import Site
from tests.names import PLAIN_RULES
from tests.web.admins import BEARER, TOKEN, get, in_production, listed, post
from tests.web.servers import TestServer, a_server, announcement, closed, events, settings_for, token

JSON_BEARER = BEARER | {"Content-Type": "application/json"}


async def publish(server: TestServer, channel: str, count: int, title: str = "t") -> list[str]:
    """Their ids."""
    ids = []
    for _ in range(count):
        response = await server.publish(channel, announcement(title))
        assert response.status == 200
        ids.append(response.json["id"])
    return ids


def posted(event: dict[str, Any], channel: str = "user.u1") -> bytes:
    return json.dumps({"channel": channel, "data": event}).encode()


async def test_stats_count_connections_channels_and_events() -> None:
    async with a_server(admin_token=TOKEN) as server, server.subscribe() as one, server.subscribe():
        await publish(server, "user.u1", 3)
        await publish(server, "user.u2", 1)
        await events(one, 3)
        stats = (await get(server, "/stats", BEARER)).json
        assert stats.pop("uptime_seconds") > 0
        assert stats == {
            "total_connections": 2,
            "active_channels": 2,
            "total_messages_sent": 6,
            "total_messages_received": 4,
            "channels": {"user.u1": 2, "user.u2": 0},
        }


async def test_stats_give_way_to_others_however_many_channels_there_are() -> None:
    async with a_server(admin_token=TOKEN) as server:
        batch = [{"channel": f"user.u{n}", "data": announcement()} for n in range(1000)]
        body = json.dumps({"events": batch}).encode()
        await server.request(
            "POST", "/publish/batch", body, {"X-Service-Name": "tests", "Content-Type": "application/json"}
        )
        assert len((await get(server, "/stats", BEARER)).json["channels"]) == 1000 > CHANNELS_A_TURN


async def test_a_channels_row_says_what_its_log_holds_and_who_is_there() -> None:
    async with a_server(admin_token=TOKEN) as server, server.subscribe() as subscriber:
        ids = await publish(server, "user.u1", 3)
        await events(subscriber, 3)
        answer = await listed(server, "channels")
        [row] = answer["channels"]
        assert (answer["total"], answer["limit"], answer["offset"]) == (1, 50, 0)
        assert datetime.fromisoformat(row["oldest_at"]) <= datetime.fromisoformat(row.pop("newest_at"))
        assert row.pop("oldest_at").endswith("Z")
        assert row.pop("bytes") > 600
        assert row == {
            "channel": "user.u1",
            "kind": "user",
            "connections": 1,
            "position": ids[-1],
            "events": 3,
            "lag": 0,
            "waiting": 0,
        }


async def test_a_channel_that_holds_nothing_has_no_times() -> None:
    async with a_server(admin_token=TOKEN) as server, server.subscribe():
        [row] = (await listed(server, "channels"))["channels"]
        assert (row["events"], row["oldest_at"], row["newest_at"]) == (0, None, None)


async def test_a_connections_row_says_who_it_is_and_where_it_stands() -> None:
    async with (
        a_server(admin_token=TOKEN) as server,
        server.subscribe(subprotocols=["courier.v1"]) as subscriber,
    ):
        joined = json.loads(await subscriber.get_message())
        [last] = await publish(server, "user.u1", 1)
        await events(subscriber, 1)
        [row] = (await listed(server, "connections"))["connections"]
        moments = [datetime.fromisoformat(row.pop(name)) for name in ("connected_at", "heard_at")]
        assert moments[1].timestamp() == pytest.approx(moments[0].timestamp(), abs=0.5)
        assert row == {
            "id": joined["connection_id"],
            "user_id": "u1",
            "channel": "user.u1",
            "kind": "user",
            "state": "current",
            "position": last,
            "lag": 0,
            "subscriptions": [{"channel": "user.u1", "state": "current", "position": last, "lag": 0}],
            "held_bytes": 0,
            "unsent_bytes": 0,
            "pinged_at": None,
            "subprotocol": "courier.v1",
            "address": "127.0.0.1",
        }


async def test_a_connection_that_is_pinged_and_answers_has_been_heard_from_since() -> None:
    async with (
        a_server(admin_token=TOKEN, heartbeat_seconds=0.05) as server,
        server.subscribe() as subscriber,
    ):
        assert await subscriber.get_message() == "ping"
        [before] = (await listed(server, "connections"))["connections"]
        await subscriber.send_message("pong")
        assert await subscriber.get_message() == "ping"
        [after] = (await listed(server, "connections"))["connections"]
        assert before["connected_at"] <= before["heard_at"] < before["pinged_at"]
        assert before["heard_at"] < after["heard_at"] < after["pinged_at"]


async def slow_subscriber(server: TestServer, stack: AsyncExitStack) -> trio.SocketStream:
    """A subscriber whose socket takes a few kilobytes and which does not read."""
    raw = trio.socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    await raw.connect((server.host, server.port))
    stream = await stack.enter_async_context(trio.SocketStream(raw))
    head = (
        f"GET /ws/user.u1?token={token()} HTTP/1.1\r\nHost: t\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    await stream.send_all(head.encode())
    assert b" 101 " in bytes(await stream.receive_some(1000))
    return stream


async def fall_behind(server: TestServer) -> dict[str, Any]:
    """Publish until the subscriber lags; its row."""
    for _ in range(100):
        await publish(server, "user.u1", 5, "t" * 60_000)
        [row] = (await listed(server, "connections"))["connections"]
        if row["lag"] > 2:
            return dict(row)
    raise AssertionError("The subscriber took everything")


async def test_who_does_not_read_shows_its_lag_and_what_waits_for_it() -> None:
    async with a_server(admin_token=TOKEN) as server, AsyncExitStack() as stack:
        await slow_subscriber(server, stack)
        row = await fall_behind(server)
        assert row["state"] == "behind"
        assert 0 <= row["held_bytes"] < 70_000
        assert row["unsent_bytes"] > 0
        [channel] = (await listed(server, "channels"))["channels"]
        assert channel["lag"] == row["lag"]
        head, offset = int(channel["position"].split("-")[1]), int(row["position"].split("-")[1])
        assert head - offset == row["lag"]


async def test_a_connection_that_is_closed_is_told_to_try_again_later() -> None:
    async with (
        a_server(admin_token=TOKEN) as server,
        server.subscribe() as subscriber,
        server.subscribe() as other,
    ):
        first = (await listed(server, "connections"))["connections"][0]
        answer = await post(server, f"/admin/connections/{first['id']}/close", BEARER)
        assert (answer.status, answer.json) == (
            200,
            {"status": "closing", "id": first["id"], "code": 1013, "reason": "Try again later"},
        )
        assert await closed(subscriber) == (1013, "Try again later")
        await publish(server, "user.u1", 1)
        await events(other, 1)
        assert (await listed(server, "connections"))["total"] == 1
        again = await post(server, f"/admin/connections/{first['id']}/close", BEARER)
        assert again.status == 404


async def test_who_was_closed_while_it_lagged_gets_its_frame_whole_and_then_the_code() -> None:
    async with a_server(admin_token=TOKEN) as server, AsyncExitStack() as stack:
        stream = await slow_subscriber(server, stack)
        row = await fall_behind(server)
        assert (await post(server, f"/admin/connections/{row['id']}/close", BEARER)).status == 200
        [row] = (await listed(server, "connections"))["connections"]
        assert row["state"] == "closing"
        received = b""
        with trio.fail_after(5):
            while not received.endswith(b"\x03\xf5Try again later"):
                received += await stream.receive_some()


async def test_one_channel_opened_shows_its_subscribers_and_its_latest_events() -> None:
    async with (
        a_server(admin_token=TOKEN) as server,
        server.subscribe(),
        server.subscribe("user.u2", token("u2")),
    ):
        ids = await publish(server, "user.u1", 7)
        opened = (await get(server, "/admin/channels/user.u1?events=3", BEARER)).json
        assert opened["channel"]["events"] == 7
        assert [row["user_id"] for row in opened["connections"]] == ["u1"]
        assert opened["total"] == 1
        assert [one["event"]["id"] for one in opened["events"]] == ids[-3:]
        assert all(one["event"]["channel"] == "user.u1" and "arrived_at" in one for one in opened["events"])
        assert (opened["position"], opened["skipped"]) == (ids[-1], False)

        path = f"/admin/channels/user.u1?since={opened['position']}&events=3"
        quiet = (await get(server, path, BEARER)).json
        assert (quiet["events"], quiet["skipped"], quiet["position"]) == ([], False, ids[-1])
        [news] = await publish(server, "user.u1", 1)
        told = (await get(server, path, BEARER)).json
        assert [one["event"]["id"] for one in told["events"]] == [news]
        many = await publish(server, "user.u1", 5)
        told = (await get(server, path, BEARER)).json
        assert ([one["event"]["id"] for one in told["events"]], told["skipped"]) == (many[-3:], True)


async def test_large_events_of_an_opened_channel_are_shown_as_far_as_there_is_room() -> None:
    async with a_server(admin_token=TOKEN) as server:
        ids = await publish(server, "user.u1", 8, "t" * 60_000)
        opened = await get(server, "/admin/channels/user.u1", BEARER)
        assert [one["event"]["id"] for one in opened.json["events"]] == ids[-4:]
        assert opened.json["skipped"] is True
        assert len(opened.body) < 300_000


async def test_a_channel_that_is_looked_for_does_not_begin_by_it() -> None:
    async with a_server(admin_token=TOKEN) as server:
        assert (await get(server, "/admin/channels/user.nobody", BEARER)).status == 404
        assert (await get(server, "/admin/channels/nonsense", BEARER)).status == 400
        assert (await listed(server, "channels"))["total"] == 0


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("limit=0", "limit"), ("limit=501", "limit"), ("limit=ten", "limit"), ("limit=", "limit"),
        ("limit=%C2%B2", "limit"), ("offset=-1", "offset"), ("offset=99999999999999999999999", "offset"),
        ("sort=colour", "sort"), ("order=up", "order"), ("search=" + "x" * 201, "search"),
    ],
)  # fmt: skip
async def test_a_query_that_cannot_be_read_is_told_in_a_sentence(query: str, word: str) -> None:
    async with a_server(admin_token=TOKEN) as server:
        for path in ("/admin/channels", "/admin/connections"):
            response = await get(server, f"{path}?{query}", BEARER)
            assert response.status == 400
            assert response.error["error"].startswith(f"Unreadable {word}: expected ")
        for path, wrong in (("/admin/overview", "since=x"), ("/admin/channels/global", "since=x")):
            assert (await get(server, f"{path}?{wrong}", BEARER)).status == 400


async def test_pages_of_a_table_fit_together_and_are_found_by_search() -> None:
    async with a_server(admin_token=TOKEN) as server, AsyncExitStack() as stack:
        for name in ("Anna", "bob", "carl", "Dora", "emil"):
            await stack.enter_async_context(server.subscribe(f"user.{name}", token(name)))
        pages = [
            await listed(server, "connections", sort="user_id", order="desc", limit=2, offset=at)
            for at in (0, 2, 4, 6)
        ]
        names = [[row["user_id"] for row in page["connections"]] for page in pages]
        assert names == [["emil", "carl"], ["bob", "Dora"], ["Anna"], []]
        assert {page["total"] for page in pages} == {5}
        found = await listed(server, "connections", search=" ANN ")
        assert ([row["user_id"] for row in found["connections"]], found["total"]) == (["Anna"], 1)
        assert (await listed(server, "channels", search="user.d"))["channels"][0]["channel"] == "user.Dora"
        for what, columns in (
            ("connections", "lag heard_at state address id kind"),
            ("channels", "lag bytes waiting"),
        ):
            for column in columns.split():
                assert (await listed(server, what, sort=column, order="desc"))["total"] == 5


async def test_the_overview_shows_the_past_minutes_and_then_only_what_is_new() -> None:
    async with a_server(admin_token=TOKEN) as server, server.subscribe() as subscriber:
        await publish(server, "user.u1", 2)
        await events(subscriber, 2)
        shown: dict[str, Any] = {}
        while not shown or not shown["samples"]["rows"]:
            await trio.sleep(0.1)  # the first sample is taken a second after the start
            shown = (await get(server, "/admin/overview", BEARER)).json
        samples = shown["samples"]
        last = dict(zip(samples["columns"], samples["rows"][-1], strict=True))
        assert last["connections"] == 1
        assert last["published"] > 0
        assert last["delivered"] > 0
        assert 0 < last["publish_p50_ms"] <= last["publish_p99_ms"]
        assert shown["totals"]["published"] == 2
        assert (shown["node"]["phase"], shown["node"]["connections"]) == ("ready", 1)
        assert shown["node"]["signs_in"] is True
        assert TOKEN not in json.dumps(shown)
        since = (await get(server, f"/admin/overview?since={last['at']}", BEARER)).json
        assert all(row[0] > last["at"] for row in since["samples"]["rows"])


async def test_the_overview_says_that_the_node_leaves() -> None:
    config = settings_for()
    async with open_node(config) as node:
        site = Site(node, default_registry(), Verifier(config), RateLimiter(0, 60), PLAIN_RULES)
        for phase in Phase:
            node.phase = phase
            assert overview(site, {})["node"]["phase"] == phase.value


async def test_a_test_event_is_published_like_any_other_without_a_services_token() -> None:
    async with (
        in_production(admin_token=TOKEN, rate_limit=2) as server,
        server.subscribe() as subscriber,
    ):
        event = announcement("from the admin", source="courier-admin")
        response = await post(server, "/admin/publish", JSON_BEARER, posted(event))
        assert response.status == 200
        assert (response.json["channel"], response.json["clients_reached"]) == ("user.u1", 1)
        [told] = await events(subscriber, 1)
        assert (told["title"], told["id"]) == ("from the admin", response.json["id"])

        as_tests = JSON_BEARER | {"X-Service-Name": "tests"}
        assert (await post(server, "/admin/publish", as_tests, posted(announcement()))).status == 200
        assert (await get(server, "/stats", BEARER)).json["total_messages_received"] == 2
        assert (await post(server, "/publish", as_tests, posted(announcement()))).status == 401
        statuses = [(await post(server, "/admin/publish", JSON_BEARER, posted(event))).status for _ in "ab"]
        assert statuses == [200, 429]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (posted(announcement(source="courier-admin", severity="loud")), 400, "Invalid event schema"),
        (posted(announcement(source="somebody")), 400, "Event source must match X-Service-Name header"),
        (posted(announcement(source="courier-admin"), "nowhere"), 400, "Unknown channel"),
        (b"{", 400, "Expected JSON"),
        (posted(announcement("t" * 70_000, source="courier-admin")), 413, "Request body is too large"),
    ],
)
async def test_a_test_event_is_judged_like_any_other(body: bytes, status: int, error: str) -> None:
    async with a_server(admin_token=TOKEN) as server:
        response = await post(server, "/admin/publish", JSON_BEARER, body)
        assert response.status == status
        assert response.error["error"].startswith(error)
        if error == "Invalid event schema":
            assert response.error["validation_errors"][0]["loc"] == ["severity"]


async def test_the_forms_schemas_are_those_of_the_events_that_may_be_published() -> None:
    async with a_server(admin_token=TOKEN) as server:
        types = (await get(server, "/admin/schemas", BEARER)).json["types"]
        assert types["system.announcement"]["properties"]["severity"]["enum"] == [
            "info",
            "warning",
            "critical",
        ]
        progress = types["backtest.progress"]["properties"]["progress"]
        assert (progress["minimum"], progress["maximum"], progress["type"]) == (0, 1, "number")
        assert set(types) == default_registry().types
