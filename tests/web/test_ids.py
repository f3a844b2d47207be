"""Ids as identity providers make them: one channel, however the URL spells it, on every way in and out."""

from urllib.parse import quote

import pytest

from tests.web.admins import BEARER, TOKEN, get, listed
from tests.web.servers import a_server, announcement, events, token
from tests.web.ways import answers_at_the_desk

IDS = ["auth0|5f7c8ec7", "google-oauth2|1", "urn:acme:u1", "alice@acme", "a+b~c", "@|:+~"]


def spellings(channel: str) -> list[str]:
    """As `encodeURIComponent` writes it, and as it is; `|` has no place in a URL (RFC 3986 section 3.3)."""
    return [quote(channel, safe="~"), channel.replace("|", "%7C")]


@pytest.mark.parametrize("user", IDS)
async def test_a_user_of_an_identity_provider_joins_reads_and_gets_events(user: str) -> None:
    channel, bearer = f"user.{user}", token(user)
    async with a_server(admin_token=TOKEN) as server:
        for spelt in spellings(channel):
            async with server.subscribe(spelt, bearer) as websocket:
                for again in spellings(channel):
                    answer = await server.publish(again, announcement(again))
                    assert (answer.status, answer.json["channel"]) == (200, channel)
                    [got] = await events(websocket, 1)
                    assert (got["channel"], got["title"]) == (channel, again)
                [row] = (await listed(server, "channels", search=channel))["channels"]
                assert row["channel"] == channel
                assert (await get(server, f"/admin/channels/{spelt}", BEARER)).json["channel"] == row
            read = await server.request("GET", f"/history/{spelt}?token={bearer}")
            assert read.json["channel"] == channel
            assert read.json["events"][-1]["id"] == got["id"]
            assert await server.refused(f"/ws/{spelt}?token={token('other')}") == (
                1008, "Unauthorized access to channel"
            )  # fmt: skip


async def test_what_a_client_makes_of_such_a_name_is_answered_at_the_desk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = answers_at_the_desk(monkeypatch)
    async with a_server() as server:
        for spelt in spellings(f"user.{IDS[0]}"):
            answer = await server.publish(spelt, announcement())
            assert answer.json["channel"] == f"user.{IDS[0]}"
    assert taken == [200] * 2
