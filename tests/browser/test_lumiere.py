"""The example's page in a real browser: told by its services, through nodes that are killed under it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from courier_client import CourierSyncClient, Receipt, events
from playwright.sync_api import Browser, BrowserContext, Page, Route, ViewportSize, expect

from examples.lumiere.sign_in import PAGE, sign_in
from tests.backplane.redis_servers import needs_redis, redis_server
from tests.browser.conftest import ARTEFACTS, DESK, PHONE, Witness, a_node
from tests.browser.trades import (
    cancelled,
    closed,
    deployed,
    failed,
    filled,
    opened,
    placed,
    signalled,
    timed,
    updated,
)
from tests.system.processes import ROOT, a_free_port, environment
from tests.web.servers import SECRET

BACK_MS = 20_000
"""A node takes a second to start, and the page's next try may be a few away."""

BACKTEST = {"backtest_id": "b1", "job_id": "j1", "user_id": "ada"}
SUMMARY = {"sharpe": 1.5, "return_pct": 4.2}
SCREENS: dict[str, ViewportSize] = {"desk": DESK, "phone": PHONE}
HOSTS = {"light": "127.0.0.1", "dark": "localhost"}
"""What a person may call the machine; a browser takes them for two origins."""
SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")


class Site:
    """The page's server, and a node for it that can be killed and started again where it was."""

    def __init__(self, page_url: str, bind: str, log: Path, variables: dict[str, str]) -> None:
        self.page_url = page_url
        self.url = f"http://{bind}"
        self._bind = bind
        self._log = log
        self._variables = {"ALLOWED_ORIGINS": page_url, **variables}
        self._running = ExitStack()

    def start(self, **variables: str) -> None:
        node = a_node(self._log, self._bind, **self._variables, **variables)
        self._node = self._running.enter_context(node)

    def stop(self) -> None:
        self._running.close()

    @contextmanager
    def down(self, **variables: str) -> Iterator[None]:
        """The node is killed, and started again at the end of the block, with settings of its own."""
        self._node.process.kill()
        self._node.process.wait()
        self.stop()
        yield
        self.start(**variables)

    def publish(self, event: tuple[str, str, Any]) -> Receipt:
        return publish(self.url, event)

    def publish_many(self, events: list[tuple[str, str, Any]]) -> None:
        with CourierSyncClient(url=self.url, service_name="lumiere") as courier:
            courier.publish_many(events)


def publish(url: str, event: tuple[str, str, Any]) -> Receipt:
    with CourierSyncClient(url=url, service_name="lumiere") as courier:
        return courier.publish(*event)


@contextmanager
def a_site(log: Path, **variables: str) -> Iterator[Site]:
    bind = f"127.0.0.1:{a_free_port()}"
    with sign_in(f"http://{bind}", SECRET) as page_url:
        site = Site(page_url, bind, log, variables)
        try:
            site.start()
            yield site
        finally:
            site.stop()


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    if not (PAGE / "index.html").exists():
        pytest.fail("Build the page first: make examples/lumiere/dist/index.html", pytrace=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with a_site(tmp_path_factory.mktemp("lumiere") / "log") as started:
        yield started


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport=DESK, reduced_motion="reduce")
    yield context
    context.close()


def enter(context: BrowserContext, site: Site, name: str) -> tuple[Page, Witness]:
    """A tab, signed in and live."""
    page = context.new_page()
    witness = Witness(page, site.page_url, site.url)
    page.goto(site.page_url)
    page.get_by_role("button", name=name).click()
    expect(connection(page)).to_have_text("Live")
    return page, witness


def connection(page: Page) -> Any:
    return page.locator(".pill")


def progress(page: Page) -> Any:
    return page.get_by_role("progressbar")


def step(share: float, message: str) -> tuple[str, str, Any]:
    return events.backtest_progress(**BACKTEST, progress=share, stage="run", message=message)


def said(user: str, chunk: str, *, conversation: str = "c1", is_final: bool = False) -> tuple[str, str, Any]:
    return events.prophet_message_chunk(
        user_id=user, conversation_id=conversation, chunk=chunk, is_final=is_final
    )


def started() -> tuple[str, str, Any]:
    return events.backtest_started(**BACKTEST, parameters={"pair": "SOL/USDC", "days": 90})


