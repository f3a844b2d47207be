"""A subscriber at a terminal that comes back."""

import re
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import pytest
import trio

from courier.settings import Settings
from courier.terminal import subscribe as subscribing
from courier.terminal.errors import Closed, Refused, Unreachable
from courier.terminal.subscribe import follow, subscribe
from courier.web.server import open_server
from tests.web.servers import PATIENCE_SECONDS, TestServer, announcement, settings_for, token

LARGEST_EVENT_BYTES = max(
    limit.le for limit in Settings.model_fields["max_event_bytes"].metadata if hasattr(limit, "le")
)


async def test_who_follows_comes_back_at_the_slot_that_the_node_gave() -> None:
    told: list[str] = []

    async def subscriber(url: str) -> None:
        async for _ in follow(url, ["user.u1"], token(), None, told.append):
            raise AssertionError("nothing was published")

    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            async with open_server(settings_for(drain_seconds=4, returns_a_second=1)) as url:
                for _ in range(4):
                    nursery.start_soon(subscriber, url)
                node = TestServer(url)
                while (await node.request("GET", "/health")).json["metrics"]["active_connections"] < 4:
                    await trio.sleep(0.02)
            while sum(sentence.startswith("Closed: 1001") for sentence in told) < 4:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    at_the_end = [sentence for sentence in told if sentence.startswith("Closed: 1001")]
    waits = sorted(float(re.findall(r"coming back in ([\d.]+) s", sentence)[0]) for sentence in at_the_end)
    assert waits[0] == 0
    assert [round(after - before) for before, after in pairwise(waits)] == [1, 1, 1]


def test_no_node_can_be_set_to_send_what_is_too_large_here() -> None:
    assert subscribing.MESSAGE_BYTES >= 4 * LARGEST_EVENT_BYTES


async def test_an_event_that_a_node_takes_reaches_the_terminal_whatever_its_size() -> None:
    large = announcement("large") | {"message": "m" * 3_000_000}
    with trio.fail_after(PATIENCE_SECONDS):
        async with open_server(settings_for(max_event_bytes=4_000_000)) as url:
            first = (await TestServer(url).publish("user.u1", announcement("first"))).json["id"]
            assert (await TestServer(url).publish("user.u1", large)).status == 200
            async with aclosing(subscribe(url, ["user.u1"], token(), first)) as events:
                assert (await anext(events))["message"] == large["message"]


async def test_several_channels_come_by_one_connection_and_each_goes_on_where_it_was() -> None:
    told: list[str] = []
    channels = ["user.u1", "global", "strategy.1"]
    with trio.fail_after(PATIENCE_SECONDS):
        async with open_server(settings_for()) as url:
            node = TestServer(url)
            seen: dict[str, list[str]] = {channel: [] for channel in channels}
            events = follow(url, channels, token(), None, told.append)
            async with trio.open_nursery() as nursery, aclosing(events):

                async def publish() -> None:
                    while (await connections(node))["many"] < 1 or (await connections(node))["lines"] < 3:
                        await trio.sleep(0.005)
                    for title in ("a", "b"):
                        for channel in channels:
                            await node.publish(channel, announcement(title))

                nursery.start_soon(publish)
                for _ in range(6):
                    event = await anext(events)
                    seen[event["channel"]].append(event["title"])
                [row] = (await listed(node))["connections"]
                path = f"/admin/connections/{row['id']}/close"
                assert (await node.request("POST", path, b"", LOCAL)).status == 200
                await node.publish("global", announcement("while it was away"))
                event = await anext(events)
                assert (event["channel"], event["title"]) == ("global", "while it was away")
    assert seen == {channel: ["a", "b"] for channel in channels}
    assert told[0].startswith("Closed: 1013 Try again later; coming back in ")


async def test_one_of_several_channels_that_is_refused_ends_it_and_is_named() -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        async with open_server(settings_for()) as url:
            with pytest.raises(Closed, match=r"user\.u2 has ended: 1008 Unauthorized access to channel"):
                async for _ in follow(url, ["global", "user.u2"], token(), None, lambda told: None):
                    raise AssertionError("nothing was published")


LOCAL = {"Host": "localhost"}


async def listed(node: TestServer) -> Any:
    return (await node.request("GET", "/admin/connections", headers=LOCAL)).json


async def connections(node: TestServer) -> dict[str, int]:
    rows = (await listed(node))["connections"]
    return {"many": len(rows), "lines": sum(len(row["subscriptions"]) for row in rows)}


async def test_an_event_that_is_too_large_ends_it_with_a_sentence_even_where_it_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscribing, "MESSAGE_BYTES", 1000)
    told: list[str] = []
    with trio.fail_after(PATIENCE_SECONDS):
        async with open_server(settings_for()) as url:
            first = (await TestServer(url).publish("user.u1", announcement("first"))).json["id"]
            await TestServer(url).publish("user.u1", announcement("large") | {"message": "m" * 2000})
            with pytest.raises(Refused, match=r"An event is larger than .*: 1009 "):
                async for _ in follow(url, ["user.u1"], token(), first, told.append):
                    raise AssertionError("it is too large")
    assert told == []


async def test_a_server_that_takes_the_connection_and_says_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscribing, "CONNECT_SECONDS", 0.2)
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, lambda _: trio.sleep_forever(), [listener])
        port = listener.socket.getsockname()[1]
        with trio.fail_after(PATIENCE_SECONDS), pytest.raises(Unreachable, match="fallen silent"):
            async for _ in subscribe(f"http://127.0.0.1:{port}", ["user.u1"], token()):
                raise AssertionError("nobody said anything")
        nursery.cancel_scope.cancel()
