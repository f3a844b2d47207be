"""Who may see the admin's page and answers, and whose requests are taken."""

import pytest
from pydantic import SecretStr

from courier.web.admin.cookie import SESSION_SECONDS, Cookies, cookie_header
from courier.web.admin.gate import Visit
from courier.web.admin.pages import Pages
from tests.web.admins import BEARER, FORM, TOKEN, cookie_of, get, in_production, post, sign_in
from tests.web.servers import TestServer, a_server

ANSWERS = ("/stats", "/admin/overview", "/admin/channels", "/admin/connections", "/admin/schemas")
POSTS = ("/admin/connections/x/close", "/admin/publish", "/admin/sign-out")
NOTHING = b'{"detail": {"error": "There is nothing at this path"}}'


async def test_in_production_without_an_admin_token_nothing_is_there() -> None:
    async with in_production(admin_token=None) as server:
        file = f"/admin/static/{Pages().version}/main.js"
        for path in (*ANSWERS, "/admin", file, "/admin/nonsense"):
            for headers in ({}, BEARER):
                response = await get(server, path, headers)
                assert (response.status, response.body) == (404, NOTHING), path
        for path in (*POSTS, "/admin/sign-in"):
            assert (await post(server, path)).status == 404, path


async def test_in_production_only_the_way_in_shows_to_whoever_has_no_good_token() -> None:
    async with in_production(admin_token=TOKEN) as server:
        for path in ANSWERS:
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "courier_admin=1.2.3"}):
                response = await get(server, path, headers)
                assert (response.status, response.body) == (404, NOTHING), path
            assert (await get(server, path, BEARER)).status == 200
        for path in POSTS:
            assert (await post(server, path)).status == 404, path
        page = await get(server, "/admin")
        assert page.status == 200
        assert b"Sign in" in page.body
        assert b"main.js" not in page.body
        assert b"main.js" in (await get(server, "/admin", BEARER)).body


async def test_in_development_a_token_that_is_set_is_asked_for() -> None:
    async with a_server(admin_token=TOKEN) as server:
        for path in ANSWERS:
            response = await get(server, path)
            assert response.status == 401
            assert response.headers["www-authenticate"] == "Bearer"
        assert (await get(server, "/stats", BEARER)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "courier.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost@evil.example"},
        {"Forwarded": "for=192.0.2.1"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"x-forwarded-proto": "https"},
    ],
)
async def test_without_a_token_development_is_open_to_this_machine_only(headers: dict[str, str]) -> None:
    async with a_server() as server:
        for path in ("/stats", "/admin/channels", "/admin"):
            assert (await get(server, path)).status == 200
            response = await get(server, path, headers)
            assert response.status == 403
            assert "COURIER_ADMIN_TOKEN" in response.error["error"]


@pytest.mark.parametrize(
    ("address", "host", "is_local"),
    [
        ("127.0.0.1", "localhost:8766", True),
        ("127.9.9.9", "127.0.0.1", True),
        ("::1", "[::1]:8766", True),
        ("::ffff:127.0.0.1", "LOCALHOST", True),
        ("192.0.2.7", "localhost", False),
        ("::ffff:192.0.2.7", "localhost", False),
        (None, "localhost", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "[::1", False),
    ],
)
def test_a_visit_is_local_when_its_peer_and_its_host_are(
    address: str | None, host: str, is_local: bool
) -> None:
    assert Visit("GET", address, {"host": host}, None).is_local is is_local


async def test_whoever_signs_in_gets_a_cookie_that_opens_everything() -> None:
    async with in_production(admin_token=TOKEN) as server:
        response = await sign_in(server, headers={"Origin": server.url})
        assert (response.status, response.json) == (200, {"status": "signed in"})
        attributes = set(response.headers["set-cookie"].split("; ")[1:])
        assert attributes == {"Path=/admin", f"Max-Age={SESSION_SECONDS}", "HttpOnly", "SameSite=Strict"}
        assert TOKEN not in str(response)
        cookie = {"Cookie": cookie_of(response)}
        for path in ANSWERS:
            assert (await get(server, path, cookie)).status == 200
        assert b"main.js" in (await get(server, "/admin", cookie)).body
        left = await post(server, "/admin/sign-out", cookie | {"Origin": server.url})
        assert (left.status, left.json) == (200, {"status": "signed out"})
        assert left.headers["set-cookie"].startswith("courier_admin=; Path=/admin; Max-Age=0;")


async def test_off_loopback_the_cookie_is_for_https_only() -> None:
    async with a_server(admin_token=TOKEN) as server:
        response = await sign_in(
            server, headers={"Host": "courier.example", "Origin": "https://courier.example"}
        )
        assert response.status == 200
        assert response.headers["set-cookie"].endswith("; Secure")


async def test_a_wrong_token_is_told_on_the_page_and_never_repeated() -> None:
    async with a_server(admin_token=TOKEN) as server:
        for wrong in ("wrong-one", "", TOKEN[:-1], f"{TOKEN}x", "\x00é"):
            response = await sign_in(server, wrong)
            assert response.status == 401
            assert response.error == {"error": "Wrong admin token"}
            assert "set-cookie" not in response.headers
            assert b"wrong-one" not in response.body
            assert TOKEN.encode() not in response.body
        too_long = await post(server, "/admin/sign-in", FORM, b"token=" + b"x" * 9000)
        assert too_long.status == 413