def completed() -> tuple[str, str, Any]:
    return events.backtest_completed(
        **BACKTEST, duration_seconds=7, summary={"sharpe": 1.5, "return_pct": 4.2}
    )


def test_a_backtest_is_shown_at_each_step_and_still_there_when_the_page_is_reloaded(
    context: BrowserContext, site: Site
) -> None:
    page, witness = enter(context, site, "Ada")
    row = page.locator("[data-backtest=b1]")
    expect(row).to_have_count(0)
    site.publish(started())
    expect(progress(page)).to_have_attribute("aria-valuenow", "0")
    for share, message in ((0.25, "Loading"), (0.5, "Simulating"), (0.75, "Measuring")):
        site.publish(step(share, message))
        expect(progress(page)).to_have_attribute("aria-valuenow", f"{share:.0%}".rstrip("%"))
        expect(row).to_contain_text(message)
        expect(row).to_have_attribute("data-status", "running")
    site.publish(completed())
    expect(progress(page)).to_have_attribute("aria-valuenow", "100")
    expect(row).to_contain_text("Sharpe 1.5 · return 4.2 %")
    page.reload()
    expect(row).to_have_attribute("data-status", "completed")
    expect(connection(page)).to_have_text("Live")
    witness.judge()


def test_two_tabs_of_two_users_never_see_each_others_events(context: BrowserContext, site: Site) -> None:
    tabs = {
        "ada": enter(context, site, "Ada"),
        "blaise": enter(context, site, "Blaise"),
    }
    for _ in range(3):
        for user in tabs:
            site.publish(said(user, f"for {user}. "))
    for user, (page, witness) in tabs.items():
        position = site.publish(said(user, "The end.", is_final=True)).position
        expect(page.get_by_role("log")).to_have_text(f"for {user}. " * 3 + "The end.")
        expect(page.get_by_role("contentinfo")).to_contain_text(position)
        witness.judge()


def test_two_tabs_of_one_user_have_one_socket_for_user_global_and_strategy(
    context: BrowserContext, site: Site
) -> None:
    opened: list[str] = []
    context.on("page", lambda page: page.on("websocket", lambda socket: opened.append(socket.url)))
    tabs = [enter(context, site, "Ada"), enter(context, site, "Ada")]
    site.publish(events.strategy_deployed("s7", "ada", "Dip buyer", 1_000.0, "SOL/ETH"))
    for page, _ in tabs:
        expect(page.locator(".figure", has_text="Strategy").locator(".value")).to_have_text("Dip buyer")
    site.publish(events.system_announcement("Tonight", "Courier moves.", "info"))
    _, kind, news = events.system_announcement("Dip buyer", "made +4.00 with SOL", "info")
    for page, _ in tabs:
        expect(page.get_by_text("Courier moves.")).to_be_visible()
    while 'courier_subscriptions_active{channel="strategy"} 1.0' not in httpx.get(f"{site.url}/metrics").text:
        page.wait_for_timeout(20)
    site.publish(("strategy.s7", kind, news))
    for page, witness in tabs:
        expect(page.get_by_text("made +4.00 with SOL")).to_be_visible()
        witness.judge()
    assert opened == [f"{site.url.replace('http', 'ws')}/ws"]


def test_what_comes_between_the_history_and_the_socket_is_shown_once(
    context: BrowserContext, site: Site
) -> None:
    def publish_behind(route: Route) -> None:
        history = route.fetch()
        site.publish(said("ada", "between", conversation="c2"))
        route.fulfill(response=history)

    site.publish(said("ada", "Before, ", conversation="c2"))
    context.route("**/history/**", publish_behind)
    page, witness = enter(context, site, "Ada")
    expect(page.get_by_role("article").last).to_have_text("Before, between")
    site.publish(said("ada", ", after", conversation="c2"))
    expect(page.get_by_role("article").last).to_have_text("Before, between, after")
    witness.judge()


def test_the_chat_follows_what_is_said_but_leaves_who_has_scrolled_up(
    context: BrowserContext, site: Site
) -> None:
    page, witness = enter(context, site, "Ada")
    log = page.get_by_role("log")
    site.publish(said("ada", "word " * 1_000, conversation="long"))
    expect(page.get_by_role("article").last).to_contain_text("word")
    below = "log => log.scrollHeight - log.clientHeight - log.scrollTop"
    assert log.evaluate(below) == pytest.approx(0, abs=1)
    log.focus()
    page.keyboard.press("Home")
    page.wait_for_function("document.querySelector('[role=log]').scrollTop === 0")
    site.publish(said("ada", "The end.", conversation="long", is_final=True))
    expect(page.get_by_role("article").last).to_contain_text("The end.")
    assert log.evaluate("log => log.scrollTop") == 0
    witness.judge()


