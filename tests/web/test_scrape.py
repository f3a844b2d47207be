"""What a node under traffic tells Prometheus: which figures move, by how much, and who is told."""

import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest
import trio
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from courier.metrics import COMPONENTS
from courier.schemas.closing import CloseReason
from courier.schemas.registry import default_registry
from courier.version import VERSION
from courier.web.application import Application
from tests.web.servers import SECRET, TestServer, a_server, announcement, closed, events, token
from tests.web.ways import answers_at_the_desk

KINDS = default_registry().kinds.names

Figures = dict[str, float]

PROMTOOL = shutil.which("promtool")


def read(text: str) -> Figures:
    return {
        sample.name + json.dumps(sample.labels, sort_keys=True): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(name: str, **labels: str) -> str:
    return name + json.dumps(labels, sort_keys=True)


async def figures(server: TestServer, **headers: str) -> Figures:
    response = await server.request("GET", "/metrics", headers=headers)
    assert response.status == 200
    return read(response.body.decode())


@asynccontextmanager
async def moving(server: TestServer) -> AsyncIterator[Figures]:
    """What of Courier's own figures the block has moved, and by how much: filled in when it has ended."""
    before, moved = await figures(server), Figures()
    yield moved
    for name, value in (await figures(server)).items():
        if name.startswith("courier_") and value != before.get(name, 0):
            moved[name] = value - before.get(name, 0)


def events_of(moved: Figures) -> Figures:
    """Without how long things took, and what hangs on the time."""
    passing = (
        "_seconds_bucket",
        "_seconds_sum",
        "_lag_events",
        "courier_log_bytes",
        "_channels_active",
        "_loop_lag_seconds",
    )
    return {name: value for name, value in moved.items() if not any(part in name for part in passing)}


async def until_all_have_left(server: TestServer) -> None:
    with trio.fail_after(5):
        while (await server.request("GET", "/health")).json["metrics"]["active_connections"]:
            await trio.sleep(0.01)


def service_token(service: str) -> str:
    now = int(time.time())
    return jwt.encode({"service": service, "iat": now, "exp": now + 60}, SECRET, algorithm="HS256")


@pytest.fixture(params=["the desk", "Quart"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The way in; both count alike."""
    if request.param == "Quart":
        monkeypatch.setattr(Application, "_route", lambda self, head, address: None)
    return str(request.param)


async def test_publishing_counts_by_kind_type_and_source_and_delivery_by_each_who_got_it(way: str) -> None:
    async with a_server() as server, server.subscribe() as one, server.subscribe() as other:
        joined = await figures(server)
        async with moving(server) as moved:
            await server.publish("user.u1", announcement())
            await server.publish("user.u1", announcement(), Idempotency_Key="k")
            again = await server.publish("user.u1", announcement(), Idempotency_Key="k")
            assert again.json["deduplicated"]
            items = [{"channel": name, "data": announcement()} for name in ("user.u1", "user.u1", "global")]
            await batch(server, items)
            for websocket in (one, other):
                await events(websocket, 4)
    labels = {"event_type": "system.announcement"}
    assert joined[of("courier_websocket_connections_active", channel="user")] == 2
    assert events_of(moved) == {
        of("courier_events_published_total", channel="user", source="tests", **labels): 4,
        of("courier_events_published_total", channel="global", source="tests", **labels): 1,
        of("courier_events_delivered_total", channel="user", **labels): 8,
        of("courier_publish_latency_seconds_count", channel="user"): 4,
        of("courier_publish_latency_seconds_count", channel="global"): 1,
        of("courier_websocket_message_latency_seconds_count", channel="user"): 8,
    }
    assert 0 < moved[of("courier_publish_latency_seconds_sum", channel="user")] < 4
    assert moved[of("courier_publish_latency_seconds_bucket", channel="user", le="+Inf")] == 4


async def batch(server: TestServer, items: list[dict[str, Any]], service: str = "tests") -> Any:
    headers = {"Content-Type": "application/json", "X-Service-Name": service}
    body = json.dumps({"events": items}).encode()
    return (await server.request("POST", "/publish/batch", body, headers)).json


async def stream(server: TestServer, *lines: bytes) -> Any:
    headers = {"Content-Type": "application/x-ndjson", "X-Service-Name": "tests"}
    return (await server.request("POST", "/publish/batch", b"\n".join(lines), headers)).json


async def test_what_is_refused_is_counted_by_why_in_every_kind_of_request(way: str) -> None:
    progress = {"type": "backtest.progress", "source": "tests"}
    async with a_server(rate_limit=11, rate_limits={"tests": 11}) as server, moving(server) as moved:
        await server.publish("global", announcement())
        await server.publish("global", progress)
        await server.publish("global", b"{")
        await server.publish("global", announcement(source="another"))
        await server.publish("nowhere", announcement())
        await server.publish("global", announcement(), service=None)
        await batch(server, [{"channel": "global", "data": progress}, {"channel": "x", "data": {}}])
        line = json.dumps({"channel": "global", "data": announcement()}).encode()
        await stream(server, line, b"{", line, line, line, line)  # four of them are within the limit
        await server.publish("global", announcement())
    assert events_of(moved) == {
        of(
            "courier_events_published_total",
            channel="global",
            event_type="system.announcement",
            source="tests",
        ): 4,
        of("courier_publish_latency_seconds_count", channel="global"): 4,
        of("courier_events_validation_failed_total", event_type="backtest.progress", source="tests"): 2,
        of("courier_events_validation_failed_total", event_type="other", source="tests"): 2,
        of("courier_publishes_refused_total", status="400"): 8,
        of("courier_publishes_refused_total", status="429"): 3,
        of("courier_rate_limit_exceeded_total", service="tests"): 3,
    }


async def test_joins_and_ends_are_counted_by_why() -> None:
    async with a_server() as server, moving(server) as moved:
        async with server.subscribe("global"):
            connected = await figures(server)
        await until_all_have_left(server)
        assert (await server.refused("/ws/user.u1?token=junk"))[1] == "Invalid token"
        assert (await server.refused(f"/ws/nowhere?token={token()}"))[1] == "Unknown channel"
        async with server.subscribe(subprotocols=["courier.v1"]) as websocket:
            await websocket.send_message('{"type":"courier.refresh","token":"junk"}')
            assert await closed(websocket) == (1008, "Invalid token")
        await until_all_have_left(server)
    assert connected[of("courier_websocket_connections_active", channel="global")] == 1
    assert events_of(moved) == {
        of("courier_websocket_connections_total", channel="global"): 1,
        of("courier_websocket_connections_total", channel="user"): 1,
        of("courier_websocket_disconnections_total", channel="global", reason="left"): 1,
        of("courier_websocket_disconnections_total", channel="user", reason="invalid_token"): 1,
        of("courier_joins_refused_total", reason="invalid_token"): 1,
        of("courier_joins_refused_total", reason="unknown_channel"): 1,
    }


async def test_a_replay_and_its_gap_are_counted_and_are_not_late() -> None:
    async with a_server(history_events=3) as server:
        for number in range(5):
            receipt = (await server.publish("user.u1", announcement(str(number)))).json
        since = receipt["id"].replace("-5", "-1")
        async with moving(server) as moved:
            async with server.subscribe(query=f"&since={since}") as websocket:
                types = [event["type"] for event in await events(websocket, 4)]
                assert types == ["courier.gap", *["system.announcement"] * 3]
            await until_all_have_left(server)
    assert events_of(moved) == {
        of("courier_websocket_connections_total", channel="user"): 1,
        of("courier_websocket_disconnections_total", channel="user", reason="left"): 1,
        of("courier_events_delivered_total", channel="user", event_type="system.announcement"): 3,
        of("courier_replayed_events_total", channel="user"): 3,
        of("courier_gaps_total", channel="user", reason="expired"): 1,
    }


async def test_what_is_to_be_watched_is_there_before_it_moves() -> None:
    async with a_server(rate_limits={"prophet": 7}, max_connections=77) as server:
        found = await figures(server)
    assert found[of("courier_build_info", version=VERSION)] == 1
    assert found["courier_websocket_connections_limit{}"] == 77
    assert 0 <= found["courier_event_loop_lag_seconds{}"] < 60
    for component in COMPONENTS:
        assert found[of("courier_errors_total", component=component, error_type="other")] == 0
    for service in ("prophet", "other"):
        assert found[of("courier_rate_limit_exceeded_total", service=service)] == 0
    for kind in KINDS:
        for reason in ("left", *(reason.word for reason in CloseReason)):
            assert found[of("courier_websocket_disconnections_total", channel=kind, reason=reason)] == 0


async def test_no_caller_can_mint_a_label() -> None:
    """Types, sources, ids and close reasons of a caller's own, with open publishing and without."""
    async with a_server(publish_auth="required") as server:
        good = {"Authorization": f"Bearer {service_token('tests')}"}
        await server.publish("global", announcement(), **good)
        await server.publish("global", {"type": "made.up", "source": "tests"}, **good)
        before = await figures(server)
        for number in range(50):
            name = f"made-up-{number}"
            await server.publish("global", {"type": name, "source": "tests"}, **good)
            await server.publish("global", announcement(source=name), service=name)
            await server.publish("global", announcement(source=name), service=name, **good)
            await server.publish(f"user.{name}", announcement(), **good)
            await server.refused(f"/ws/user.{name}?token={token()}")
        async with server.subscribe() as websocket:
            await websocket.aclose(4000 + 77, "made-up-reason")
        await until_all_have_left(server)
        response = await server.request("GET", "/metrics")
        assert b"made" not in response.body
        grown = {name for name in read(response.body.decode()) if name not in before}
    assert grown == {
        of(
            "courier_events_published_total",
            channel="user",
            event_type="system.announcement",
            source="tests",
        ),
    }


async def test_with_open_publishing_fifty_names_are_labels_and_no_more() -> None:
    async with a_server(rate_limit=1) as server:
        for number in range(52):
            name = f"s{number}"
            assert (await server.publish("global", announcement(source=name), service=name)).status == 200
            assert (await server.publish("global", b"{", service=name)).status == 429
        found = await figures(server)
    published = {name for name in found if name.startswith("courier_events_published_total")}
    limited = {name for name in found if name.startswith("courier_rate_limit_exceeded_total")}
    assert len(published) == len(limited) == 51
    assert found[of("courier_rate_limit_exceeded_total", service="other")] == 2


async def test_the_text_passes_the_linter_under_traffic_and_openmetrics_is_given_to_who_asks() -> None:
    assert PROMTOOL, "promtool is missing: it is in the package prometheus of Debian"
    async with a_server() as server, server.subscribe() as websocket:
        await server.publish("user.u1", announcement())
        await server.publish("user.u1", b"{")
        await events(websocket, 1)
        plain = await server.request("GET", "/metrics")
        open_ = await server.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert plain.headers["cache-control"] == "no-store"
    checked = await trio.run_process(
        [PROMTOOL, "check", "metrics"],
        stdin=plain.body,
        capture_stdout=True,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert (checked.returncode, checked.stdout) == (0, b"")
    assert open_.headers["content-type"].startswith("application/openmetrics-text")
    assert open_.body.count(b"# EOF\n") == 1
    same = {family.name for family in openmetrics(open_.body.decode())}  # type: ignore[no-untyped-call]
    assert same == {family.name for family in text_string_to_metric_families(plain.body.decode())}
    figures = read(plain.body.decode())
    assert {of("courier_websocket_connections_active", channel=kind) for kind in KINDS} <= figures.keys()
    assert figures[of("process_resident_memory_bytes")] > 1_000_000


async def test_in_production_metrics_are_for_who_bears_a_token_and_nothing_for_others() -> None:
    given = {"env": "production", "metrics_token": "m" * 16, "admin_token": "a" * 16}
    async with a_server(**given) as server:
        for secret in ("m" * 16, "a" * 16):
            assert await figures(server, Authorization=f"Bearer {secret}")
        nothing = await server.request("GET", "/nothing")
        for headers in ({}, {"Authorization": "Bearer " + "x" * 16}, {"Authorization": "m" * 16}):
            refused = await server.request("GET", "/metrics", headers=headers)
            assert (refused.status, refused.body) == (nothing.status, nothing.body)
        assert nothing.status == 404


async def test_in_production_without_a_token_set_there_are_no_metrics() -> None:
    async with a_server(env="production") as server:
        for headers in ({}, {"Authorization": "Bearer x"}):
            assert (await server.request("GET", "/metrics", headers=headers)).status == 404


async def test_both_ways_were_tried(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the tests above would prove nothing of one of them."""
    taken = answers_at_the_desk(monkeypatch)
    async with a_server() as server:
        await server.publish("global", announcement())
    assert bool(taken) is (way == "the desk")
