"""Taking access back: what a token has opened ends, and it opens nothing more."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from courier.schemas.closing import CloseReason
from tests.web.servers import Response, TestServer, a_server, announcement, closed, token
from tests.web.test_ownership import says, serving
from tests.web.test_publish import service_token

REVOKED = (CloseReason.TOKEN_REVOKED.code, CloseReason.TOKEN_REVOKED.reason)
LATER = (CloseReason.TRY_AGAIN_LATER.code, CloseReason.TRY_AGAIN_LATER.reason)
LOCAL = {"Host": "localhost", "Content-Type": "application/json"}


@pytest.fixture(params=["on", "off"], ids=["the desk", "the general path"])
async def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[TestServer]:
    monkeypatch.setenv("COURIER_TEST_DESK", request.param)
    async with a_server(publish_auth="required", rate_limit=0, max_connections_per_user=0) as server:
        yield server


async def ask(server: TestServer, method: str, path: str, said: Any = None) -> Response:
    body = None if said is None else json.dumps(said).encode()
    return await server.request(method, path, body, LOCAL)


async def revoke(server: TestServer, **said: Any) -> dict[str, Any]:
    answer = await ask(server, "POST", "/admin/revocations", said)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


async def test_a_revoked_users_sockets_close_and_its_tokens_open_nothing_more(server: TestServer) -> None:
    old = token("alice")
    async with (
        server.subscribe("user.alice", old) as one,
        server.subscribe("global", old) as two,
        server.subscribe("user.bob", token("bob")) as other,
    ):
        answer = await revoke(server, user_id="alice")
        assert await closed(one) == await closed(two) == REVOKED
        await other.send_message("ping")
        assert await other.get_message() == "pong"
    assert set(answer) == {"status", "id", "user_id", "issued_before", "expires_at"}
    assert (answer["status"], answer["user_id"]) == ("revoked", "alice")
    assert abs(answer["issued_before"] - time.time()) < 5
    assert await server.refused(f"/ws/user.alice?token={old}") == REVOKED
    history = await server.request("GET", f"/history/user.alice?token={old}")
    assert (history.status, history.error) == (401, {"error": "Token revoked"})
    new = token("alice", iat=int(time.time()) + 5)
    async with server.subscribe("user.alice", new):
        pass


async def test_a_refresh_with_a_revoked_token_ends_the_subscription(server: TestServer) -> None:
    await revoke(server, token_id="stolen")
    async with server.subscribe("user.u1", token(), subprotocols=["courier.v1"]) as websocket:
        await websocket.get_message()
        await websocket.send_message(json.dumps({"type": "courier.refresh", "token": token(jti="stolen")}))
        assert await closed(websocket) == REVOKED


async def test_one_token_is_revoked_by_its_id_also_when_it_came_by_a_refresh(server: TestServer) -> None:
    async with (
        server.subscribe("user.u1", token(jti="a"), subprotocols=["courier.v1"]) as one,
        server.subscribe("user.u1", token(jti="b")) as two,
    ):
        await one.get_message()
        await one.send_message(json.dumps({"type": "courier.refresh", "token": token(jti="c")}))
        assert "courier.refreshed" in await one.get_message()
        await revoke(server, token_id="a")
        await revoke(server, token_id="c")
        assert await closed(one) == REVOKED
        await two.send_message("ping")
        assert await two.get_message() == "pong"
    assert await server.refused(f"/ws/user.u1?token={token(jti='a')}") == REVOKED


async def test_a_moment_ahead_counts_for_tokens_of_fast_clocks(server: TestServer) -> None:
    ahead = int(time.time()) + 20
    await revoke(server, user_id="u1", issued_before=ahead)
    assert await server.refused(f"/ws/user.u1?token={token(iat=ahead)}") == REVOKED
    async with server.subscribe("user.u1", token(iat=ahead + 1)):
        pass


async def test_a_revoked_service_publishes_nothing_more_known_or_not(server: TestServer) -> None:
    def bearer(**claims: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {service_token('tests', **claims)}"}

    async def publish(given: dict[str, str], **more: str) -> Response:
        return await server.publish("user.u1", announcement(), **given, **more)

    old = bearer()
    assert (await publish(old, Idempotency_Key="k")).status == 200
    await revoke(server, service="tests")
    for again in (await publish(old), await publish(old, Idempotency_Key="k")):
        assert (again.status, again.error) == (401, {"error": "Token revoked"})
    batch = json.dumps({"events": [{"channel": "user.u1", "data": announcement()}]}).encode()
    headers = {"X-Service-Name": "tests", "Content-Type": "application/json", **old}
    assert (await server.request("POST", "/publish/batch", batch, headers)).status == 401
    assert (await publish(bearer(iat=int(time.time()) + 5))).status == 200


@pytest.mark.parametrize("who", ["subscriber", "service"])
async def test_a_token_that_lasts_longer_than_its_revocation_would_is_warned_of_once(
    who: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_server(publish_auth="required", revocation_seconds=60) as server:
        for _ in range(2):
            if who == "subscriber":
                async with server.subscribe("global", token()):
                    pass
            else:
                bearer = {"Authorization": f"Bearer {service_token('tests')}"}
                assert (await server.publish("global", announcement(), **bearer)).status == 200
    assert capsys.readouterr().err.count("Token outlives revocations") == 1


async def test_how_many_are_remembered_is_a_metric(server: TestServer) -> None:
    for number in range(3):
        await revoke(server, user_id=f"u{number}")
    text = (await ask(server, "GET", "/metrics")).body.decode()
    assert "\ncourier_revocations 3.0\n" in text


async def test_a_stream_of_lines_ends_at_the_line_at_which_its_token_was_revoked(server: TestServer) -> None:
    line = json.dumps({"channel": "user.u1", "data": announcement()}).encode() + b"\n"
    head = (
        "POST /publish/batch HTTP/1.1\r\nHost: t\r\nX-Service-Name: tests\r\n"
        "Content-Type: application/x-ndjson\r\n"
        f"Authorization: Bearer {service_token('tests')}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()
    chunk = b"%x\r\n%b\r\n" % (len(line), line)
    async with server.subscribe() as websocket, await server.connect() as stream:
        await stream.send_all(head + chunk)
        await websocket.get_message()
        await revoke(server, service="tests")
        await stream.send_all(chunk)
        answer = b""
        with trio.fail_after(5):
            while b"failures" not in answer:
                answer += await stream.receive_some()
    told = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (told["published"], told["failed"], told["last_line"]) == (1, 1, 2)
    assert (told["failures"][0]["code"], told["failures"][0]["error"]) == (401, "Token revoked")


async def test_they_are_listed_and_taken_back(server: TestServer) -> None:
    first = await revoke(server, user_id="alice")
    await revoke(server, service="shop", keep_seconds=5)
    page = (await ask(server, "GET", "/admin/revocations")).json
    assert (page["total"], page["limit"], page["offset"]) == (2, 50, 0)
    assert page["revocations"][0]["id"] == first["id"]
    found = (await ask(server, "GET", "/admin/revocations?search=shop&limit=1")).json
    assert [each["service"] for each in found["revocations"]] == ["shop"]

    taken = await ask(server, "DELETE", f"/admin/revocations/{first['id']}")
    assert (taken.status, taken.json) == (200, {"status": "taken_back", "id": first["id"]})
    assert (await ask(server, "DELETE", f"/admin/revocations/{first['id']}")).status == 404
    assert (await ask(server, "GET", "/admin/revocations")).json["total"] == 1
    async with server.subscribe("user.alice", token("alice")):
        pass


@pytest.mark.parametrize(
    "said",
    [{}, [], {"user_id": "a", "service": "b"}, {"user_id": ""}, {"user_id": 7}, {"users": "a"},
     {"service": "The Shop"}, {"token_id": "a", "issued_before": 1}, {"user_id": "a", "issued_before": "now"},
     {"user_id": "a", "keep_seconds": 0}],
)  # fmt: skip
async def test_a_body_that_does_not_say_what_is_to_be_revoked_is_400(server: TestServer, said: Any) -> None:
    answer = await ask(server, "POST", "/admin/revocations", said)
    assert (answer.status, answer.error["error"].startswith("Expected a JSON object with one of")) == (
        400,
        True,
    )
    assert (await ask(server, "GET", "/admin/revocations")).json["total"] == 0


async def test_only_who_may_see_everything_may_revoke(server: TestServer) -> None:
    body = b'{"user_id":"u1"}'
    for method, path in (
        ("POST", "/admin/revocations"),
        ("POST", "/admin/disconnect"),
        ("GET", "/admin/revocations"),
    ):
        assert (await server.request(method, path, body if method == "POST" else None)).status == 403


async def test_a_user_is_disconnected_and_may_come_back(server: TestServer) -> None:
    async with server.subscribe("user.u1") as one, server.subscribe("global", token("u2")) as other:
        answer = await ask(server, "POST", "/admin/disconnect", {"user_id": "u1"})
        assert (answer.status, answer.json) == (200, {"status": "disconnecting", "connections": 1})
        assert await closed(one) == LATER
        await other.send_message("ping")
        assert await other.get_message() == "pong"
    async with server.subscribe("user.u1"):
        pass
    assert (await ask(server, "POST", "/admin/disconnect", {})).status == 400


@pytest.mark.parametrize("said", [{"user_id": "u1"}, {"token_id": "slow"}])
async def test_a_token_that_is_revoked_while_a_service_is_asked_opens_nothing(said: dict[str, str]) -> None:
    asked, released = trio.Event(), trio.Event()

    async def slow(stream: trio.SocketStream) -> None:
        asked.set()
        await released.wait()
        await says('{"allow": true}')(stream)

    closes: list[tuple[int, str | None]] = []

    async def join(server: TestServer) -> None:
        closes.append(await server.refused(f"/ws/parcel.1?token={token(jti='slow')}"))

    async with (
        serving(slow) as service,
        a_server(event_modules="tests.asked", access_url=service.url, publish_auth="off") as server,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(join, server)
        with trio.fail_after(5):
            await asked.wait()
        await revoke(server, **said)
        released.set()
    assert closes == [REVOKED]


async def test_a_stream_of_lines_without_tokens_is_not_asked_for_one() -> None:
    async with a_server(publish_auth="off") as server:
        await revoke(server, service="tests")
        line = json.dumps({"channel": "user.u1", "data": announcement()}).encode()
        headers = {"X-Service-Name": "tests", "Content-Type": "application/x-ndjson"}
        answer = await server.request("POST", "/publish/batch", line, headers)
        assert (answer.json["published"], answer.json["failed"]) == (1, 0)
