"""Many channels on one connection to a real node."""

import json
import math

import anyio
import pytest
from courier_client import Connection, Ended, Event, Gap, SubscriptionRefused
from courier_client.connection import ConnectionSession, Wanted
from nodes import Node, node, token
from usual import client, open_sockets, told

pytestmark = pytest.mark.anyio


async def next_titles(events: Connection, count: int) -> list[tuple[str, str]]:
    """Channel and title of the next so many events."""
    found = []
    for _ in range(count):
        with anyio.fail_after(10):
            item = await anext(events)
        assert isinstance(item, Event)
        found.append((item.channel, item.data["title"]))
    return found


async def begun(events: Connection) -> None:
    """Read, while nothing comes, until every channel has begun."""
    with anyio.fail_after(10):
        while None in events.positions.values():
            with anyio.move_on_after(0.02):
                await anext(events)
                raise AssertionError("something came")


async def test_events_of_two_channels_come_on_one_socket(shared: Node) -> None:
    before = len(open_sockets())
    async with client(shared.url) as courier, courier.connect(token=token()) as events:
        events.subscribe("backtest.one")
        events.subscribe("backtest.two")
        await begun(events)
        assert len(open_sockets()) == before + 1
        for title in ("a", "b"):
            for channel in ("backtest.one", "backtest.two"):
                await courier.publish(*told(title, channel))
        came = await next_titles(events, 4)
        assert [title for channel, title in came if channel == "backtest.one"] == ["a", "b"]
        assert [title for channel, title in came if channel == "backtest.two"] == ["a", "b"]


async def test_a_channel_may_be_subscribed_while_somebody_waits_for_what_comes(shared: Node) -> None:
    async with client(shared.url) as courier, courier.connect(token=token()) as events:
        first = await courier.publish(*told("first", "backtest.late"))
        await courier.publish(*told("second", "backtest.late"))
        async with anyio.create_task_group() as tasks:
            came: list[tuple[str, str]] = []

            async def read() -> None:
                came.extend(await next_titles(events, 1))

            tasks.start_soon(read)
            await anyio.sleep(0.1)
            events.subscribe("backtest.late", since=first.position)
        assert came == [("backtest.late", "second")]


async def test_nothing_comes_of_a_channel_that_was_unsubscribed_and_it_may_come_again(shared: Node) -> None:
    async with client(shared.url) as courier, courier.connect(token=token()) as events:
        events.subscribe("backtest.gone")
        await begun(events)
        await courier.publish(*told("1", "backtest.gone"))
        position = (await anext(events)).id  # type: ignore[union-attr]
        events.unsubscribe("backtest.gone")
        events.unsubscribe("backtest.gone")
        await courier.publish(*told("2", "backtest.gone"))
        events.subscribe("backtest.stays")
        await begun(events)
        events.subscribe("backtest.gone", since=position)
        assert await next_titles(events, 1) == [("backtest.gone", "2")]
        with pytest.raises(ValueError, match="is subscribed already"):
            events.subscribe("backtest.gone")


async def test_a_channel_that_is_refused_ends_and_the_others_go_on(shared: Node) -> None:
    async with client(shared.url) as courier, courier.connect(token=token()) as events:
        events.subscribe("user.somebody-else")
        events.subscribe("backtest.stays")
        ended = await anext(events)
        assert ended == Ended("user.somebody-else", 1008, "Unauthorized access to channel", None)
        await begun(events)
        assert list(events.positions) == ["backtest.stays"]


async def test_a_token_that_is_refused_ends_the_connection(shared: Node) -> None:
    async with client(shared.url) as courier:
        with pytest.raises(SubscriptionRefused, match="Invalid token"):
            async with courier.connect(token="x.y.z"):
                pass


