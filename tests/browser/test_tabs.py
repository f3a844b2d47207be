"""Tabs that share one WebSocket in a real browser: each gets each event once, whatever the leader does."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, Route

from tests.backplane.redis_servers import needs_redis, redis_server
from tests.browser.conftest import Node, a_node
from tests.browser.test_event_source import publish, until
from tests.system.processes import ROOT, a_free_port
from tests.web.servers import token

DIST = ROOT / "clients" / "typescript" / "dist"
CHANNELS = ("user.u1", "global")
TAKEOVER_SECONDS = 3.0

OPEN = """
async ([token, key, channels]) => {
  const { CourierConnection } = await import("/client/index.js");
  window.got = {};
  window.gaps = [];
  window.states = [];
  window.connection = new CourierConnection({ url: location.origin, token, shareAcrossTabs: key });
  window.connection.onState((state) => window.states.push(state.status));
  window.subscribe = (channel, since) => {
    const got = (window.got[channel] = []);
    const subscription = window.connection.subscribe(channel, { since });
    subscription.onGap((gap) => void window.gaps.push(gap));
    subscription.onMessage((event) => void got.push(event.id));
    return subscription;
  };
  window.subscriptions = channels.map((channel) => window.subscribe(channel));
}
"""

ALL_OPEN = "window.subscriptions.every((subscription) => subscription.state.status === 'open')"


@contextmanager
def tabs_of(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    try:
        yield context
    finally:
        context.close()


def serve(route: Route) -> None:
    path = route.request.url.rsplit("/", 1)[1]
    route.fulfill(body=(DIST / path).read_text(), content_type="text/javascript")


def a_page(context: BrowserContext, node: Node) -> Page:
    page = context.new_page()
    page.route(f"{node.url}/client/*", serve)
    page.goto(
        f"{node.url}/health"
    )  # the node's own: Chromium lets no page that a test made up open sockets to it
    return page


def a_tab(
    context: BrowserContext, node: Node, user: str = "u1", channels: tuple[str, ...] = CHANNELS
) -> Page:
    page = a_page(context, node)
    page.evaluate(OPEN, [token(user), user, list(channels)])
    until(page, ALL_OPEN)
    return page


def three_tabs(context: BrowserContext, node: Node) -> list[Page]:
    """The first one leads."""
    return [a_tab(context, node) for _ in range(3)]


def sockets(node: Node) -> int:
    """That are open at the node."""
    text = httpx.get(f"{node.url}/metrics").text
    found = re.search(r'^courier_websocket_connections_active\{channel="many"\} (\S+)$', text, re.MULTILINE)
    return int(float(found[1])) if found else 0


def publish_all(node: Node, published: dict[str, list[str]], count: int = 5) -> None:
    for channel in CHANNELS:
        published.setdefault(channel, []).extend(publish(node, channel, count))


def expect(pages: list[Page], published: dict[str, list[str]], seconds: float = 20.0) -> None:
    """Each tab has every event once, in order, and was told of no gap."""
    last = [ids[-1] for ids in published.values()]
    for page in pages:
        page.wait_for_function(
            "(last) => last.every((id) => Object.values(window.got).some((ids) => ids.includes(id)))",
            arg=last,
            timeout=seconds * 1_000,
        )
        assert page.evaluate("window.got") == published
        assert page.evaluate("window.gaps") == []


def takes_over(node: Node, pages: list[Page], published: dict[str, list[str]]) -> None:
    """Another tab leads in time: what is published from now on arrives."""
    began = time.monotonic()
    publish_all(node, published)
    expect(pages, published, TAKEOVER_SECONDS)
    assert time.monotonic() - began < TAKEOVER_SECONDS


def test_three_tabs_of_one_user_share_a_socket_and_each_has_every_event_once(
    browser: Browser, node: Node
) -> None:
    with tabs_of(browser) as context:
        pages = three_tabs(context, node)
        published: dict[str, list[str]] = {}
        publish_all(node, published, 20)
        expect(pages, published)
        assert sockets(node) == 1


def test_a_tab_of_another_user_has_a_socket_of_its_own(browser: Browser, node: Node) -> None:
    with tabs_of(browser) as context:
        [first] = [a_tab(context, node)]
        other = a_tab(context, node, "u2", ("user.u2", "global"))
        assert sockets(node) == 2
        mine, others = publish(node, "user.u1"), publish(node, "user.u2")
        until(first, "window.got['user.u1'].length === 1")
        until(other, "window.got['user.u2'].length === 1")
        assert (first.evaluate("window.got['user.u1']"), other.evaluate("window.got['user.u2']")) == (
            mine,
            others,
        )


def test_the_leader_is_closed(browser: Browser, node: Node) -> None:
    with tabs_of(browser) as context:
        leader, *others = three_tabs(context, node)
        published: dict[str, list[str]] = {}
        publish_all(node, published)
        expect(others, published)
        leader.close()
        takes_over(node, others, published)
        assert sockets(node) == 1


def test_the_leader_crashes(browser: Browser, node: Node) -> None:
    with tabs_of(browser) as context:
        leader, *others = three_tabs(context, node)
        published: dict[str, list[str]] = {}
        publish_all(node, published)
        expect(others, published)
        with pytest.raises(Error):
            leader.goto("chrome://crash")
        takes_over(node, others, published)
        assert sockets(node) == 1


def test_the_leader_is_frozen_and_thaws(browser: Browser, node: Node) -> None:
    with tabs_of(browser) as context:
        leader, *others = three_tabs(context, node)
        published: dict[str, list[str]] = {}
        session = context.new_cdp_session(leader)
        session.send("Page.setWebLifecycleState", {"state": "frozen"})
        takes_over(node, others, published)
        session.send("Page.setWebLifecycleState", {"state": "active"})
        publish_all(node, published)
        expect([leader, *others], published)
        assert sockets(node) == 1


def test_the_leader_hangs_and_runs_again(browser: Browser, node: Node) -> None:
    with tabs_of(browser) as context:
        leader, *others = three_tabs(context, node)
        published: dict[str, list[str]] = {}
        publish_all(node, published)
        expect([leader, *others], published)
        leader.evaluate(
            "void setTimeout(() => { const end = Date.now() + 4000; while (Date.now() < end); }, 0)"
        )
        takes_over(node, others, published)
        publish_all(node, published)
        expect([leader, *others], published)
        publish_all(node, published)
        expect([leader, *others], published)
        assert sockets(node) == 1


@needs_redis
def test_the_node_is_restarted_and_its_log_kept(browser: Browser, tmp_path: Path) -> None:
    bind = f"127.0.0.1:{a_free_port()}"
    published: dict[str, list[str]] = {}
    with redis_server() as redis, tabs_of(browser) as context:
        with a_node(tmp_path / "first", bind, REDIS_URL=redis.url) as node:
            pages = three_tabs(context, node)
            publish_all(node, published)
            expect(pages, published)
        with a_node(tmp_path / "second", bind, REDIS_URL=redis.url) as node:
            publish_all(node, published)
            expect(pages, published)
            assert sockets(node) == 1


def test_a_tab_that_comes_later_and_one_that_wants_older_events(browser: Browser, node: Node) -> None:
    with tabs_of(browser) as context:
        first = a_tab(context, node)
        since = first.evaluate("window.subscriptions[1].position")
        before = publish(node, "global", 30)
        until(first, "window.got.global.length === 30")
        second = a_page(context, node)
        second.evaluate(OPEN, [token("u1"), "u1", []])
        second.evaluate("(since) => { window.subscriptions = [window.subscribe('global', since)]; }", since)
        third = a_tab(context, node)
        after = publish(node, "global", 5)
        until(third, "window.got.global.length >= 5")
        until(second, "window.got.global.length >= 35")
        assert first.evaluate("window.got.global") == before + after
        assert second.evaluate("window.got.global") == before + after
        assert third.evaluate("window.got.global")[-5:] == after
        assert [page.evaluate("window.gaps") for page in (first, second, third)] == [[], [], []]
        assert sockets(node) == 1


def test_the_socket_is_closed_when_no_tab_wants_anything(browser: Browser, node: Node) -> None:
    with tabs_of(browser) as context:
        pages = three_tabs(context, node)
        for page in pages:
            page.evaluate("window.subscriptions.forEach((subscription) => subscription.unsubscribe())")
        deadline = time.monotonic() + 5
        while sockets(node) > 0:
            assert time.monotonic() < deadline
            time.sleep(0.02)  # nothing says when a node has seen a close


@pytest.mark.parametrize("missing", ["navigator.locks", "BroadcastChannel"])
def test_without_locks_or_channels_each_tab_has_a_socket(browser: Browser, node: Node, missing: str) -> None:
    with tabs_of(browser) as context:
        context.add_init_script(
            "Object.defineProperty(Navigator.prototype, 'locks', { value: undefined })"
            if missing == "navigator.locks"
            else "delete globalThis.BroadcastChannel"
        )
        pages = three_tabs(context, node)
        published: dict[str, list[str]] = {}
        publish_all(node, published)
        expect(pages, published)
        assert sockets(node) == 3
