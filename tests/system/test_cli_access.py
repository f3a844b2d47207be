"""`courier revoke`, `courier disconnect` and `courier token --claim`, run against a node."""

import json

import jwt
import pytest
from click.testing import CliRunner

from courier.cli import main
from courier.schemas.closing import CloseReason
from courier.settings import DEVELOPMENT_SECRET
from courier.web.server import open_server
from tests.system.test_cli import run
from tests.web.servers import TestServer, closed, settings_for, token

ADMIN = "the-admins-token"
REVOKED = (CloseReason.TOKEN_REVOKED.code, CloseReason.TOKEN_REVOKED.reason)


async def test_a_user_is_revoked_and_taken_back_and_disconnected() -> None:
    async with open_server(settings_for(admin_token=ADMIN)) as url:
        server, bearer = TestServer(url), token()
        async with server.subscribe("user.u1", bearer) as websocket:
            made = await run(["courier", "revoke", "user", "u1"], URL=url, ADMIN_TOKEN=ADMIN)
            assert (made.returncode, await closed(websocket)) == (0, REVOKED)
        id = made.stdout.decode().strip()
        assert f"courier revoke --take-back {id}" in made.stderr.decode()
        assert await server.refused(f"/ws/user.u1?token={bearer}") == REVOKED
        back = await run(["courier", "revoke", "--take-back", id], URL=url, ADMIN_TOKEN=ADMIN)
        assert back.returncode == 0
        async with server.subscribe("user.u1") as websocket:
            gone = await run(["courier", "disconnect", "u1"], URL=url, ADMIN_TOKEN=ADMIN)
            assert gone.returncode == 0
            assert (await closed(websocket))[0] == 1013
        again = await run(["courier", "revoke", "--take-back", id], URL=url, ADMIN_TOKEN=ADMIN)
        assert again.returncode == 1
        assert "404 Revocation is not there, or not any more" in again.stderr.decode()
        stranger = await run(["courier", "revoke", "service", "shop"], URL=url)
        assert stranger.returncode == 1


@pytest.mark.parametrize("words", [[], ["user"], ["--take-back", "x", "user", "u1"], ["users", "u1"]])
def test_what_does_not_say_what_to_revoke_is_a_usage_error(words: list[str]) -> None:
    assert CliRunner().invoke(main, ["revoke", *words]).exit_code == 2


def minted(*words: str, **environment: str) -> dict[str, object]:
    done = CliRunner().invoke(main, ["token", *words], env=environment)
    assert done.exit_code == 0, done.output
    said: dict[str, object] = jwt.decode(done.stdout.strip(), DEVELOPMENT_SECRET, ["HS256"])
    return said


def test_a_token_has_the_claims_that_were_given() -> None:
    said = minted(
        "user",
        "alice",
        "--claim",
        "tenant=seven",
        "--claim",
        'channels=["order.7"]',
        COURIER_JWT_USER_CLAIM="sub",
    )
    assert (said["sub"], said["tenant"], said["channels"]) == ("alice", "seven", ["order.7"])
    assert "user_id" not in said
    limited = minted("service", "shop", "--claim", "channels=" + json.dumps(["order.*"]))
    assert (limited["service"], limited["channels"]) == ("shop", ["order.*"])
    assert CliRunner().invoke(main, ["token", "user", "alice", "--claim", "tenant"]).exit_code == 2
