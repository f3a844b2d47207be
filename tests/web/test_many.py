"""Many channels on one WebSocket: subscriptions come and go, and the connection stays."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio_websocket import WebSocketConnection

from courier.schemas.closing import CloseReason
from tests.web.servers import PATIENCE_SECONDS, TestServer, a_server, announcement, closed, token

V1 = ["courier.v1"]


@pytest.fixture(params=["on", "off"], ids=["the desk", "the general path"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURIER_TEST_DESK", request.param)


@pytest.fixture
async def server(path: None) -> AsyncIterator[TestServer]:
    async with a_server() as server:
        yield server


class Client:
    """What a page does with one socket."""

    def __init__(self, websocket: WebSocketConnection) -> None:
        self.websocket = websocket
        self.connected: dict[str, Any] = {}

    async def say(self, **message: Any) -> None:
        await self.websocket.send_message(json.dumps(message))

    async def subscribe(self, ref: int, channel: str, **more: Any) -> None:
        await self.say(type="courier.subscribe", ref=ref, channel=channel, **more)

    async def unsubscribe(self, ref: int) -> None:
        await self.say(type="courier.unsubscribe", ref=ref)

    async def next(self) -> dict[str, Any]:
        with trio.fail_after(PATIENCE_SECONDS):
            found: dict[str, Any] = json.loads(await self.websocket.get_message())
        return found

    async def subscribed(self, ref: int, channel: str, **more: Any) -> dict[str, Any]:
        """Subscribe, and be told so next."""
        await self.subscribe(ref, channel, **more)
        said = await self.next()
        assert (said["type"], said["ref"], said["channel"]) == ("courier.subscribed", ref, channel), said
        return said

    async def ended(self, ref: int, reason: CloseReason) -> dict[str, Any]:
        """What comes next is the end of a subscription."""
        said = await self.next()
        told = said.pop("type"), said.pop("ref"), said.pop("code"), said.pop("reason")
        assert told == ("courier.ended", ref, reason.code, reason.reason)
        return said


@asynccontextmanager
async def a_client(server: TestServer, bearer: str | None = None) -> AsyncIterator[Client]:
    path = f"/ws?token={bearer or token()}"
    async with server.websocket(path, subprotocols=V1) as websocket:
        client = Client(websocket)
        client.connected = await client.next()
        yield client


async def publish(server: TestServer, channel: str, *titles: str) -> list[str]:
    """The ids of what was published."""
    ids = []
    for title in titles:
        answer = await server.publish(channel, announcement(title))
        assert answer.status == 200, answer.body
        ids.append(answer.json["id"])
    return ids


async def test_the_first_message_names_the_connection_and_its_user(server: TestServer) -> None:
    async with a_client(server) as client:
        assert client.connected.pop("connection_id")
        assert client.connected == {"type": "courier.connected", "user_id": "u1", "heartbeat_seconds": 30.0}
        await client.websocket.send_message("ping")
        with trio.fail_after(5):
            assert await client.websocket.get_message() == "pong"


async def test_two_channels_come_on_one_socket_each_in_its_order(server: TestServer) -> None:
    async with a_client(server) as client:
        for ref, channel in enumerate(("user.u1", "global")):
            said = await client.subscribed(ref, channel)
            assert (said["recovered"], said["replayed"]) == (False, 0)
        ids = {channel: await publish(server, channel, "a", "b", "c") for channel in ("user.u1", "global")}
        came: dict[str, list[str]] = {"user.u1": [], "global": []}
        for _ in range(6):
            event = await client.next()
            came[event["channel"]].append(event["id"])
        assert came == ids


async def test_a_subscription_goes_on_where_it_was(server: TestServer) -> None:
    first, *rest = await publish(server, "global", "1", "2", "3")
    async with a_client(server) as client:
        said = await client.subscribed(3, "global", since=first)
        assert (said["position"], said["recovered"], said["replayed"]) == (first, True, 2)
        assert [(await client.next())["id"] for _ in rest] == rest
        await client.unsubscribe(3)
        assert await client.ended(3, CloseReason.UNSUBSCRIBED) == {"channel": "global", "position": rest[-1]}
        missed = await publish(server, "global", "4")
        await client.subscribed(4, "global", since=rest[-1])
        assert (await client.next())["id"] == missed[0]


async def test_what_is_missing_is_told_by_the_channels_own_gap(server: TestServer) -> None:
    await publish(server, "global", "1")
    async with a_client(server) as client:
        said = await client.subscribed(1, "global", since="k3v9x0qa-42")
        assert said["recovered"] is False
        gap = await client.next()
        assert (gap["type"], gap["channel"], gap["reason"]) == ("courier.gap", "global", "unknown_position")


@pytest.mark.parametrize(
    ("channel", "more", "reason"),
    [
        ("nothing.like.it", {}, CloseReason.UNKNOWN_CHANNEL),
        ("x" * 300, {}, CloseReason.UNKNOWN_CHANNEL),
        ("user.u2", {}, CloseReason.UNAUTHORIZED),
        ("global", {"since": "yesterday"}, CloseReason.UNREADABLE_SINCE),
    ],
)
async def test_a_subscription_that_is_refused_ends_and_nothing_else(
    channel: str, more: dict[str, Any], reason: CloseReason, server: TestServer
) -> None:
    async with a_client(server) as client:
        await client.subscribe(1, channel, **more)
        assert await client.ended(1, reason) == {"channel": channel[:255]}
        await client.subscribed(2, "user.u1")


async def test_a_channel_may_be_subscribed_once_at_a_time(server: TestServer) -> None:
    async with a_client(server) as client:
        await client.subscribed(1, "global")
        await client.subscribe(2, "global")
        await client.ended(2, CloseReason.ALREADY_SUBSCRIBED)
        await client.unsubscribe(1)
        await client.ended(1, CloseReason.UNSUBSCRIBED)
        await client.unsubscribe(1)  # as is one that is not known
        await client.unsubscribe(77)
        await client.subscribed(3, "global")


async def test_a_connection_has_only_so_many_channels(path: None) -> None:
    async with a_server(max_channels_per_connection=2) as server, a_client(server) as client:
        await client.subscribed(1, "global")
        await client.subscribed(2, "user.u1")
        await client.subscribe(3, "strategy.1")
        await client.ended(3, CloseReason.TOO_MANY_CHANNELS)
        await client.unsubscribe(1)
        await client.ended(1, CloseReason.UNSUBSCRIBED)
        await client.subscribed(4, "strategy.1")


@pytest.mark.parametrize("limits", [{"max_subscriptions": 3}, {"max_subscriptions_per_user": 3}])
async def test_a_node_and_a_user_have_only_so_many_subscriptions(limits: dict[str, Any], path: None) -> None:
    async with (
        a_server(**limits) as server,
        server.subscribe("global"),
        a_client(server) as client,
    ):
        await client.subscribed(1, "global")
        await client.subscribed(2, "user.u1")
        await client.subscribe(3, "strategy.1")
        await client.ended(3, CloseReason.TRY_AGAIN_LATER)
        await client.unsubscribe(1)
        await client.ended(1, CloseReason.UNSUBSCRIBED)
        await client.subscribed(4, "strategy.1")


@pytest.mark.parametrize(
    "message",
    [
        "hello",
        "[]",
        "{}",
        '{"type":"courier.joined"}',
        '{"type":"courier.subscribe","channel":"global"}',
        '{"type":"courier.subscribe","ref":-1,"channel":"global"}',
        '{"type":"courier.subscribe","ref":"1","channel":"global"}',
        '{"type":"courier.subscribe","ref":9007199254740992,"channel":"global"}',
        '{"type":"courier.subscribe","ref":1,"channel":7}',
        '{"type":"courier.subscribe","ref":1,"channel":"global","since":7}',
        '{"type":"courier.unsubscribe"}',
        '{"type":["courier.subscribe"]}',
        b"\x00",
    ],
)
async def test_a_message_that_is_none_closes_the_socket(message: str | bytes, server: TestServer) -> None:
    async with a_client(server) as client:
        await client.websocket.send_message(message)
        with trio.fail_after(5):
            assert await closed(client.websocket) == (4012, "Unreadable message")


async def test_a_ref_must_be_larger_than_each_before_it(server: TestServer) -> None:
    async with a_client(server) as client:
        await client.subscribed(5, "global")
        await client.subscribe(5, "user.u1")
        with trio.fail_after(5):
            assert await closed(client.websocket) == (4012, "Unreadable message")


async def test_fields_that_are_not_known_are_passed_over(server: TestServer) -> None:
    async with a_client(server) as client:
        await client.subscribed(1, "global", tags=["a"], since=None)


@pytest.mark.parametrize("offered", [[], ["courier.plain"]])
async def test_without_the_subprotocol_it_is_refused(offered: list[str], server: TestServer) -> None:
    assert await server.refused(f"/ws?token={token()}", subprotocols=offered) == (
        1008,
        "Subprotocol required",
    )


async def test_without_a_good_token_it_is_refused_as_any_other(server: TestServer) -> None:
    assert await server.refused("/ws", subprotocols=V1) == (1008, "Authentication token required")
    assert await server.refused("/ws?token=x", subprotocols=V1) == (1008, "Invalid token")


async def test_unsubscribe_and_subscribe_in_one_packet_work(server: TestServer) -> None:
    async with a_client(server) as client:
        await client.subscribed(0, "global")
        for ref in range(1, 40):
            await client.unsubscribe(ref - 1)
            await client.subscribe(ref, "global")
        for ref in range(1, 40):
            await client.ended(ref - 1, CloseReason.UNSUBSCRIBED)
            said = await client.next()
            assert (said["type"], said["ref"]) == ("courier.subscribed", ref)
        (id,) = await publish(server, "global", "only once")
        assert (await client.next())["id"] == id


async def test_more_subscribes_than_fifty_a_second_wait_their_turn(server: TestServer) -> None:
    async with a_client(server) as client:
        start = trio.current_time()
        for ref in range(60):
            await client.subscribe(ref, f"strategy.{ref}")
        for ref in range(60):
            assert (await client.next())["ref"] == ref
        assert 0.15 < trio.current_time() - start < 5


async def test_subscribing_and_unsubscribing_in_haste_leaves_no_more_waiting_than_a_connection_may_have(
    path: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("courier.web.many.SUBSCRIBES_A_SECOND", 0.001)  # the second one waits for long
    async with a_server(max_channels_per_connection=5) as server, a_client(server) as client:
        for ref in range(80):
            await client.subscribe(ref, "global")
            await client.unsubscribe(ref)
        reasons = Counter[str]()
        ended = 0
        while ended < 80:
            said = await client.next()
            if said["type"] == "courier.ended":
                ended += 1
                reasons[said["reason"]] += 1
        assert reasons == {"Unsubscribed": 1 + 5, "Too many channels": 80 - 1 - 5}


async def test_a_drain_says_goodbye_once_when_each_channel_has_everything(path: None) -> None:
    stop = trio.Event()

    async def serve(task_status: trio.TaskStatus[TestServer]) -> None:
        async with a_server() as server:
            task_status.started(server)
            await stop.wait()

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve)
        async with a_client(server) as client:
            await client.subscribed(1, "global")
            await client.subscribed(2, "user.u1")
            ids = await publish(server, "global", "a") + await publish(server, "user.u1", "b")
            stop.set()
            assert [(await client.next())["id"] for _ in ids] == ids
            assert (await client.next())["type"] == "courier.drain"
            assert await closed(client.websocket) == (1001, CloseReason.SHUTTING_DOWN.reason)


async def test_a_refresh_ends_the_channels_that_the_new_token_does_not_admit(path: None) -> None:
    async with a_server(event_modules="tests.acme", jwt_channels_claim="channels") as server:
        old = token(channels=["order.1", "order.2"])
        async with a_client(server, old) as client:
            await client.subscribed(1, "order.1")
            await client.subscribed(2, "order.2")
            await client.say(type="courier.refresh", token=token(channels=["order.2", "order.3"]))
            ended = await client.ended(1, CloseReason.UNAUTHORIZED)
            assert ended["channel"] == "order.1"
            assert ended["position"]
            assert (await client.next())["type"] == "courier.refreshed"
            await client.subscribed(3, "order.3")
            await client.subscribe(4, "order.1")
            await client.ended(4, CloseReason.UNAUTHORIZED)
            await client.say(type="courier.refresh", token=token("another", channels=["order.2"]))
            assert await closed(client.websocket) == (1008, CloseReason.UNAUTHORIZED.reason)


async def test_a_token_that_is_revoked_ends_the_connection(server: TestServer) -> None:
    async with a_client(server) as client:
        await client.subscribed(1, "global")
        body = json.dumps({"user_id": "u1"}).encode()
        local = {"Host": "localhost", "Content-Type": "application/json"}
        assert (await server.request("POST", "/admin/revocations", body, local)).status == 200
        with trio.fail_after(5):
            assert await closed(client.websocket) == (1008, "Token revoked")


async def test_the_admin_sees_each_channel_and_closes_the_connection(server: TestServer) -> None:
    local = {"Host": "localhost"}
    async with a_client(server) as client:
        await client.subscribed(1, "global")
        await client.subscribed(2, "user.u1")
        (row,) = (await server.request("GET", "/admin/connections", headers=local)).json["connections"]
        assert (row["channel"], row["kind"], row["position"], row["lag"]) == (None, "many", None, 0)
        assert [each["channel"] for each in row["subscriptions"]] == ["global", "user.u1"]
        assert {(each["state"], each["lag"]) for each in row["subscriptions"]} == {("current", 0)}
        page = await server.request("GET", "/admin/channels/global", headers=local)
        assert [each["id"] for each in page.json["connections"]] == [row["id"]]
        path = f"/admin/connections/{row['id']}/close"
        assert (await server.request("POST", path, b"", local)).status == 200
        assert await closed(client.websocket) == (1013, "Try again later")


async def test_when_the_connection_ends_all_its_subscriptions_have_left(server: TestServer) -> None:
    async with a_client(server) as client:
        for ref, channel in enumerate(("global", "user.u1", "strategy.1")):
            await client.subscribed(ref, channel)
        assert await figures(server) == {"many": 1, "global": 1, "user": 1, "strategy": 1}
    with trio.fail_after(5):
        while any((await figures(server)).values()):
            await trio.sleep(0.01)


async def figures(server: TestServer) -> dict[str, float]:
    """Connections for many channels, and subscriptions of three kinds."""
    text = (await server.request("GET", "/metrics", headers={"Host": "localhost"})).body.decode()
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    found = {"many": float(lines['courier_websocket_connections_active{channel="many"}'])}
    return found | {
        kind: float(lines[f'courier_subscriptions_active{{channel="{kind}"}}'])
        for kind in ("global", "user", "strategy")
    }