def test_a_browser_that_wrongly_says_that_it_is_offline_stays_live_and_misses_nothing(
    context: BrowserContext, site: Site
) -> None:
    page, witness = enter(context, site, "Blaise")
    page.evaluate("Object.defineProperty(navigator, 'onLine', { get: () => false })")
    page.evaluate("dispatchEvent(new Event('offline'))")
    site.publish(said("blaise", "All the same", conversation="c3"))
    expect(page.get_by_text("All the same")).to_be_visible()
    expect(connection(page)).to_have_text("Live")
    witness.judge()


def test_a_page_without_a_network_says_so_and_catches_up(context: BrowserContext, site: Site) -> None:
    page, witness = enter(context, site, "Blaise")
    witness.expect("ERR_INTERNET_DISCONNECTED")
    context.set_offline(True)
    site.publish(said("blaise", "Meanwhile", conversation="c4"))
    expect(connection(page)).to_have_attribute(
        "data-status", re.compile("waiting|connecting"), timeout=BACK_MS
    )
    expect(page.get_by_text("Meanwhile")).to_have_count(0)
    context.set_offline(False)
    expect(page.get_by_text("Meanwhile")).to_be_visible()
    expect(connection(page)).to_have_text("Live")
    witness.judge()


def test_signals_are_shown_with_their_reasons_the_newest_first(context: BrowserContext, site: Site) -> None:
    page, witness = enter(context, site, "Blaise")
    signals = timed(
        signalled(f"g{place}", "ETH", "sell", confidence=place / 8, price=3_000.5 + place)
        for place in range(1, 7)
    )
    site.publish_many(signals)
    for _ in range(2):  # as they came, and as a new page finds them
        expect_cells(page, "signal=g6", "sell ETH", "RSI above 70", "3,006.50", "75 %")
        expect_cells(page, "signal=g4", "sell ETH", "RSI above 70", "3,004.50", "50 %")
        shown = page.locator("[data-signal]").evaluate_all("rows => rows.map(row => row.dataset.signal)")
        assert shown == ["g6", "g5", "g4"]
        page.reload()
        expect(connection(page)).to_have_text("Live")
    witness.judge()


TRADES = (
    (deployed(10_000), 10_000.0),
    (placed("o1", "SOL", "buy", 0.8), None),
    (filled("o1", 0.7, 100.0, fees=1.0), 9_999.0),
    (filled("o1", 0.1, 108.0, fees=0.5), 9_998.5),
    (opened("p1", "SOL", 0.8, 101.0), 9_998.5),
    (updated("p1", "SOL", 105.0, 3.2, 3.96), 10_001.7),
    (opened("p2", "ETH", 2.0, 3_000.0), 10_001.7),
    (updated("p2", "ETH", 2_985.0, -30.0, -0.5), 9_971.7),
    (placed("o2", "ETH", "sell", 2.0, limit=3_100.0), None),
    (placed("o3", "BTC", "buy", 0.5), None),
    (cancelled("o2"), None),
    (failed("o3"), None),
    (closed("p1", "SOL", 4.0), 9_972.5),
    (updated("p2", "ETH", 2_995.0, -10.0, -0.17), 9_992.5),
    (updated("p3", "BTC", 60_300.0, 12.25, 0.5), 10_004.75),
    (deployed(5_000), 5_000.0),
)
"""What happens, and the equity at the end of the curve from then on; None is no point of the curve."""


