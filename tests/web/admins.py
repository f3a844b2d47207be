"""An admin, as tests of the admin's part of HTTP use one."""

from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import urlencode

from tests.web.servers import Response, TestServer, a_server

TOKEN = "an-admin-token-for-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def in_production(admin_token: str | None, rate_limit: int = 0) -> AbstractAsyncContextManager[TestServer]:
    """A server as in production."""
    return a_server(env="production", publish_auth="required", admin_token=admin_token, rate_limit=rate_limit)


def local(server: TestServer) -> dict[str, str]:
    """The `Host` of whoever asks this machine by its own address."""
    return {"Host": f"{server.host}:{server.port}"}


async def get(server: TestServer, path: str, headers: dict[str, str] | None = None) -> Response:
    return await server.request("GET", path, headers=local(server) | (headers or {}))


async def post(
    server: TestServer, path: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> Response:
    return await server.request("POST", path, body, local(server) | (headers or {}))


async def sign_in(server: TestServer, token: str = TOKEN, headers: dict[str, str] | None = None) -> Response:
    body = urlencode({"token": token}).encode()
    return await post(server, "/admin/sign-in", FORM | (headers or {}), body)


def cookie_of(response: Response) -> str:
    """The cookie that an answer sets, as a browser sends it back."""
    return response.headers["set-cookie"].partition(";")[0]


async def listed(server: TestServer, what: str, **query: Any) -> Any:
    """One page of the channels or connections."""
    response = await get(server, f"/admin/{what}?{urlencode(query)}", BEARER)
    assert response.status == 200, response.body
    return response.json
