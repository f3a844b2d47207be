"""A session: what `courier.v1` adds to a subscription, and the life of its token."""

import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from courier.lumiere.ownership import Ownership
from courier.web import session, token_life
from courier.web.access import AccessUnknown
from courier.web.auth import KeysUnavailable, Verifier
from tests.web.servers import TestServer, a_server, closed, events, token
from tests.web.test_hypercorn import open_raw
from tests.web.test_join import (
    INVALID_TOKEN,
    TOKEN_EXPIRED,
    UNAUTHORIZED,
    connections,
    expired,
    publish_big,
    publish_numbers,
    refresh,
    titles,
)

SHUTTING_DOWN = (1001, "Server shutting down for maintenance")
NO_HEARTBEAT = (4009, "No heartbeat")
FAILED = (1011, "Channel failed")

V1 = ["courier.v1"]
PLAIN: list[dict[str, Any]] = [{}, {"subprotocols": ["courier.plain"]}]


@asynccontextmanager
async def a_session(
    server: TestServer, channel: str = "user.u1", bearer: str | None = None, query: str = ""
) -> AsyncIterator[tuple[WebSocketConnection, dict[str, Any]]]:
    """A subscriber by `courier.v1`, and what it was told first."""
    async with server.subscribe(channel, bearer, query, subprotocols=V1) as websocket:
        [joined] = await events(websocket, 1)
        assert joined["type"] == "courier.joined"
        yield websocket, joined


async def everything(websocket: WebSocketConnection) -> tuple[list[str], tuple[int, str | None]]:
    """Every message until the close, and the close."""
    messages = []
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            message = await websocket.get_message()
            assert isinstance(message, str)
            messages.append(message)
    assert caught.value.reason is not None
    return messages, (caught.value.reason.code, caught.value.reason.reason)


async def rest(websocket: WebSocketConnection) -> tuple[list[dict[str, Any]], tuple[int, str | None]]:
    """As `everything`, where no heartbeat comes."""
    messages, close = await everything(websocket)
    return [json.loads(message) for message in messages], close


async def answers_pings(websocket: WebSocketConnection) -> None:
    """It is served still; pings of the node's own may come first."""
    await websocket.send_message("ping")
    with trio.fail_after(5):
        while (message := await websocket.get_message()) == "ping":
            pass
    assert message == "pong"


def ending_in(seconds: int) -> tuple[str, int]:
    """A token that ends in so many seconds, or up to one less, and when."""
    exp = int(time.time()) + seconds
    return token(exp=exp), exp


# Joined


async def test_the_first_message_says_where_the_subscription_begins() -> None:
    async with a_server(heartbeat_seconds=7) as server:
        receipts = await publish_numbers(server, 0, 3)
        async with a_session(server) as (websocket, joined):
            connection_id = joined.pop("connection_id")
            assert list(joined.items()) == [
                ("type", "courier.joined"),
                ("channel", "user.u1"),
                ("position", receipts[-1]["id"]),
                ("recovered", False),
                ("replayed", 0),
                ("heartbeat_seconds", 7),
            ]
            assert len(connection_id) == 16
            await publish_numbers(server, 3, 4)
            assert titles(await events(websocket, 1)) == ["3"]
        async with a_session(server) as (_, other):
            assert other["connection_id"] != connection_id


async def test_the_position_of_an_empty_channel_is_safe_to_come_back_with() -> None:
    async with a_server() as server:
        async with a_session(server) as (_, joined):
            assert joined["position"].endswith("-0")
        await publish_numbers(server, 0, 2)
        async with a_session(server, query=f"&since={joined['position']}") as (websocket, again):
            assert (again["recovered"], again["replayed"]) == (True, 2)
            assert again["position"] == joined["position"]
            assert titles(await events(websocket, 2)) == ["0", "1"]


@pytest.mark.parametrize("back", [0, 1, 3])
async def test_who_comes_back_with_a_position_is_told_that_all_is_there_and_how_much_comes(back: int) -> None:
    async with a_server() as server:
        receipts = await publish_numbers(server, 0, 4)
        since = receipts[3 - back]["id"]
        async with a_session(server, query=f"&since={since}") as (websocket, joined):
            assert joined["position"] == since
            assert (joined["recovered"], joined["replayed"]) == (True, back)
            assert titles(await events(websocket, back)) == [str(n) for n in range(4 - back, 4)]