async def test_ten_attempts_a_minute_are_judged_and_then_not_even_the_right_one() -> None:
    async with a_server(admin_token=TOKEN) as server:
        assert [(await sign_in(server, "wrong")).status for _ in range(10)] == [401] * 10
        response = await sign_in(server)
        assert response.status == 429
        assert 0 < int(response.headers["retry-after"]) <= 60
        assert response.error["error"] == "Too many attempts to sign in"
        assert (await get(server, "/stats", BEARER)).status == 200


class TestCookies:
    """What is a session and what is none."""

    def test_it_ends_after_twelve_hours(self) -> None:
        now = [1000.0]
        cookies = Cookies(SecretStr(TOKEN), lambda: now[0])
        cookie = cookies.make()
        now[0] += SESSION_SECONDS - 1
        assert cookies.is_good(cookie)
        now[0] += 1
        assert not cookies.is_good(cookie)

    def test_another_nodes_is_taken_and_one_of_another_token_is_not(self) -> None:
        cookie = Cookies(SecretStr(TOKEN)).make()
        assert Cookies(SecretStr(TOKEN)).is_good(cookie)
        assert not Cookies(SecretStr(f"{TOKEN}2")).is_good(cookie)

    def test_each_is_another(self) -> None:
        cookies = Cookies(SecretStr(TOKEN))
        assert cookies.make() != cookies.make()
        assert TOKEN not in cookies.make()

    @pytest.mark.parametrize("forged", ["", ".", "..", "é.é.é", "a.b.c", "9999999999.0.", "x" * 5000])
    def test_what_we_did_not_make_is_none(self, forged: str) -> None:
        assert not Cookies(SecretStr(TOKEN)).is_good(forged)

    def test_no_character_of_it_may_be_another(self) -> None:
        cookies = Cookies(SecretStr(TOKEN))
        cookie = cookies.make()
        for at, character in enumerate(cookie):
            changed = cookie[:at] + ("0" if character != "0" else "1") + cookie[at + 1 :]
            assert not cookies.is_good(changed), at
        end, rest = cookie.split(".", 1)
        assert not cookies.is_good(f"{int(end) + 1}.{rest}")
        assert not cookies.is_good(None)

    def test_a_session_that_ends_leaves_an_empty_cookie(self) -> None:
        assert cookie_header("", secure=True) == (
            "courier_admin=; Path=/admin; Max-Age=0; HttpOnly; SameSite=Strict; Secure"
        )


async def _statuses(server: TestServer, headers: dict[str, str]) -> set[int]:
    return {
        (await post(server, path, headers)).status
        for path in ("/admin/connections/x/close", "/admin/sign-out")
    }


async def test_a_post_from_another_sites_page_is_refused_whatever_it_bears() -> None:
    async with a_server(admin_token=TOKEN) as server:
        cookie = {"Cookie": cookie_of(await sign_in(server))}
        for origin in (
            "https://evil.example", "null", "", f"http://{server.host}:1", f"ftp://{server.host}:{server.port}",
            f"{server.url}.evil.example", "http://[",
        ):  # fmt: skip
            for credential in (cookie, BEARER):
                assert await _statuses(server, credential | {"Origin": origin}) == {403}, origin
            assert (await sign_in(server, headers={"Origin": origin})).status == 403
        assert await _statuses(server, cookie) == {403}
        assert await _statuses(server, cookie | {"Origin": server.url}) == {404, 200}
        assert await _statuses(server, BEARER) == {404, 200}


async def test_without_a_token_another_sites_page_can_do_nothing_either() -> None:
    async with a_server() as server:
        assert await _statuses(server, {"Origin": "https://evil.example"}) == {403}
        assert await _statuses(server, {"Origin": server.url}) == {404, 200}


async def test_pages_and_answers_bear_the_headers_that_keep_others_out() -> None:
    async with a_server() as server:
        page = await get(server, "/admin")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for path in ("/admin", "/admin/overview", "/stats"):
            response = await get(server, path)
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["referrer-policy"] == "no-referrer"
            assert response.headers["cache-control"] == "no-store"
            assert "access-control-allow-origin" not in response.headers


async def test_the_pages_files_are_there_for_good_under_a_name_of_their_own() -> None:
    async with a_server() as server:
        page = (await get(server, "/admin")).body.decode()
        assert (await get(server, "/admin/")).body.decode() == page
        paths = {part.split('"')[0] for part in page.split('="')[1:] if part.startswith("/admin/static/")}
        assert any(path.endswith("/main.js") for path in paths)
        assert "{" not in page
        for path in paths:
            file = await get(server, path)
            assert file.status == 200
            assert "immutable" in file.headers["cache-control"]
        assert (await get(server, "/admin/static/0/main.js")).status == 404
        folder = next(iter(paths)).rpartition("/")[0]
        for name, status in (("dashboard.html", 404), ("nothing.js", 404), ("..%2f__init__.py", 400)):
            assert (await get(server, f"{folder}/{name}")).status == status
