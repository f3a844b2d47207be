"""The documents as a node serves them, and the page that shows them."""

import json
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from playwright.sync_api import Page, sync_playwright

from courier.schemas import Registry
from courier.schemas.contract import asyncapi, json_schema, type_schemas
from courier.web.documents import documents_of
from courier.web.openapi import openapi
from tests.web.servers import TestServer, a_server

DOCUMENTS = ["/openapi.json", "/asyncapi.json", "/schemas", "/schemas/backtest.progress"]
PAGE = ["/docs", "/docs/docs.js", "/docs/docs.css"]
ORIGIN = "https://app.example"


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    async with a_server(allowed_origins=ORIGIN) as server:
        yield server


async def test_each_document_is_the_one_that_is_made_of_the_models(
    server: TestServer, registry: Registry
) -> None:
    bundle = json_schema(registry)
    expected = {
        "/openapi.json": openapi(registry, bundle),
        "/asyncapi.json": asyncapi(bundle, registry),
        "/schemas": bundle,
        "/schemas/backtest.progress": type_schemas(bundle)["backtest.progress"],
        "/schemas/courier.gap": type_schemas(bundle)["courier.gap"],
    }
    for path, document in expected.items():
        response = await server.request("GET", path)
        assert response.status == 200
        assert response.headers["content-type"] == "application/json"
        assert json.dumps(response.json) == json.dumps(document)


async def test_a_production_node_serves_them_too(registry: Registry) -> None:
    async with a_server(env="production", publish_auth="required") as server:
        for path in [*DOCUMENTS, *PAGE]:
            assert (await server.request("GET", path)).status == 200


async def test_a_document_that_is_known_is_not_sent_again(server: TestServer) -> None:
    for path in [*DOCUMENTS, *PAGE]:
        first = await server.request("GET", path)
        etag = first.headers["etag"]
        assert first.headers["cache-control"] == "no-cache"
        for known in (etag, f'"other", W/{etag}', "*"):
            again = await server.request("GET", path, headers={"If-None-Match": known})
            assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
        other = await server.request("GET", path, headers={"If-None-Match": '"other"'})
        assert (other.status, other.body) == (200, first.body)


async def test_a_type_that_there_is_not_is_refused_with_names_that_are_near(server: TestServer) -> None:
    response = await server.request("GET", "/schemas/backtest.progres")
    assert response.status == 404
    assert response.error["error"] == "There is no such type"
    assert response.error["near"][0] == "backtest.progress"
    for path in ("/schemas/3", "/schemas/a/b", "/schemas/%ff", "/schemas/" + "x" * 500):
        assert (await server.request("GET", path)).error == {"error": "There is no such type", "near": []}


async def test_a_page_of_an_allowed_origin_may_read_them_and_of_no_other(server: TestServer) -> None:
    for path in [*DOCUMENTS, "/schemas/nothing"]:
        allowed = await server.request("GET", path, headers={"Origin": ORIGIN})
        assert allowed.headers["access-control-allow-origin"] == ORIGIN
        assert allowed.headers["vary"] == "Origin"
        other = await server.request("GET", path, headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
        assert not any("credentials" in name for name in allowed.headers)


async def test_they_are_made_once_for_the_same_models(registry: Registry) -> None:
    assert documents_of(
        Registry(registry.models.values(), registry.kinds, [registry.claims])
    ) is documents_of(registry)


async def test_the_page_may_load_nothing_from_anywhere_else(server: TestServer) -> None:
    for path in PAGE:
        response = await server.request("GET", path)
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert b"://" not in response.body
        for word in (b"innerHTML", b"insertAdjacentHTML", b"document.write", b"eval("):
            assert word not in response.body


async def test_the_page_shows_everything_that_the_documents_have(server: TestServer) -> None:
    if shutil.which("chromium") is None:
        pytest.skip("there is no chromium")
    documents = [(await server.request("GET", path)).json for path in ("/openapi.json", "/asyncapi.json")]
    with trio.fail_after(50):
        await trio.to_thread.run_sync(look, server.url, *documents)


def look(url: str, http: dict[str, Any], websocket: dict[str, Any]) -> None:
    """Open the page, on a phone, as a person would."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{url}/docs")
        page.wait_for_selector("article")
        shown = set(page.eval_on_selector_all("article[id]", "all => all.map(one => one.id)"))
        operations = {each["operationId"] for path in http["paths"].values() for each in path.values()}
        messages = {f"message-{each['name']}" for each in websocket["components"]["messages"].values()}
        assert shown >= operations | messages | {f"channel-{key}" for key in websocket["channels"]}
        text = page.inner_text("#main")
        for each in websocket["x-close-codes"]:
            assert each["reason"] in text
        assert page.evaluate("document.documentElement.scrollWidth") == 390, "nothing sticks out"
        read_the_publish_request(page, url)
        page.fill("#find", "order_filled")
        assert page.locator("article[id]:visible h3").all_inner_texts() == ["trade.order_filled"]
        assert complaints == []
        browser.close()


def read_the_publish_request(page: Page, url: str) -> None:
    article = page.locator("#publish")
    article.locator("select").first.select_option("backtest.progress")
    command = article.locator("pre").first.inner_text()
    assert command.startswith(f"curl -X POST '{url}/publish/user.alice'")
    assert '"type": "backtest.progress"' in command
    refusals = article.locator("details", has_text="429")
    refusals.locator("summary").click()
    assert "Rate limit exceeded" in refusals.inner_text()
