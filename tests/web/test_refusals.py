"""Each refusal says why: to the log and the admin always, to the caller where it gives nothing away."""

import json
import time
from typing import Any

import jwt
import pytest

from courier.web.refusals import KEPT, Refusals
from tests.web.admins import BEARER, TOKEN, get, listed
from tests.web.servers import SECRET, TestServer, a_server, announcement, token
from tests.web.test_publish import CALLER, authorized, service_token

TRY_AGAIN_LATER = (1013, "Try again later")
INVALID_TOKEN = (1008, "Invalid token")


def said(capsys: pytest.CaptureFixture[str], message: str) -> list[dict[str, Any]]:
    found = map(json.loads, capsys.readouterr().err.splitlines())
    return [line for line in found if line["message"] == message]


def signed(**claims: Any) -> str:
    return jwt.encode(claims, SECRET)


async def last(server: TestServer) -> dict[str, Any]:
    """The last refusal, as the admin sees it."""
    answer = await listed(server, "refusals", limit=1)
    [row] = answer["refusals"]
    return dict(row)


NOW = int(time.time())


@pytest.mark.parametrize(
    ("bearer", "close", "cause"),
    [
        pytest.param(
            signed(service="shop", exp=NOW + 60, iat=NOW),
            INVALID_TOKEN,
            "claim user_id is missing; claim wallet_address is missing",
            id="a service's",
        ),
        pytest.param(
            signed(user_id="u1", wallet_address="w", iat=NOW),
            INVALID_TOKEN,
            "claim exp is missing",
            id="without an end",
        ),
        pytest.param(
            signed(user_id="u1", wallet_address="w", iat=NOW, exp=str(NOW + 60)),
            INVALID_TOKEN,
            "claim exp: Input should be a valid integer",
            id="an end that is no number",
        ),
        pytest.param(
            token(iat=NOW + 3600),
            INVALID_TOKEN,
            "claim iat is more than 30 s ahead, or no number",
            id="early",
        ),
        pytest.param(
            token(secret="x" * 40),
            INVALID_TOKEN,
            "signature is not by the key that this node holds",
            id="key",
        ),
        pytest.param("junk", INVALID_TOKEN, "token is no JWT that can be read", id="junk"),
    ],
)
async def test_an_invalid_token_says_which_claim_it_is(
    bearer: str, close: tuple[int, str], cause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_server(admin_token=TOKEN, log_format="json") as server:
        assert await server.refused(f"/ws/user.u1?token={bearer}") == close
        row = await last(server)
        assert (row["action"], row["status"], row["error"], row["cause"]) == ("join", *close, cause)
        assert row["address"] == server.host
        answer = await server.request("GET", f"/history/user.u1?token={bearer}")
        assert (answer.status, answer.error["error"]) == (401, "Invalid token")
        may_know = cause.startswith("claim")
        assert answer.error.get("cause") == (cause if may_know else None), (
            "a signature's fault is ours to know"
        )
        assert (await last(server))["cause"] == cause
    output = capsys.readouterr().err
    [line] = [line for line in map(json.loads, output.splitlines()) if line["message"] == "Join refused"]
    assert (line["reason"], line["cause"]) == ("Invalid token", cause)
    assert bearer not in output or bearer == "junk"


async def test_a_publisher_hears_which_claim_of_its_good_token_is_wrong() -> None:
    async with a_server(publish_auth="required") as server:
        ended = await server.publish("global", announcement(), **authorized(exp=int(time.time()) - 5))
        assert ended.error["error"] == "Service token expired"
        assert ended.error["cause"] in ("claim exp is 5 s in the past", "claim exp is 6 s in the past")
        users = await server.publish("global", announcement(), Authorization=f"Bearer {token()}")
        assert users.error == {"error": "Invalid service token", "cause": "claim service is missing"}
        forged = f"Bearer {service_token(secret='x' * 40)}"
        assert (await server.publish("global", announcement(), Authorization=forged)).error == {
            "error": "Invalid service token"
        }


async def test_try_again_later_says_which_limit_was_reached(capsys: pytest.CaptureFixture[str]) -> None:
    async with (
        a_server(
            admin_token=TOKEN, log_format="json", max_connections=3, max_connections_per_user=2
        ) as server,
        server.subscribe(),
        server.subscribe(),
    ):
        assert await server.refused(f"/ws/user.u1?token={token()}") == TRY_AGAIN_LATER
        row = await last(server)
        assert row["cause"] == "user has 2 connections, the most that one may have"
        assert (row["user_id"], row["channel"]) == ("u1", "user.u1")
        async with server.subscribe("global", bearer=token("u2")):
            assert await server.refused(f"/ws/global?token={token('u3')}") == TRY_AGAIN_LATER
            assert (await last(server))["cause"] == "node has 3 connections, the most that it may have"
    causes = [line["cause"] for line in said(capsys, "Join refused")]
    assert [cause.partition(",")[0] for cause in causes] == [
        "user has 2 connections",
        "node has 3 connections",
    ]


async def test_channels_rates_sizes_and_origins_say_their_limits() -> None:
    async with a_server(
        admin_token=TOKEN,
        allowed_origins="https://a.example",
        max_channels=1,
        rate_limit=2,
        max_event_bytes=1024,
    ) as server:

        async def cause() -> Any:
            return (await last(server))["cause"]

        assert (await server.publish("user.u1", announcement())).status == 200
        assert (await server.publish("user.u2", announcement())).status == 503
        assert await cause() == "node has 1 channels, the most that it may have"
        assert (await server.publish("user.u1", announcement())).status == 429
        assert await cause() == "limit 2, window_seconds 60, remaining 0"
        assert (await server.publish("user.u1", announcement("x" * 1100))).status == 413
        assert await cause() == "limit_bytes 1024"
        origin = [(b"Origin", b"https://b.example")]
        assert await server.refused("/ws/global", extra_headers=origin) == (1008, "Origin not allowed")
        assert await cause() == "COURIER_ALLOWED_ORIGINS does not have this Origin: https://b.example"


ENVELOPE = {"channel": "user.u1", "data": announcement(severity="loud", colour="red")}


@pytest.mark.parametrize(
    "path", ["/publish", "/publish/user.u1", "/publish/batch", "/publish/batch lines", "/admin/publish"]
)
async def test_a_refused_schema_says_channel_type_and_fields(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    body: Any = {"/publish/user.u1": ENVELOPE["data"], "/publish/batch": {"events": [ENVELOPE]}}.get(
        path, ENVELOPE
    )
    path, _, lines = path.partition(" ")
    headers = CALLER | {"Content-Type": "application/x-ndjson" if lines else "application/json"} | BEARER
    async with a_server(admin_token=TOKEN, log_format="json") as server:
        await server.request("POST", path, json.dumps(body).encode(), headers)
        row = await last(server)
    output = capsys.readouterr().err
    [line] = [one for one in map(json.loads, output.splitlines()) if " refused" in one["message"]]
    for found in (line, row):
        assert (found["channel"], found["event_type"]) == ("user.u1", "system.announcement")
        assert found["source"] == "tests"
        assert "severity: Input should be 'info', 'warning' or 'critical'" in found["cause"]
        assert "colour: Extra inputs are not permitted" in found["cause"]
    assert line["fields"] == ["severity", "colour"]
    assert "loud" not in output, "what was sent is nobody else's"
    assert row["address"] == "127.0.0.1"


async def test_a_whole_number_that_would_be_rounded_is_told_with_its_channel() -> None:
    event = announcement() | {"title": "t"}
    body = (
        json.dumps({"channel": "user.u1", "data": event}).replace('"title"', '"title": "t", "title"').encode()
    )
    async with a_server(admin_token=TOKEN) as server:
        answer = await server.request("POST", "/publish", body, CALLER | {"Content-Type": "application/json"})
        assert answer.status == 400
        row = await last(server)
        assert (row["channel"], row["event_type"]) == ("user.u1", "system.announcement")


async def test_the_list_is_the_newest_first_searched_and_for_admins_only() -> None:
    async with a_server(admin_token=TOKEN, rate_limit=0) as server:
        for user in ("alice", "bob"):
            assert await server.refused(f"/ws/user.other?token={token(user)}")
        await server.publish("nowhere", announcement())
        answer = await listed(server, "refusals")
        assert [row["action"] for row in answer["refusals"]] == ["publish", "join", "join"]
        assert answer["total"] == 3
        found = await listed(server, "refusals", search="BOB")
        assert [row["user_id"] for row in found["refusals"]] == ["bob"]
        assert [row["cause"] for row in found["refusals"]] == ["channel is another user's"]
        oldest = await listed(server, "refusals", order="asc", limit=1)
        assert oldest["refusals"][0]["user_id"] == "alice"
        assert (await get(server, "/admin/refusals")).status == 401
        assert (await listed(server, "overview"))["node"]["refusals"] == 3


def test_the_last_ones_are_kept_and_no_token_in_them() -> None:
    refusals = Refusals()
    for number in range(KEPT + 10):
        refusals.note("join", 1008, "Invalid token", f"{number} {token()}", None, {"user_id": "u1"})
    kept = list(refusals)
    assert (len(kept), refusals.total) == (KEPT, KEPT + 10)
    assert kept[0].cause == "10 **********"
    assert kept[-1].number == KEPT + 10
    refusals.note("publish", 400, "x", "y" * 10_000, None, {})
    assert len(list(refusals)[-1].cause or "") == 500