async def test_who_comes_back_with_a_time_is_told_so_too() -> None:
    async with a_server() as server:
        since = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        [receipt] = await publish_numbers(server, 0, 1)
        async with a_session(server, query=f"&since={since}") as (websocket, joined):
            assert (joined["recovered"], joined["replayed"]) == (True, 1)
            assert joined["position"] == receipt["id"].partition("-")[0] + "-0"
            assert titles(await events(websocket, 1)) == ["0"]


async def test_a_gap_follows_and_resumes_where_the_first_message_said() -> None:
    async with a_server(history_events=3) as server:
        receipts = await publish_numbers(server, 1, 7)
        async with a_session(server, query=f"&since={receipts[0]['id']}") as (websocket, joined):
            gap, *delivered = await events(websocket, 4)
        assert (joined["recovered"], joined["replayed"]) == (False, 3)
        assert joined["position"] == receipts[2]["id"] == gap["resumed_from"]
        assert (gap["type"], gap["reason"]) == ("courier.gap", "expired")
        assert titles(delivered) == ["4", "5", "6"]


async def test_a_gap_on_an_empty_channel_follows_at_once() -> None:
    async with a_server() as server, a_session(server, query="&since=zzzzzzz0-1") as (websocket, joined):
        assert (joined["recovered"], joined["replayed"]) == (False, 0)
        [gap] = await events(websocket, 1)
        assert (gap["reason"], gap["resumed_from"]) == ("unknown_position", joined["position"])


async def test_events_that_are_published_meanwhile_come_after_it_from_its_position_on() -> None:
    async with a_server() as server, trio.open_nursery() as nursery:
        nursery.start_soon(publish_numbers, server, 0, 150)
        for _ in range(10):
            async with a_session(server) as (websocket, joined):
                epoch, _, offset = joined["position"].partition("-")
                await publish_numbers(server, 0, 1)
                [event] = await events(websocket, 1)
                assert event["id"] == f"{epoch}-{int(offset) + 1}"


# Drain


@dataclass
class Follower:
    """A subscriber that keeps what it gets until it is closed."""

    messages: list[str] = field(default_factory=list)
    close: tuple[int, str | None] | None = None

    async def follow(
        self, server: TestServer, by: Sequence[str] = V1, *, task_status: trio.TaskStatus[None]
    ) -> None:
        async with server.subscribe(subprotocols=by or None) as websocket:
            if by == V1:
                await events(websocket, 1)
            task_status.started()
            self.messages, self.close = await everything(websocket)


async def test_before_a_drain_closes_it_each_subscriber_gets_its_events_and_then_a_slot_of_its_own() -> None:
    window_ms, followers = 4000, [Follower() for _ in range(50)]
    async with (
        trio.open_nursery() as nursery,
        a_server(drain_seconds=window_ms / 1000, returns_a_second=1) as server,
    ):
        for follower in followers:
            await nursery.start(follower.follow, server)
        await publish_numbers(server, 0, 20)
    slots = []
    for follower in followers:
        *delivered, last = map(json.loads, follower.messages)
        assert titles(delivered) == [str(number) for number in range(20)]
        assert last.keys() == {"type", "reconnect_in_ms"}
        assert last["type"] == "courier.drain"
        slots.append(last["reconnect_in_ms"])
        assert follower.close == SHUTTING_DOWN
    assert slots != sorted(slots)
    slots.sort()
    step = window_ms / len(slots)
    assert slots[0] == 0
    assert all(step * 0.8 < later - sooner < step * 1.1 for sooner, later in pairwise(slots))


async def test_a_lone_subscriber_may_come_back_at_once() -> None:
    follower = Follower()
    async with trio.open_nursery() as nursery, a_server() as server:
        await nursery.start(follower.follow, server)
    assert follower.messages == ['{"type":"courier.drain","reconnect_in_ms":0}']
    assert follower.close == SHUTTING_DOWN


