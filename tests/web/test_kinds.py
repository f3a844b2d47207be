"""A node with kinds of channels of somebody's own: joins, history, publishes, on both transports."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from courier.metrics import Metrics
from courier.schemas.closing import CloseReason
from courier.web import access
from tests.web.servers import TestServer, a_server, announcement, events, token

UNAUTHORIZED = (CloseReason.UNAUTHORIZED.code, CloseReason.UNAUTHORIZED.reason)


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    async with a_server(event_modules="tests.acme", publish_auth="off") as server:
        yield server


def shipped(source: str = "shop") -> dict[str, Any]:
    return {"type": "acme.order_shipped", "source": source, "order_id": "7"}


async def test_a_function_of_claims_and_channel_says_who_joins_and_reads(server: TestServer) -> None:
    theirs, others = token(tenant="7", wallet_address=None), token(tenant="8", wallet_address=None)
    async with server.websocket(f"/ws/tenant.7.invoices?token={theirs}") as websocket:
        await server.publish("tenant.7.invoices", announcement())
        await events(websocket, 1)
    assert await server.refused(f"/ws/tenant.7.invoices?token={others}") == UNAUTHORIZED
    assert (await server.request("GET", f"/history/tenant.7.invoices?token={theirs}")).status == 200
    assert (await server.request("GET", f"/history/tenant.7.invoices?token={others}")).status == 403


async def test_a_kind_without_an_id_is_for_everyone(server: TestServer) -> None:
    async with server.websocket(f"/ws/news?token={token()}") as websocket:
        await server.publish("news", announcement())
        await events(websocket, 1)


@pytest.mark.parametrize("id", ["raises", "one", "none"])
async def test_a_rule_that_fails_admits_nobody_and_is_counted(
    id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[tuple[str, str]] = []

    def note(_: Metrics, component: str, error: BaseException) -> None:
        counted.append((component, type(error).__name__))

    monkeypatch.setattr(Metrics, "error", note)
    async with a_server(event_modules="tests.acme", publish_auth="off") as server:
        assert await server.refused(f"/ws/odd.{id}?token={token()}") == UNAUTHORIZED
        assert counted == [("rule", "RuntimeError" if id == "raises" else "TypeError")]
        async with server.websocket(f"/ws/odd.fine?token={token()}"):
            pass


async def test_a_rule_that_is_slow_holds_and_is_counted(
    server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for slow_seconds, counted in (
        (60.0, 0),
        (0.0, 1),
    ):  # never slow, always slow
        monkeypatch.setattr(access, "SLOW_SECONDS", slow_seconds)
        async with server.websocket(f"/ws/odd.fine?token={token()}"):
            assert await rule_errors(server) == counted


async def rule_errors(server: TestServer) -> float:
    text = (await server.request("GET", "/metrics", headers={"Host": "localhost"})).body.decode()
    return sum(
        map(float, re.findall(r'courier_errors_total\{component="rule",error_type="\w+"\} (\S+)', text))
    )


async def test_a_kind_takes_only_its_events_from_its_publishers(server: TestServer) -> None:
    assert (await server.publish("order.7", shipped(), service="shop")).status == 200
    wrong = await server.publish("order.7", announcement(source="shop"), service="shop")
    assert (wrong.status, wrong.error) == (400, {"error": "Event type is not allowed on this channel"})
    other = await server.publish("order.7", shipped("bank"), service="bank")
    assert (other.status, other.error) == (403, {"error": "Service may not publish to this channel"})


async def test_a_channel_keeps_as_much_as_its_kind_says(server: TestServer) -> None:
    for _ in range(5):
        assert (await server.publish("order.7", shipped(), service="shop")).status == 200
        await server.publish("news", announcement())
    held = []
    for name in ("order.7", "news"):
        page = await server.request("GET", f"/admin/channels/{name}", headers={"Host": "localhost"})
        held.append(page.json["channel"]["events"])
    assert held == [3, 5]


TRADING = re.compile(
    rb"wallet|strateg|backtest|forge|prophet|\btrad(e|ing)\b|lumi[e\xc3]|architect|cartographe|chevalier",
    re.IGNORECASE,
)
SHOWN = ["/docs", "/schemas", "/openapi.json", "/asyncapi.json", "/admin", "/stats", "/metrics", "/health"]


async def test_a_node_of_somebody_else_says_nothing_of_trading(server: TestServer) -> None:
    async def look(path: str) -> bytes:
        answer = await server.request("GET", path, headers={"Host": "localhost"})
        assert answer.status == 200, path
        said = [answer.body[found.start() - 60 : found.end() + 60] for found in TRADING.finditer(answer.body)]
        assert not said, path
        return answer.body

    await server.publish("news", announcement())
    for path in SHOWN:
        for asset in set(re.findall(rb'(?:src|href)="(/[^"]+)"', await look(path))):
            await look(asset.decode())
    wrong = await server.publish("topic.1", announcement())
    assert wrong.error == {
        "error": "Unknown channel: expected global, user.<id>, order.<id>, tenant.<id>.<id>, news or"
        " odd.<id>, where <id> is 1 to 128 of A-Z a-z 0-9 _ - @ | : + ~"
    }


async def test_it_has_three_events_of_the_system_and_its_own(server: TestServer) -> None:
    schemas = (await server.request("GET", "/schemas")).json["$defs"]
    names = [each["$ref"].rpartition("/")[2] for each in schemas["CourierEvent"]["oneOf"]]
    types = {schemas[name]["properties"]["type"]["const"] for name in names}
    system = {"system.announcement", "system.maintenance", "system.service_status"}
    assert types == system | {"acme.order_shipped"}


async def test_asyncapi_has_the_events_that_each_kind_takes_and_who_may_join(
    server: TestServer,
) -> None:
    document = (await server.request("GET", "/asyncapi.json")).json
    channels = document["channels"]
    assert set(channels) == {"global", "user", "order", "tenant", "news", "odd", "many"}
    assert channels["tenant"]["address"] == "/ws/tenant.{id1}.{id2}"
    assert "AcmeOrderShipped" in json.dumps(channels["order"]["messages"])
    assert "SystemAnnouncement" not in json.dumps(channels["order"]["messages"])
    assert "SystemAnnouncement" in json.dumps(channels["news"]["messages"])
    assert channels["order"]["description"] == "order.<id>: Users with a grant for it may join."
