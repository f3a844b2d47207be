"""What OpenAPI says of operators' paths: every answer and refusal is got from a running server."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import pytest

from courier.schemas.contract.shapes import Schema
from courier.schemas.registry import Registry
from courier.web.openapi import openapi
from tests.contract.test_openapi import ENVELOPE, LIMIT, Provoker, judge, masked, sent, told
from tests.web.admins import BEARER, TOKEN, local
from tests.web.servers import Response, TestServer, a_server, announcement, closed

PUBLISH = "/admin/publish"
PATHS = (
    "/stats",
    "/admin/overview",
    "/admin/channels",
    "/admin/channels/{channel}",
    "/admin/connections",
    "/admin/connections/{id}/close",
    "/admin/schemas",
    PUBLISH,
)
UNREADABLE = {
    "sort": "sort=colour",
    "order": "order=up",
    "search": "search=" + "x" * 201,
    "limit": "limit=0",
    "offset": "offset=-1",
    "events": "events=0",
    "since": "since=yesterday",
}


@pytest.fixture(scope="module")
def document(registry: Registry, bundle: Schema) -> Schema:
    return openapi(registry, bundle)


class Servers(NamedTuple):
    """One with an admin token, one for its own machine only, and one in production that has no page."""

    signed: TestServer
    own: TestServer
    hidden: TestServer


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    async with AsyncExitStack() as stack:
        yield Servers(
            await stack.enter_async_context(
                a_server(publish_auth="required", rate_limit=LIMIT, admin_token=TOKEN)
            ),
            await stack.enter_async_context(a_server()),
            await stack.enter_async_context(a_server(env="production", publish_auth="required")),
        )


class AdminProvoker(Provoker):
    """Makes a server refuse a test event in every way that it can refuse an envelope."""

    async def post(self, path: str, content: Any, **more: str | None) -> Response:
        if path != ENVELOPE:
            return await super().post(path, content, **more)
        return await super().post(PUBLISH, content, **(BEARER | more))

    async def too_slow(self, path: str, **more: str | None) -> Response:
        return await super().too_slow(PUBLISH, **(BEARER | more))


def method_of(document: Schema, path: str) -> str:
    [method] = document["paths"][path]
    return str(method).upper()


async def test_every_answer_is_as_it_says(
    document: Schema, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, provoker = servers.signed, AdminProvoker(servers.signed, monkeypatch)
    [by_shop] = sent(document, PUBLISH).values()
    by_default = {"channel": "user.u1", "data": announcement(source="courier-admin")}
    async with server.subscribe("user.u1") as websocket:
        for envelope, service in ((by_shop, "shop"), (by_default, None)):
            published = await provoker.post(ENVELOPE, envelope, X_Service_Name=service)
            judge(document, "Receipt").validate(published.json)
        [row] = (await server.request("GET", "/admin/connections", headers=BEARER)).json["connections"]
        for path in PATHS:
            if path == PUBLISH:
                continue
            where = path.format(channel="user.u1", id=row["id"])
            response = await server.request(method_of(document, path), where, headers=BEARER)
            assert response.status == 200, (path, response.body)
            [operation] = document["paths"][path].values()
            schema = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
            judge(document, schema.rpartition("/")[2]).validate(response.json)
            [example] = told(document, path, 200).values()
            assert response.json.keys() == example.keys(), path
        [closing] = told(document, "/admin/connections/{id}/close", 200).values()
        assert await closed(websocket) == (closing["code"], closing["reason"])


@pytest.mark.parametrize("path", PATHS)
async def test_every_refusal_is_what_a_server_answers(
    path: str, document: Schema, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, method = path.format(channel="user.nobody", id="nobody"), method_of(document, path)
    other_site = {"Origin": "https://other.example"}

    async def provoke(name: str) -> Response:
        match name:
            case "token_missing":
                return await servers.signed.request(method, where)
            case "other_machine":
                return await servers.own.request(method, where)
            case "hidden":
                return await servers.hidden.request(method, where, headers=local(servers.hidden))
            case "other_site":
                return await servers.signed.request(method, where, headers=BEARER | other_site)
            case "not_running" | "not_there":
                return await servers.signed.request(method, where, headers=BEARER)
        if path == PUBLISH:
            [envelope] = sent(document, PUBLISH).values()
            return await AdminProvoker(servers.signed, monkeypatch).publish(ENVELOPE, name, envelope["data"])
        asked = "/admin/channels/users.alice" if name == "channel" else f"{where}?{UNREADABLE[name]}"
        return await servers.signed.request(method, asked, headers=BEARER)

    [operation] = document["paths"][path].values()
    for status, answer in operation["responses"].items():
        if status == "200":
            continue
        for name, expected in told(document, path, int(status)).items():
            response = await provoke(name)
            assert (response.status, masked(response.json)) == (int(status), masked(expected)), name
            for header in answer.get("headers", {}):
                if document["components"]["headers"][header].get("required"):
                    assert header.lower() in response.headers, (name, header)


async def test_metrics_are_text_of_either_kind_or_hidden_as_it_says(
    document: Schema, servers: Servers
) -> None:
    content = document["paths"]["/metrics"]["get"]["responses"]["200"]["content"]
    for media_type, said in content.items():
        accept = {"Accept": f"{media_type};version=1.0.0"}
        response = await servers.own.request("GET", "/metrics", headers=accept)
        assert response.headers["content-type"].partition(";")[0] == media_type
        for example in said["examples"].values():
            for line in example["value"].splitlines():
                known = line if line.startswith("#") else line.rpartition(" ")[0]
                assert known.encode() in response.body, line
    hidden = await servers.hidden.request("GET", "/metrics")
    [example] = told(document, "/metrics", 404).values()
    assert (hidden.status, hidden.json) == (404, example)