async def test_a_subscriber_that_reads_nothing_does_not_hold_up_a_drain_by_its_last_word() -> None:
    async with a_server(drain_seconds=0.3) as server:
        stream = await open_raw(server, b"Sec-WebSocket-Protocol: courier.v1\r\n")
        await publish_big(server)
        asked = trio.current_time()
    assert trio.current_time() - asked < 4
    await trio.aclose_forcefully(stream)


# Others see nothing of it


@pytest.mark.parametrize("kwargs", PLAIN, ids=["no subprotocol", "courier.plain"])
async def test_without_it_a_subscriber_hears_events_and_the_heartbeat_only(
    kwargs: dict[str, Any], no_spread: None
) -> None:
    bearer, exp = ending_in(2)
    async with (
        a_server(heartbeat_seconds=0.2) as server,
        server.subscribe(bearer=bearer, **kwargs) as websocket,
    ):
        for unheard in (refresh(token(exp=exp + 60)), refresh("junk"), '{"type":"courier.refresh"}'):
            await websocket.send_message(unheard)
        await publish_numbers(server, 0, 1)
        with trio.fail_after(5):
            messages, close = await everything(websocket)
        assert close == TOKEN_EXPIRED
        assert exp <= time.time() < exp + 4
        assert [json.loads(text)["title"] for text in messages if text != "ping"] == ["0"]
        assert messages.count("ping") >= 2


@pytest.mark.parametrize("by", [[], ["courier.plain"]], ids=["no subprotocol", "courier.plain"])
async def test_without_it_a_drain_says_nothing_but_the_close(by: list[str]) -> None:
    follower = Follower()
    async with trio.open_nursery() as nursery, a_server() as server:
        await nursery.start(follower.follow, server, by)
    assert follower.messages == []
    assert follower.close == SHUTTING_DOWN


# Heartbeat


async def test_who_leaves_a_ping_unanswered_is_closed_when_it_has_had_its_time() -> None:
    async with a_server(heartbeat_seconds=0.3) as server, a_session(server) as (websocket, joined):
        started = trio.current_time()
        assert joined["heartbeat_seconds"] == 0.3
        with trio.fail_after(5):
            assert await websocket.get_message() == "ping"
            pinged = trio.current_time()
            assert pinged - started > 0.2
            assert await closed(websocket) == NO_HEARTBEAT
        assert 0.2 < trio.current_time() - pinged < 2


@pytest.mark.parametrize("word", ["pong", b""])
async def test_who_answers_a_ping_by_whatever_message_stays(word: str | bytes) -> None:
    async with a_server(heartbeat_seconds=0.2) as server, a_session(server) as (websocket, _):
        pings = 0
        with trio.fail_after(10):
            while pings < 4:
                if await websocket.get_message() == "ping":
                    pings += 1
                    await websocket.send_message(word)
        await answers_pings(websocket)


# What it may say


@pytest.mark.parametrize(
    "message",
    [
        "",
        "pong",
        "{",
        "[]",
        "null",
        '"courier.refresh"',
        "{}",
        '{"type":"courier.refreshed","token":"x"}',
        '{"type":["courier.refresh"]}',
        '{"token":"x"}',
        "[" * 5000,
        b"",
        b"\xff\xfe",
    ],
)
async def test_what_is_no_refresh_is_let_pass(message: str | bytes) -> None:
    async with a_server() as server, a_session(server) as (websocket, _):
        await websocket.send_message(message)
        await answers_pings(websocket)


# A new token


async def test_a_new_token_that_was_asked_for_carries_the_subscription_on(no_spread: None) -> None:
    bearer, exp = ending_in(2)
    async with a_server() as server, a_session(server, bearer=bearer) as (websocket, _):
        joined_at = time.time()
        [asked] = await events(websocket, 1)
        half = joined_at + (exp - joined_at) / 2
        assert half - 0.2 < time.time() < exp
        assert asked.keys() == {"type", "seconds_left"}
        assert asked["type"] == "courier.token_expiring"
        assert asked["seconds_left"] in (0, 1)
        new_exp = exp + 3600
        await websocket.send_message(refresh(token(exp=new_exp)))
        assert await events(websocket, 1) == [{"type": "courier.refreshed", "expires_at": iso(new_exp)}]
        await trio.sleep(exp + 0.3 - time.time())
        await publish_numbers(server, 0, 1)
        assert titles(await events(websocket, 1)) == ["0"], "it has outlived the first token"


