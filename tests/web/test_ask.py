"""Ask: a service says who may join; what it does not say is never made up."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio

from courier.lumiere import LumiereClaims
from courier.schemas import ChannelKind, Kinds, registry_for
from courier.schemas.closing import CloseReason
from courier.settings import SettingsError, load_settings
from courier.web.access import AccessUnknown
from courier.web.ask import (
    ALLOWED_SECONDS,
    MAX_ANSWER_BYTES,
    QUESTIONS_PER_USER,
    REFUSED_SECONDS,
    AccessUrl,
    check_asked,
)
from courier.web.auth import Identity, OwnToken, Verifier
from courier.web.grants import NOTHING
from tests.web.servers import a_server, token
from tests.web.test_ownership import Answer, HttpServer, says, serving

SETTINGS = load_settings({})
KINDS = Kinds([ChannelKind("order", join="ask", id_segments=2)])
ORDER = KINDS.parse("order.7.x")
YES, NO = says('{"allow": true}'), says('{"allow": false, "why": "not theirs"}')


def who(user_id: str = "alice", **claims: Any) -> Identity:
    said = {"user_id": user_id, "wallet_address": "w", "iat": 1, "exp": 2} | claims
    return Identity(LumiereClaims.model_validate(said), NOTHING, said)


@asynccontextmanager
async def asking(*answers: Answer, seconds: float = 5) -> AsyncIterator[tuple[HttpServer, AccessUrl]]:
    async with serving(*answers) as server, httpx.AsyncClient(timeout=None) as client:
        yield server, AccessUrl(client, f"{server.url}/may-join", OwnToken(SETTINGS), seconds)


async def test_the_question_has_all_that_the_token_says_and_couriers_own_token() -> None:
    async with asking(YES) as (server, access):
        assert await access.may_join(who(role="admin"), ORDER) is True
        [request] = server.requests
    head, _, body = request.partition("\r\n\r\n")
    assert head.startswith("POST /may-join HTTP/1.1")
    bearer = next(line for line in head.splitlines() if line.lower().startswith("authorization:")).split()[-1]
    assert (await Verifier(SETTINGS).service(bearer)).name == "courier"
    assert json.loads(body) == {
        "user_id": "alice",
        "channel": "order.7.x",
        "kind": "order",
        "ids": ["7", "x"],
        "claims": {"user_id": "alice", "wallet_address": "w", "iat": 1, "exp": 2, "role": "admin"},
    }


async def test_an_answer_is_remembered_for_the_user_the_channel_and_the_claims() -> None:
    async with asking(YES) as (server, access):
        for identity in (who(), who(iat=5, exp=9, jti="x", nbf=3)):
            assert await access.may_join(identity, ORDER)
        assert len(server.requests) == 1
        await access.may_join(who(role="admin"), ORDER)
        await access.may_join(who("bob"), ORDER)
        await access.may_join(who(), KINDS.parse("order.7.y"))
        assert len(server.requests) == 4
        access.forget("alice")
        await access.may_join(who("bob"), ORDER)
        assert len(server.requests) == 4
        await access.may_join(who(), ORDER)
        assert len(server.requests) == 5


async def test_a_no_is_remembered_shortly_and_a_yes_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("courier.web.ask.trio.current_time", lambda: now)
    for answer, seconds in ((YES, ALLOWED_SECONDS), (NO, REFUSED_SECONDS)):
        async with asking(answer) as (server, access):
            for later, asked in ((0.0, 1), (seconds - 1, 1), (seconds + 1, 2)):
                now = 1000.0 + later
                await access.may_join(who(), ORDER)
                assert len(server.requests) == asked


@pytest.mark.parametrize(
    "answer",
    [
        says('{"allow": "true"}'),
        says('{"allow": 1}'),
        says("{}"),
        says("[]"),
        says("true"),
        says("junk"),
        says('{"allow": true}', 201),
        says('{"allow": true}', 500),
        says("", 302, "Location: /elsewhere"),
        says(" " * MAX_ANSWER_BYTES + '{"allow": true}'),
    ],
)
async def test_what_is_no_answer_admits_nobody_and_is_not_remembered(answer: Answer) -> None:
    async with asking(answer, YES) as (server, access):
        with pytest.raises(AccessUnknown):
            await access.may_join(who(), ORDER)
        assert await access.may_join(who(), ORDER)
        assert len(server.requests) == 2


async def test_a_service_that_says_nothing_is_not_waited_for() -> None:
    async def silent(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with asking(silent, seconds=0.2) as (_, access):
        with trio.fail_after(5), pytest.raises(AccessUnknown):
            await access.may_join(who(), ORDER)


class Held:
    """An answer that is given when the test says so."""

    def __init__(self) -> None:
        self.asked = 0
        self.released = trio.Event()

    async def __call__(self, stream: trio.SocketStream) -> None:
        self.asked += 1
        await self.released.wait()
        await YES(stream)


async def test_all_who_ask_the_same_at_once_share_a_question_and_one_user_has_only_so_many() -> None:
    held, told = Held(), list[bool | None]()

    async def ask(access: AccessUrl, channel: str) -> None:
        try:
            told.append(await access.may_join(who(), KINDS.parse(channel)))
        except AccessUnknown:
            told.append(None)

    async with asking(held) as (server, access), trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask, access, "order.1.x")
        for number in range(2, QUESTIONS_PER_USER + 1):
            nursery.start_soon(ask, access, f"order.{number}.x")
        with trio.fail_after(5):
            while held.asked < QUESTIONS_PER_USER:
                await trio.sleep(0.01)
        await ask(access, "order.99.x")
        assert told == [None]
        held.released.set()
    assert told == [None] + [True] * (20 + QUESTIONS_PER_USER - 1)
    assert len(server.requests) == QUESTIONS_PER_USER


async def test_an_answer_that_was_asked_for_before_the_user_was_forgotten_is_not_remembered() -> None:
    held = Held()
    async with asking(held) as (server, access), trio.open_nursery() as nursery:
        nursery.start_soon(access.may_join, who(), ORDER)
        with trio.fail_after(5):
            while not held.asked:
                await trio.sleep(0.01)
        access.forget("alice")
        held.released.set()
        with trio.fail_after(5):
            while access._questions:
                await trio.sleep(0.01)
        assert await access.may_join(who(), ORDER)
    assert len(server.requests) == 2


async def test_a_kind_that_asks_without_anybody_to_ask_stops_the_start() -> None:
    kinds = registry_for(["tests.asked"]).kinds
    with pytest.raises(SettingsError) as refusal:
        check_asked(kinds, SETTINGS)
    assert str(refusal.value) == (
        "COURIER_ACCESS_URL must be set, because tests.asked declares the kind 'parcel' with join='ask'"
    )


async def test_a_node_asks_at_a_join_and_at_a_history_request() -> None:
    answers: list[Answer] = [YES, NO, says("junk")]
    async with (
        serving(*answers) as service,
        a_server(event_modules="tests.asked", access_url=service.url, publish_auth="off") as server,
    ):
        async with server.subscribe("parcel.1", token("a")):
            pass
        unauthorized = CloseReason.UNAUTHORIZED
        assert await server.refused(f"/ws/parcel.1?token={token('b')}") == (
            unauthorized.code,
            unauthorized.reason,
        )
        later = CloseReason.TRY_AGAIN_LATER
        assert await server.refused(f"/ws/parcel.1?token={token('c')}") == (later.code, later.reason)
        assert (await server.request("GET", f"/history/parcel.1?token={token('a')}")).status == 200
        assert (await server.request("GET", f"/history/parcel.1?token={token('c')}")).status == 503