async def test_a_node_that_comes_back_is_come_back_to_and_each_channel_goes_on() -> None:
    with node() as one:
        async with client(one.url) as courier, courier.connect(token=token()) as events:
            for channel in ("backtest.a", "backtest.b"):
                events.subscribe(channel)
            await begun(events)
            for channel in ("backtest.a", "backtest.b"):
                await courier.publish(*told("before", channel))
            await next_titles(events, 2)
            one.kill()
            one.start()
            gaps: set[str] = set()
            with anyio.fail_after(20):
                while len(gaps) < 2:
                    item = await anext(events)
                    assert isinstance(item, Gap)  # in memory, a log ends with its node
                    gaps.add(item.channel)
            await courier.publish(*told("after", "backtest.b"))
            assert await next_titles(events, 1) == [("backtest.b", "after")]


def said(session: ConnectionSession, now: float = 0) -> dict[str, object]:
    """What is to be said next; it was sent."""
    text = session.to_say(now)
    assert text is not None
    session.has_said(now)
    found: dict[str, object] = json.loads(text)
    return found


def test_a_channel_that_ended_for_now_is_asked_for_again_where_it_was() -> None:
    wanted = {"a": Wanted("a", None)}
    session = ConnectionSession(0, wanted)
    assert session.to_say(0) is None
    session.hear('{"type":"courier.connected","connection_id":"c","user_id":"u","heartbeat_seconds":30}', 0)
    assert said(session) == {"type": "courier.subscribe", "ref": 0, "channel": "a"}
    position = '"position":"k3v9x0qa-1"'
    begun = f'{{"type":"courier.subscribed","ref":0,"channel":"a",{position},"recovered":false,"replayed":0}}'
    session.hear(begun, 0)
    end = f'{{"type":"courier.ended","ref":0,"channel":"a","code":4008,"reason":"Too slow",{position}}}'
    assert session.hear(end, 1) is None
    assert 1 <= session.next_at <= 1.5
    assert session.to_say(0.9) is None
    assert said(session, 2) == {"type": "courier.subscribe", "ref": 1, "channel": "a", "since": "k3v9x0qa-1"}


def test_an_event_of_an_ended_subscription_is_not_the_next_ones() -> None:
    wanted = {"a": Wanted("a", None)}
    session = ConnectionSession(0, wanted)
    session.hear('{"type":"courier.connected","connection_id":"c","user_id":"u","heartbeat_seconds":30}', 0)
    said(session)
    begun = '{"type":"courier.subscribed","ref":%d,"channel":"a","position":"k3v9x0qa-%d"'
    begun += ',"recovered":%s,"replayed":0}'
    session.hear(begun % (0, 1, "false"), 0)
    session.to_end.append(0)
    wanted["a"] = Wanted("a", "k3v9x0qa-1")
    assert said(session) == {"type": "courier.unsubscribe", "ref": 0}
    assert said(session)["ref"] == 1
    event = '{"id":"k3v9x0qa-%d","channel":"a","type":"t","source":"s","timestamp":"2026-12-01T12:00:00Z"}'
    assert session.hear(event % 2, 0) is None
    session.hear('{"type":"courier.ended","ref":0,"channel":"a","code":1000,"reason":"Unsubscribed"}', 0)
    session.hear(begun % (1, 1, "true"), 0)
    item = session.hear(event % 2, 0)
    assert isinstance(item, Event)
    assert session.next_at < math.inf


def test_an_end_has_the_position_behind_the_last_event_though_nobody_has_taken_that_yet() -> None:
    wanted = {"a": Wanted("a", None)}
    session = ConnectionSession(0, wanted)
    session.hear('{"type":"courier.connected","connection_id":"c","user_id":"u","heartbeat_seconds":30}', 0)
    said(session)
    position = '"position":"k3v9x0qa-%d"'
    begun = '{"type":"courier.subscribed","ref":0,"channel":"a",%s,"recovered":false,"replayed":0}'
    session.hear(begun % (position % 1), 0)
    event = '{"id":"k3v9x0qa-2","channel":"a","type":"t","source":"s","timestamp":"2026-12-01T12:00:00Z"}'
    assert isinstance(session.hear(event, 0), Event)
    end = '{"type":"courier.ended","ref":0,"channel":"a","code":1008'
    end += ',"reason":"Unauthorized access to channel",%s}'
    ended = session.hear(end % (position % 2), 0)
    assert ended == Ended("a", 1008, "Unauthorized access to channel", "k3v9x0qa-2")
    assert wanted == {}