def iso(exp: int) -> str:
    return datetime.fromtimestamp(exp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_a_new_token_may_come_unasked_as_text_or_binary_and_count_for_less(no_spread: None) -> None:
    async with a_server() as server, a_session(server) as (websocket, _):
        bearer, exp = ending_in(2)
        await websocket.send_message(refresh(bearer).encode())
        told, asked = await events(websocket, 2)
        assert told == {"type": "courier.refreshed", "expires_at": iso(exp)}
        assert asked["type"] == "courier.token_expiring"
        with trio.fail_after(5):
            assert await rest(websocket) == ([], TOKEN_EXPIRED), "it is asked once"
        assert time.time() >= exp


@pytest.mark.parametrize(
    ("message", "close"),
    [
        pytest.param(lambda: refresh(expired()), TOKEN_EXPIRED, id="expired"),
        pytest.param(lambda: refresh(token("u2")), UNAUTHORIZED, id="another user's"),
        pytest.param(
            lambda: refresh(token(secret="another secret of thirty-two bytes")),
            INVALID_TOKEN,
            id="another secret",
        ),
        pytest.param(lambda: refresh(token(wallet_address=None)), INVALID_TOKEN, id="a claim is missing"),
        pytest.param(lambda: refresh("junk"), INVALID_TOKEN, id="junk"),
        pytest.param(lambda: refresh("x" * 9000), INVALID_TOKEN, id="longer than any token"),
        pytest.param(lambda: refresh(""), INVALID_TOKEN, id="empty"),
        pytest.param(lambda: '{"type":"courier.refresh","token":null}', INVALID_TOKEN, id="null"),
        pytest.param(lambda: '{"type":"courier.refresh"}', INVALID_TOKEN, id="no token"),
        pytest.param(
            lambda: json.dumps({"type": "courier.refresh", "token": token(), "since": "x"}),
            INVALID_TOKEN,
            id="a field too many",
        ),
    ],
)
async def test_a_new_token_that_is_not_good_ends_the_subscription_as_it_would_end_a_join(
    message: Callable[[], str], close: tuple[int, str]
) -> None:
    async with a_server() as server, a_session(server, "global") as (websocket, _):
        await websocket.send_message(message())
        with trio.fail_after(5):
            assert await rest(websocket) == ([], close)


class Owner:
    """Whose the strategies are: what Architect says, now one thing and then another."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.say: Callable[[], Awaitable[str | None]] = self.u1
        monkeypatch.setattr(Ownership, "owner_of", lambda _, strategy_id: self.say())

    async def u1(self) -> str | None:
        return "u1"

    async def nobody(self) -> str | None:
        return None

    async def silence(self) -> str | None:
        raise AccessUnknown


ARCHITECT = {"architect_url": "http://127.0.0.1:1"}


async def test_who_has_lost_its_strategy_meanwhile_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = Owner(monkeypatch)
    async with a_server(**ARCHITECT) as server, a_session(server, "strategy.s1") as (websocket, _):
        owner.say = owner.nobody
        await websocket.send_message(refresh(token()))
        assert await rest(websocket) == ([], UNAUTHORIZED)


@pytest.mark.parametrize("away", ["keys", "owners"])
async def test_while_nobody_can_judge_a_new_token_the_old_one_counts_and_the_new_one_may_come_again(
    away: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "REFRESH_SECONDS", 0.05)
    owner = Owner(monkeypatch)
    subscriber = Verifier.subscriber_nowait

    def no_keys(self: Verifier, token: str | None) -> Any:
        raise KeysUnavailable

    async with a_server(**ARCHITECT) as server, a_session(server, "strategy.s1") as (websocket, _):
        if away == "keys":
            monkeypatch.setattr(Verifier, "subscriber_nowait", no_keys)
        else:
            owner.say = owner.silence
        await websocket.send_message(refresh(token()))
        await answers_pings(websocket)
        monkeypatch.setattr(Verifier, "subscriber_nowait", subscriber)
        owner.say = owner.u1
        await websocket.send_message(refresh(token()))
        [told] = await events(websocket, 1)
        assert told["type"] == "courier.refreshed"


async def test_a_fault_of_ours_ends_that_subscription_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fault() -> str | None:
        raise ZeroDivisionError

    owner = Owner(monkeypatch)
    async with (
        a_server(**ARCHITECT) as server,
        a_session(server, "strategy.s1") as (websocket, _),
        a_session(server, "strategy.s1") as (other, _),
    ):
        owner.say = fault
        await websocket.send_message(refresh(token()))
        assert await rest(websocket) == ([], FAILED)
        await answers_pings(other)


async def test_of_new_tokens_in_a_row_one_a_second_is_judged_and_the_rest_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "REFRESH_SECONDS", 0.5)
    async with a_server() as server, a_session(server) as (websocket, _):
        started = trio.current_time()
        for message in (refresh(token()), refresh(token(exp=2_000_000_000)), "ping"):
            await websocket.send_message(message)
        [told] = await events(websocket, 1)
        assert await websocket.get_message() == "pong"
        assert trio.current_time() - started < 0.4
        [again] = await events(websocket, 1)
        assert 0.4 < trio.current_time() - started < 1.5
        assert told["type"] == "courier.refreshed"
        assert again == {"type": "courier.refreshed", "expires_at": "2033-05-18T03:33:20Z"}
    assert session.REFRESH_SECONDS == 0.5


def test_a_second_is_how_long_the_next_one_waits() -> None:
    assert session.REFRESH_SECONDS == 1


class SlowOwner(Owner):
    """Its answer comes when the test says so; until then nothing can stop the question."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(monkeypatch)
        self.asked = trio.Event()
        self.answered = trio.Event()

    async def late(self) -> str | None:
        self.asked.set()
        with trio.CancelScope(shield=True):
            await self.answered.wait()
        return "u1"

    @asynccontextmanager
    async def slow(self) -> AsyncIterator[None]:
        """It answers when the block is over."""
        self.say = self.late
        try:
            yield
        finally:
            self.answered.set()


async def test_a_question_without_an_answer_does_not_hold_up_the_tokens_end(
    monkeypatch: pytest.MonkeyPatch, no_spread: None
) -> None:
    owner = SlowOwner(monkeypatch)
    bearer, exp = ending_in(2)
    async with a_server(**ARCHITECT) as server, a_session(server, "strategy.s1", bearer) as (websocket, _):
        async with owner.slow():
            await websocket.send_message(refresh(token()))
            with trio.fail_after(5):
                [asked], close = await rest(websocket)
        assert (asked["type"], close) == ("courier.token_expiring", TOKEN_EXPIRED)
        assert owner.asked.is_set()
        assert exp <= time.time() < exp + 1


async def test_a_question_without_an_answer_does_not_hold_up_a_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = SlowOwner(monkeypatch)

    async def follow(server: TestServer) -> None:
        async with a_session(server, "strategy.s1") as (websocket, _), owner.slow():
            await websocket.send_message(refresh(token()))
            with trio.fail_after(5):
                [drain], close = await rest(websocket)
            assert (drain["type"], close) == ("courier.drain", SHUTTING_DOWN)

    async with trio.open_nursery() as nursery, a_server(**ARCHITECT) as server:
        nursery.start_soon(follow, server)
        await owner.asked.wait()


# The end of a token


async def test_those_who_signed_in_together_do_not_end_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_life, "SPREAD_SECONDS", 1.5)
    bearer, exp = ending_in(2)
    ended: list[float] = []

    async def follow(server: TestServer, by: list[str], task_status: trio.TaskStatus[None]) -> None:
        async with server.subscribe(bearer=bearer, subprotocols=by) as websocket:
            task_status.started()
            assert await closed(websocket) == TOKEN_EXPIRED
            ended.append(time.time() - exp)

    async with a_server() as server:
        async with trio.open_nursery() as nursery:
            for by in (V1, ["courier.plain"]) * 15:
                await nursery.start(follow, server, by)
        assert await connections(server) == 0
    assert min(ended) >= 0
    assert max(ended) < 2.5
    tenths = {math.floor(late * 10) for late in ended}
    assert len(tenths) >= 5
