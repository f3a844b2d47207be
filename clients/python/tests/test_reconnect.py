"""Subscribing to a server that plays by a script: closes, breaks, and what must follow from each."""

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from courier_client import Gap, SubscriptionRefused, TokenFailed, reading, websocket
from courier_client.backoff import Backoff
from courier_client.closing import CLOSE_REASONS, ComeBack
from fakes import Peer, event_at, fake_http, fake_websockets, refused
from usual import client, next_event, titles

pytestmark = pytest.mark.anyio

Script = Callable[[Peer], Awaitable[None]]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long to come back."""
    monkeypatch.setattr(reading, "BACKOFF", Backoff(0.01, 0.05))


def closing(code: int, reason: str, *offsets: int) -> Script:
    """Join, deliver some events, and close."""

    async def script(peer: Peer) -> None:
        await peer.join()
        await peer.tell(*offsets)
        await peer.close(code, reason)
        await peer.until_closed()

    return script


def going_on(*offsets: int) -> Script:
    """Join, deliver some events, and stay."""

    async def script(peer: Peer) -> None:
        await peer.join(recovered=True, position=f"k3v9x0qa-{offsets[0] - 1}")
        await peer.tell(*offsets)
        await peer.until_closed()

    return script


COMING_BACK = [
    key for key, what in CLOSE_REASONS.items() if what not in (ComeBack.NO, ComeBack.WITH_NEW_TOKEN)
]
STAYING_AWAY = [key for key, what in CLOSE_REASONS.items() if what is ComeBack.NO]
NEW_TOKEN = [key for key, what in CLOSE_REASONS.items() if what is ComeBack.WITH_NEW_TOKEN]


@pytest.mark.parametrize(("code", "reason"), [*COMING_BACK, (1000, ""), (1011, "?"), (1002, ""), (4999, "?")])
async def test_after_this_close_it_comes_back_by_its_position(code: int, reason: str) -> None:
    async with fake_websockets(closing(code, reason, 1, 2), going_on(3)) as fake, client(fake.url) as courier:
        async with courier.subscribe("global") as events:
            assert await titles(events, 3) == ["1", "2", "3"]
    assert [peer.path for peer in fake.peers] == ["/ws/global", "/ws/global?since=k3v9x0qa-2"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [*STAYING_AWAY, *NEW_TOKEN, (1008, "Something new"), (1009, "A proxy's limit")],
)
async def test_after_this_close_it_raises_and_stays_away(code: int, reason: str) -> None:
    async with fake_websockets(closing(code, reason, 1)) as fake, client(fake.url) as courier:
        events = courier.subscribe("global")
        assert await titles(events, 1) == ["1"]
        with pytest.raises(SubscriptionRefused) as caught:
            await anext(events)
        assert (caught.value.code, caught.value.reason) == (code, reason)
        await anyio.sleep(0.05)
    assert len(fake.peers) == 1


@pytest.mark.parametrize(("code", "reason"), NEW_TOKEN)
async def test_after_this_close_it_comes_back_with_a_fresh_token(code: int, reason: str) -> None:
    given = iter(["first", "second"])
    async with fake_websockets(closing(code, reason, 1), going_on(2)) as fake, client(fake.url) as courier:
        async with courier.subscribe("global", token=lambda: next(given)) as events:
            assert await titles(events, 2) == ["1", "2"]
    assert [peer.headers["authorization"] for peer in fake.peers] == ["Bearer first", "Bearer second"]


async def test_tokens_that_let_it_join_and_end_at_once_are_not_asked_for_in_haste(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[int] = []

    def wait(backoff: Backoff, attempt: int) -> float:
        waits.append(attempt)
        return 0

    monkeypatch.setattr(Backoff, "seconds", wait)
    ended = [closing(1008, "Token expired") for _ in range(4)]
    async with fake_websockets(*ended, going_on(1)) as fake, client(fake.url) as courier:
        async with courier.subscribe("global", token=lambda: "fresh") as events:
            assert await titles(events, 1) == ["1"]
    assert waits == [0, 1, 2, 3]


async def test_the_token_is_in_the_header_and_nowhere_else() -> None:
    async with fake_websockets(going_on(1)) as fake, client(fake.url) as courier:
        async with courier.subscribe("global", token="secret") as events:
            await titles(events, 1)
    [peer] = fake.peers
    assert peer.headers["authorization"] == "Bearer secret"
    assert (peer.path, peer.offered) == ("/ws/global", ["courier.v1"])


async def test_it_comes_back_after_a_drain_no_sooner_than_at_its_slot() -> None:
    async def drain(peer: Peer) -> None:
        await peer.join()
        await peer.tell(1)
        await peer.say({"type": "courier.drain", "reconnect_in_ms": 300})
        await peer.close(1001, "Server shutting down for maintenance")
        await peer.until_closed()

    async with fake_websockets(drain, going_on(2)) as fake, client(fake.url) as courier:
        async with courier.subscribe("global") as events:
            assert await titles(events, 2) == ["1", "2"]
    first, second = fake.times
    assert 0.3 <= second - first < 0.6


async def test_a_connection_that_breaks_in_the_middle_of_an_event_gives_that_event_once() -> None:
    async def broken(peer: Peer) -> None:
        await peer.join()
        await peer.tell(1)
        frame = json.dumps(event_at(2)).encode()
        await peer.raw(bytes([0x81, 126]) + len(frame).to_bytes(2, "big") + frame[:50])

    async with fake_websockets(broken, going_on(2, 3)) as fake, client(fake.url) as courier:
        async with courier.subscribe("global") as events:
            assert await titles(events, 3) == ["1", "2", "3"]
    assert fake.peers[1].path == "/ws/global?since=k3v9x0qa-1"


async def test_a_gap_that_got_lost_with_its_connection_is_told_by_the_next_one() -> None:
    async def only_joined(peer: Peer) -> None:
        await peer.join("k3v9x0qa-9")

    async def with_gap(peer: Peer) -> None:
        await peer.join("k3v9x0qa-9")
        await peer.say(
            {"type": "courier.gap", "channel": "global", "requested": "k3v9x0qa-1",
             "resumed_from": "k3v9x0qa-9", "reason": "expired"}
        )  # fmt: skip
        await peer.tell(10)
        await peer.until_closed()

    async with fake_websockets(only_joined, with_gap) as fake, client(fake.url) as courier:
        events = courier.subscribe("global", since="k3v9x0qa-1")
        assert await anext(events) == Gap("global", "k3v9x0qa-1", "k3v9x0qa-9", "expired")
        assert await titles(events, 1) == ["10"]
        assert events.position == "k3v9x0qa-10"
    assert fake.peers[1].path == "/ws/global?since=k3v9x0qa-1"


@pytest.mark.parametrize("text", ["no json", '{"type":"system.announcement"}', "[]"])
async def test_a_message_that_is_none_ends_the_connection_and_not_the_subscription(text: str) -> None:
    async def odd(peer: Peer) -> None:
        await peer.join()
        await peer.tell(1)
        await anyio.sleep(0.05)
        await peer.say(text)
        await peer.until_closed()

    async with fake_websockets(odd, going_on(2)) as fake, client(fake.url) as courier:
        async with courier.subscribe("global") as events:
            assert await titles(events, 2) == ["1", "2"]


async def test_an_event_that_is_larger_than_is_taken_ends_the_subscription(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "MESSAGE_CHARACTERS", 1000)

    async def large(peer: Peer) -> None:
        await peer.join()
        await peer.say(event_at(1) | {"message": "m" * 1000})
        await peer.until_closed()

    async with fake_websockets(large) as fake, client(fake.url) as courier:
        with pytest.raises(SubscriptionRefused, match="1009"):
            await anext(courier.subscribe("global"))
        while fake.peers[0].close_code is None:
            await anyio.sleep(0.01)
        assert fake.peers[0].close_code == 1009


async def test_pings_of_the_protocol_and_fragments_are_understood() -> None:
    async def script(peer: Peer) -> None:
        await peer.join()
        await peer.raw(bytes([0x89, 2]) + b"hi")
        frame = json.dumps(event_at(1)).encode()
        await peer.raw(bytes([0x01, 20]) + frame[:20])
        await peer.raw(bytes([0x80, 126]) + len(frame[20:]).to_bytes(2, "big") + frame[20:])
        await peer.until_closed()

    async with fake_websockets(script) as fake, client(fake.url) as courier:
        async with courier.subscribe("global") as events:
            assert await titles(events, 1) == ["1"]
            with anyio.move_on_after(0.1):
                await anext(events)
    [peer] = fake.peers
    assert peer.pongs == [b"hi"]


async def test_pings_are_answered_and_sent() -> None:
    heard: list[str] = []

    async def script(peer: Peer) -> None:
        await peer.join(heartbeat_seconds=0.2)
        await peer.say("ping")
        heard.append(await peer.hear())
        heard.append(await peer.hear())
        await peer.say("pong")
        await peer.tell(1)
        await peer.until_closed()

    async with fake_websockets(script) as fake, client(fake.url) as courier:
        async with courier.subscribe("global") as events:
            assert await titles(events, 1) == ["1"]
    assert heard == ["pong", "ping"]


async def test_a_new_token_that_is_not_confirmed_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "REFRESH_AGAIN_SECONDS", 0.1)
    heard: list[Any] = []

    async def script(peer: Peer) -> None:
        await peer.join()
        await peer.say({"type": "courier.token_expiring", "seconds_left": 60})
        heard.extend([json.loads(await peer.hear()), json.loads(await peer.hear())])
        await peer.say({"type": "courier.refreshed", "expires_at": "2026-01-31T12:00:00Z"})
        await anyio.sleep(0.25)
        await peer.tell(1)
        await peer.until_closed()

    given = iter(["first", "second"])
    async with fake_websockets(script) as fake, client(fake.url) as courier:
        async with courier.subscribe("global", token=lambda: next(given)) as events:
            assert await titles(events, 1) == ["1"]
    assert heard == [{"type": "courier.refresh", "token": "second"}] * 2


async def test_a_callable_that_fails_before_the_token_ends_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "REFRESH_AGAIN_SECONDS", 0.05)
    asked = 0

    def give() -> str:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise OSError("the vault is closed")
        return f"token-{asked}"

    async def script(peer: Peer) -> None:
        await peer.join()
        await peer.say({"type": "courier.token_expiring", "seconds_left": 60})
        assert json.loads(await peer.hear())["token"] == "token-3"
        await peer.tell(1)
        await peer.until_closed()

    async with fake_websockets(script) as fake, client(fake.url) as courier:
        async with courier.subscribe("global", token=give) as events:
            assert await titles(events, 1) == ["1"]


async def test_a_callable_that_hangs_holds_no_event_up_beyond_the_tokens_end() -> None:
    async def give() -> str:
        if started:
            await anyio.sleep_forever()
        started.append(time.monotonic())
        return "token"

    async def script(peer: Peer) -> None:
        await peer.join()
        await peer.say({"type": "courier.token_expiring", "seconds_left": 0.2})
        await peer.tell(1)
        await peer.until_closed()

    started: list[float] = []
    async with fake_websockets(script) as fake, client(fake.url) as courier:
        async with courier.subscribe("global", token=give) as events:
            assert await titles(events, 1) == ["1"]


async def test_without_a_callable_the_warning_of_a_tokens_end_is_passed_over() -> None:
    async def script(peer: Peer) -> None:
        await peer.join()
        await peer.say({"type": "courier.token_expiring", "seconds_left": 60})
        await peer.tell(1)
        await peer.until_closed()
        raise AssertionError

    async with fake_websockets(script) as fake, client(fake.url) as courier:
        async with courier.subscribe("global", token="token") as events:
            assert await titles(events, 1) == ["1"]


async def test_no_token_at_all_ends_the_subscription() -> None:
    def give() -> str:
        raise OSError("the vault is closed")

    async with client("http://127.0.0.1:1") as courier:
        events = courier.subscribe("global", token=give)
        with pytest.raises(TokenFailed):
            await anext(events)
        assert [event async for event in events] == []


@pytest.mark.parametrize("status", [403, 404])
async def test_a_join_that_is_answered_by_a_lasting_http_status_is_refused(status: int) -> None:
    async def answer(_: object) -> tuple[int, dict[str, str], bytes]:
        return refused(status)

    async with fake_http(answer) as fake, client(fake.url) as courier:
        with pytest.raises(SubscriptionRefused, match=str(status)):
            await anext(courier.subscribe("global"))


async def test_a_join_that_is_answered_by_a_passing_http_status_is_repeated() -> None:
    async def answer(_: object) -> tuple[int, dict[str, str], bytes]:
        return refused(503 if len(fake.asked) < 4 else 403)

    async with fake_http(answer) as fake, client(fake.url) as courier:
        with pytest.raises(SubscriptionRefused, match="403"):
            await anext(courier.subscribe("global"))
    assert len(fake.asked) == 4


async def test_a_server_that_does_not_speak_couriers_subprotocol_is_refused() -> None:
    async def script(peer: Peer) -> None:
        await peer.open(subprotocol=None)
        await peer.until_closed()

    async with fake_websockets(script) as fake, client(fake.url) as courier:
        with pytest.raises(SubscriptionRefused, match=r"courier\.v1"):
            await anext(courier.subscribe("global"))


async def test_the_waits_grow_while_nothing_comes_and_start_anew_once_something_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts: list[int] = []

    class Noted(Backoff):
        def seconds(self, attempt: int) -> float:
            attempts.append(attempt)
            return 0.0

    monkeypatch.setattr(reading, "BACKOFF", Noted(0, 0))

    async def silent(peer: Peer) -> None:
        await peer.join()

    async def useful(peer: Peer) -> None:
        await peer.join()
        await anyio.sleep(0.05)
        await peer.tell(1)

    scripts = [silent, silent, useful, silent, going_on(2)]
    async with fake_websockets(*scripts) as fake, client(fake.url) as courier:
        async with courier.subscribe("global") as events:
            assert await titles(events, 2) == ["1", "2"]
    assert attempts == [0, 1, 0, 1]


async def test_a_subscription_that_waits_to_come_back_ends_at_once_when_it_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "BACKOFF", Backoff(60, 60, random=lambda: 1.0))
    async with client("http://127.0.0.1:1") as courier, anyio.create_task_group() as tasks:
        events = courier.subscribe("global")
        got: list[Any] = []

        async def listen() -> None:
            got.extend([event async for event in events])
            got.append("the end")

        tasks.start_soon(listen)
        await anyio.sleep(0.1)
        events.close()
        with anyio.fail_after(5):
            while not got:
                await anyio.sleep(0.01)
    assert got == ["the end"]


async def test_an_event_may_be_as_large_as_nodes_can_be_set_to_take() -> None:
    text = "m" * 17_000_000

    async def script(peer: Peer) -> None:
        await peer.join()
        await peer.say(event_at(1) | {"message": text})
        await peer.until_closed()

    async with fake_websockets(script) as fake, client(fake.url) as courier:
        async with courier.subscribe("global") as events:
            assert (await next_event(events)).data["message"] == text
