"""Grants: what a token names may be read, or published to, whatever the kind's rule says."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.schemas import ChannelKind, Kinds
from courier.schemas.closing import CloseReason
from courier.web.grants import MOST, Grants
from tests.web.servers import TestServer, a_server, announcement, closed, token
from tests.web.test_publish import service_token

UNAUTHORIZED = (CloseReason.UNAUTHORIZED.code, CloseReason.UNAUTHORIZED.reason)
INVALID = (CloseReason.INVALID_TOKEN.code, CloseReason.INVALID_TOKEN.reason)
KINDS = Kinds([ChannelKind("t", join="granted", id_segments=3), ChannelKind("order", join="granted")])
PARTS = st.sampled_from(["a", "b", "ab", "7"])


@given(st.lists(PARTS, min_size=3, max_size=3), st.lists(PARTS, max_size=3), st.booleans())
def test_a_prefix_grants_whole_segments_below_it_and_nothing_else(
    ids: list[str], granted: list[str], below: bool
) -> None:
    channel = KINDS.parse(".".join(["t", *ids]))
    grants = Grants([".".join(["t", *granted]) + (".*" if below else "")])
    is_below = ids[: len(granted)] == granted and len(granted) < 3
    assert (channel in grants) == (is_below if below else ids == granted)


@pytest.mark.parametrize(
    "said",
    [None, "order.1", {"order.1": True}, ["*"], [""], [".*"], ["order.*.x"], ["order.1*"], ["order..*"],
     ["a b"], [7], ["order.1"] * (MOST + 1), ["order/1"], ["order.1.*.*"]],
)  # fmt: skip
def test_what_is_malformed_is_refused_whole(said: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        Grants(said)


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    async with a_server(
        event_modules="tests.acme", jwt_channels_claim="channels", publish_auth="required", rate_limit=0
    ) as server:
        yield server


def granted(*channels: Any, **claims: Any) -> str:
    return token(channels=list(channels), **claims)


async def test_a_granted_channel_may_be_joined_and_read_whatever_its_kinds_rule(server: TestServer) -> None:
    for channel in ("order.7", "tenant.1.invoices", "user.somebody", "odd.none"):
        bearer = granted(channel)
        async with server.subscribe(channel, bearer):
            pass
        assert (await server.request("GET", f"/history/{channel}?token={bearer}")).status == 200
    assert await server.refused(f"/ws/order.8?token={granted('order.7', 'order.80')}") == UNAUTHORIZED
    assert await server.refused(f"/ws/order.7?token={token()}") == UNAUTHORIZED
    assert await server.refused(f"/ws/order.7?token={granted('*')}") == INVALID
    assert (await server.request("GET", f"/history/order.7?token={granted('order.8')}")).status == 403


def refresh(bearer: str) -> str:
    return json.dumps({"type": "courier.refresh", "token": bearer})


async def test_a_refresh_that_lost_the_channel_ends_the_subscription_and_one_that_has_it_does_not(
    server: TestServer,
) -> None:
    async with server.subscribe("order.7", granted("order.7"), subprotocols=["courier.v1"]) as websocket:
        assert "courier.joined" in await websocket.get_message()
        await websocket.send_message(refresh(granted("order.*")))
        assert "courier.refreshed" in await websocket.get_message()
        await websocket.send_message(refresh(granted("order.8")))
        assert await closed(websocket) == UNAUTHORIZED
    async with server.subscribe("order.8", granted("order.8")):
        pass


async def test_a_services_token_limits_what_it_publishes_to(server: TestServer) -> None:
    def bearer(*channels: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {service_token('tests', channels=list(channels))}"}

    event = announcement()
    for _ in range(2):  # judged, and known
        assert (await server.publish("news", event, **bearer("news", "tenant.*"))).status == 200
        refused = await server.publish("global", event, **bearer("news", "tenant.*"))
        assert (refused.status, refused.error) == (403, {"error": "Service may not publish to this channel"})
    assert (await server.publish("tenant.1.x", event, **bearer("tenant.*"))).status == 200
    assert (await server.publish("news", event, **bearer())).status == 403
    unlimited = {"Authorization": f"Bearer {service_token('tests')}"}
    assert (await server.publish("news", event, **unlimited)).status == 200

    once = bearer("news") | {"Idempotency_Key": "once"}
    assert (await server.publish("news", event, **once)).status == 200
    lost = bearer("order.*") | {"Idempotency_Key": "once"}
    assert (await server.publish("news", event, **lost)).status == 403


async def test_a_batch_and_a_stream_are_limited_event_by_event(server: TestServer) -> None:
    envelopes = [{"channel": channel, "data": announcement()} for channel in ("news", "global", "news")]
    headers = {
        "X-Service-Name": "tests",
        "Authorization": f"Bearer {service_token('tests', channels=['news'])}",
        "Content-Type": "application/json",
    }
    batch = await server.request(
        "POST", "/publish/batch", json.dumps({"events": envelopes}).encode(), headers
    )
    assert [each.get("code", 200) for each in batch.json["results"]] == [200, 403, 200]
    lines = "".join(json.dumps(each) + "\n" for each in envelopes).encode()
    headers["Content-Type"] = "application/x-ndjson"
    stream = await server.request("POST", "/publish/batch", lines, headers)
    assert (stream.json["published"], stream.json["failed"]) == (2, 1)
