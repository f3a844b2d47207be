"""A real browser's `EventSource`: it comes back by itself, and has missed nothing."""

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from playwright.sync_api import Browser, Page

from tests.backplane.redis_servers import needs_redis, redis_server
from tests.browser.conftest import Node, a_node
from tests.system.processes import a_free_port
from tests.web.servers import announcement, token

READ = """
([name, url]) => {
  const mine = ((window.got ??= {})[name] = { events: [], said: [], opened: 0 });
  const source = new EventSource(url);
  source.onopen = () => { mine.opened += 1; };
  source.onmessage = (event) => mine.events.push(JSON.parse(event.data));
  source.addEventListener("courier", (event) => mine.said.push(JSON.parse(event.data)));
}
"""

THREE = ("user.u1", "global", "backtest.b1")


def publish(node: Node, channel: str, count: int = 1) -> list[str]:
    """The ids of so many events."""
    headers = {"X-Service-Name": "tests"}
    answers = [
        httpx.post(f"{node.url}/publish/{channel}", json=announcement(), headers=headers)
        for _ in range(count)
    ]
    return [answer.json()["id"] for answer in answers]


def until(page: Page, condition: str) -> None:
    page.wait_for_function(condition, timeout=20_000)


def read(page: Page, name: str, url: str) -> None:
    page.evaluate(READ, [name, url])
    until(page, f"window.got.{name}.said.some((said) => said.type === 'courier.joined')")


def ids(page: Page, name: str, channel: str) -> list[str]:
    found: list[Any] = page.evaluate(f"window.got.{name}.events")
    return [event["id"] for event in found if event["channel"] == channel]


def open_page(browser: Browser, node: Node) -> Page:
    """A page of the node's own origin."""
    page = browser.new_page()
    page.route(f"{node.url}/page", lambda route: route.fulfill(body="<p>", content_type="text/html"))
    page.goto(f"{node.url}/page")
    return page


@needs_redis
def test_it_comes_back_by_itself_when_its_node_is_restarted_and_has_everything_once(
    browser: Browser, tmp_path: Path
) -> None:
    bind = f"127.0.0.1:{a_free_port()}"
    several = [("channel", channel) for channel in THREE]
    with redis_server() as redis:
        with a_node(tmp_path / "first", bind, REDIS_URL=redis.url) as node:
            page = open_page(browser, node)
            read(page, "one", f"/events/user.u1?token={token()}")
            read(page, "three", f"/events?{urlencode([*several, ('token', token())])}")
            until(page, "window.got.three.said.length === 3")
            published = {channel: publish(node, channel, 3) for channel in THREE}
            until(page, "window.got.three.events.length === 9 && window.got.one.events.length === 3")
        with a_node(tmp_path / "second", bind, REDIS_URL=redis.url) as node:
            for channel in THREE:  # perhaps before the page is back
                published[channel] += publish(node, channel, 3)
            until(page, "window.got.three.events.length >= 18 && window.got.one.events.length >= 6")
            for channel in THREE:
                published[channel] += publish(node, channel)
            until(page, "window.got.three.events.length >= 21 && window.got.one.events.length >= 7")
            said = page.evaluate("[...window.got.one.said, ...window.got.three.said]")
            assert [one for one in said if one["type"] == "courier.gap"] == []
            assert page.evaluate("window.got.one.opened") >= 2
        assert ids(page, "one", "user.u1") == published["user.u1"]
        for channel in THREE:
            assert ids(page, "three", channel) == published[channel]
        page.close()


def test_it_is_told_of_a_gap_when_the_log_is_gone(browser: Browser, tmp_path: Path) -> None:
    bind = f"127.0.0.1:{a_free_port()}"
    with a_node(tmp_path / "first", bind) as node:
        page = open_page(browser, node)
        read(page, "one", f"/events/user.u1?token={token()}")
        publish(node, "user.u1", 2)
        until(page, "window.got.one.events.length === 2")
    with a_node(tmp_path / "second", bind) as node:
        until(page, "window.got.one.said.some((said) => said.type === 'courier.gap')")
        [new] = publish(node, "user.u1")
        until(page, "window.got.one.events.length === 3")
        assert ids(page, "one", "user.u1")[-1] == new
    page.close()