def test_orders_positions_and_equity_are_what_the_events_come_to(context: BrowserContext, site: Site) -> None:
    page, witness = enter(context, site, "Blaise")
    trades = timed(event for event, _ in TRADES)

    site.publish_many(trades[:3])
    expect_cells(page, "order=o1", "buy SOL market", "0.8000", "100.00", "open, 88 % filled")
    expect_figures(page, equity="9,999.00 USDC", open_gain="0.00", made="−1.00")
    site.publish_many(trades[3:8])
    expect_cells(page, "order=o1", "buy SOL market", "0.8000", "101.00", "filled")
    expect_cells(page, "position=p1", "SOL", "0.8000", "101.00", "105.00", "+3.20 +3.96 %")
    expect_cells(page, "position=p2", "ETH", "2.0000", "3,000.00", "2,985.00", "−30.00 −0.50 %")
    expect_figures(page, equity="9,971.70 USDC", open_gain="−26.80", made="−1.50")

    site.publish_many(trades[8:13])
    for _ in range(2):  # as it came, and as a new page finds it
        expect_cells(page, "order=o2", "sell ETH limit", "2.0000", "3,100.00", "cancelled")
        expect_cells(page, "order=o3", "buy BTC market", "0.5000", "–", "failed")
        expect(page.locator("[data-position=p1]")).to_have_count(0)
        expect_figures(page, equity="9,972.50 USDC", open_gain="−30.00", made="+2.50")
        expect_curve(page, 13)
        page.reload()
        expect(connection(page)).to_have_text("Live")

    site.publish_many(trades[13:15])
    expect_cells(page, "position=p3", "BTC", "–", "–", "60,300.00", "+12.25 +0.50 %")
    expect_figures(page, equity="10,004.75 USDC", open_gain="+2.25", made="+2.50")
    expect_curve(page, 15)
    channel, kind, data = trades[15]
    site.publish_many([(channel, kind, {**data, "timestamp": "2026-01-05T08:59:00Z"})])  # by a slow clock
    expect(page.locator("[data-position]")).to_have_count(0)
    expect_figures(page, equity="5,000.00 USDC", open_gain="0.00", made="0.00")
    assert [x for x, _ in curve(page)][-2:] == [100, 100]
    witness.judge()


def expect_cells(page: Page, row: str, *texts: str) -> None:
    """What stands in a row of a table, but for the time of day."""
    cells = page.locator(f"[data-{row}] td:not(.number)")
    expect(cells).to_have_text(list(texts), use_inner_text=True)


def expect_figures(page: Page, *, equity: str, open_gain: str, made: str) -> None:
    figures = page.locator(".figure", has_not_text="Strategy").locator(".value")
    expect(figures).to_have_text([equity, open_gain, made])


def curve(page: Page) -> list[tuple[float, ...]]:
    """The points of the equity curve in percent, from the left and from the top."""
    path = page.locator("path.stroke").get_attribute("d") or ""
    return [tuple(map(float, point.split(","))) for point in path.removeprefix("M").split("L")]


def expect_curve(page: Page, count: int) -> None:
    """Its points are the equity after each of so many events, each at its time."""
    known = [(place, equity) for place, (_, equity) in enumerate(TRADES[:count]) if equity is not None]
    values = [equity for _, equity in known]
    shown = curve(page)
    assert [x for x, _ in shown] == pytest.approx(
        [100 * place / known[-1][0] for place, _ in known], abs=0.01
    )
    highest, lowest = shown[values.index(max(values))][1], shown[values.index(min(values))][1]
    assert 0 < highest < lowest < 100
    scale = (lowest - highest) / (max(values) - min(values))
    assert [y for _, y in shown] == pytest.approx(
        [highest + (max(values) - value) * scale for value in values], abs=0.02
    )
    expect(page.get_by_role("img", name=f"Equity: from 10,000.00 to {values[-1]:,.2f}")).to_be_visible()


def test_a_page_that_is_refused_says_so_asks_no_more_and_lets_one_sign_in_again(
    context: BrowserContext, site: Site
) -> None:
    context.clock.install()
    page, witness = enter(context, site, "Ada")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))

    def expect_refusal() -> None:
        expect(page.get_by_role("alert")).to_contain_text("It does not accept your sign-in any more.")
        assert asked
        asked.clear()
        page.clock.run_for(120_000)
        assert asked == []

    witness.expect("WebSocket connection to")
    with site.down(JWT_SECRET="a-secret-that-the-sign-in-has-not-been-told"):
        expect(connection(page)).to_have_attribute("data-status", re.compile("waiting|connecting"))
    expect(connection(page)).to_have_text("Refused", timeout=BACK_MS)
    expect_refusal()
    page.screenshot(path=ARTEFACTS / "lumiere-refused.png")
    witness.expect("status of 401")
    page.reload()
    expect_refusal()
    with site.down():
        pass
    page.get_by_role("button", name="Sign in again").click()
    page.get_by_role("button", name="Ada").click()
    expect(connection(page)).to_have_text("Live")
    expect(page.get_by_role("alert")).to_have_count(0)
    witness.judge()


@needs_redis
def test_a_page_comes_back_by_itself_and_has_missed_nothing_when_its_node_is_killed_beside_redis(
    context: BrowserContext, tmp_path: Path
) -> None:
    with (
        redis_server() as redis,
        a_site(tmp_path / "log", REDIS_URL=redis.url) as site,
        a_node(tmp_path / "other", REDIS_URL=redis.url) as other,
    ):
        page, witness = enter(context, site, "Ada")
        site.publish(started())
        site.publish(step(0.25, "Loading"))
        site.publish(said("ada", "One, "))
        expect(page.get_by_role("log")).to_have_text("One,")
        witness.expect("WebSocket connection to")
        with site.down():
            expect(connection(page)).to_have_text(re.compile(r"^Back in \d+\.\d s"))
            for word in ("two, ", "three, ", "four"):
                publish(other.url, said("ada", word))
            publish(other.url, step(0.75, "Measuring"))
            expect(progress(page)).to_have_attribute("aria-valuenow", "25")
        expect(connection(page)).to_have_text("Live", timeout=BACK_MS)
        expect(page.get_by_role("log")).to_have_text("One, two, three, four")
        expect(progress(page)).to_have_attribute("aria-valuenow", "75")
        position = publish(other.url, completed()).position
        expect(progress(page)).to_have_attribute("aria-valuenow", "100")
        expect(page.get_by_role("contentinfo")).to_contain_text(position)
        expect(page.get_by_role("alert")).to_have_count(0)
        witness.judge()


def test_a_page_says_that_it_may_have_missed_something_when_its_node_is_killed_in_memory(
    context: BrowserContext, site: Site
) -> None:
    page, witness = enter(context, site, "Blaise")
    site.publish(said("blaise", "Before. "))
    expect(page.get_by_role("log")).to_contain_text("Before.")
    expect(page.get_by_role("alert")).to_have_count(0)
    witness.expect("WebSocket connection to")
    with site.down():
        expect(connection(page)).to_have_attribute("data-status", re.compile("waiting|connecting"))
    expect(connection(page)).to_have_text("Live", timeout=BACK_MS)
    expect(page.get_by_role("alert")).to_contain_text("Some events may be missing")
    page.screenshot(path=ARTEFACTS / "lumiere-gap.png")
    site.publish(said("blaise", "After."))
    expect(page.get_by_role("log")).to_contain_text("After.")
    page.get_by_role("button", name="Load anew").click()
    expect(page.get_by_role("log")).to_have_text("After.")
    expect(connection(page)).to_have_text("Live")
    expect(page.get_by_role("alert")).to_have_count(0)
    witness.judge()


def test_the_services_fill_the_page_until_ctrl_c_ends_all_of_it(browser: Browser) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.lumiere"],
        cwd=ROOT,
        env=environment() | {"LUMIERE_PACE": "6", "LUMIERE_PORT": "0", "LUMIERE_NODE_PORT": "0"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        told = iter(process.stdout.readline, "")
        address = next(line for line in told if "Lumière" in line).split()[-1]
        at, node = re.findall(
            r"http://[^,]+|\d+(?=\.$)", next(line for line in told if "Courier is at" in line)
        )
        for scheme in SCHEMES:
            for screen, size in SCREENS.items():
                context = browser.new_context(viewport=size, color_scheme=scheme)
                page = context.new_page()
                page_url = address.replace("127.0.0.1", HOSTS[scheme])
                witness = Witness(page, page_url, at)
                page.goto(page_url)
                page.get_by_role("button", name="Ada").click()
                expect(page.locator("[data-status=completed]").first).to_be_visible(timeout=10_000)
                expect(page.locator("[data-signal]").first).to_be_visible(timeout=10_000)
                expect(page.locator("[data-position]").first).to_be_visible(timeout=10_000)
                expect(page.get_by_role("img", name=re.compile("^Equity: from"))).to_be_visible()
                expect(page.locator("pre").first).to_contain_text("strategy", timeout=10_000)
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
                page.screenshot(path=ARTEFACTS / f"lumiere-{screen}-{scheme}.png", full_page=True)
                witness.judge()
                context.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        with pytest.raises(ProcessLookupError):
            os.kill(int(node), 0)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(10)
        process.stdout.close()
