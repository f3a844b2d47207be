"""One browser and one node for all tests of the page, and a witness of what the browser complains of."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, ViewportSize, sync_playwright

from courier.web.admin.cookie import COOKIE
from tests.system.processes import BIN, ROOT, a_free_port, environment
from tests.web.servers import announcement

TOKEN = "an-admin-token-for-tests"
ARTEFACTS = ROOT / "tests" / "artefacts"
DESK: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}


class Node:
    """A node in a process of its own, and what is published to it."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self.process = process

    @cached_property
    def session(self) -> str:
        """What the cookie of a browser that is signed in holds."""
        return httpx.post(f"{self.url}/admin/sign-in", data={"token": TOKEN}).cookies[COOKIE]

    def publish(self, channel: str, count: int = 1, title: str = "t") -> None:
        """So many announcements, in batches."""
        while count > 0:
            events = [{"channel": channel, "data": announcement(title)} for _ in range(min(count, 500))]
            if len(title) > 1000:
                events = events[:10]
            answer = httpx.post(
                f"{self.url}/publish/batch", json={"events": events}, headers={"X-Service-Name": "tests"}
            )
            assert answer.json()["failed"] == 0
            count -= len(events)


class Witness:
    """What a page's browser complained of, and whom it asked."""

    def __init__(self, page: Page, *urls: str) -> None:
        self._asks = tuple(f"{url}/" for url in urls)
        self._complaints: list[str] = []
        self._expected: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self._complaints.append(str(error)))
        page.on("request", self._asked)

    def expect(self, text: str) -> None:
        """What is said and has this in it, such as the status of a refusal, is no complaint."""
        self._expected.append(text)

    def judge(self) -> None:
        """There was no complaint; what was expected is so no more."""
        complaints, self._complaints, self._expected = self._complaints, [], []
        assert complaints == []

    def _said(self, message: ConsoleMessage) -> None:
        wanted = any(text in message.text for text in self._expected)
        if message.type in ("error", "warning") and not wanted:
            self._complaints.append(message.text)

    def _asked(self, request: Request) -> None:
        if request.url != "about:blank" and not request.url.startswith(self._asks):
            self._complaints.append(f"asked {request.url}")


@contextmanager
def a_node(log: Path, bind: str | None = None, **variables: str) -> Iterator[Node]:
    """A node for the length of a block, drained at its end."""
    bind = bind or f"127.0.0.1:{a_free_port()}"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [str(BIN / "courier"), "serve", "--bind", bind],
            cwd=ROOT,
            env=environment(ADMIN_TOKEN=TOKEN, DRAIN_SECONDS="1", **variables),
            stderr=stderr,
            stdout=subprocess.DEVNULL,
        )
    try:
        _until_ready(f"http://{bind}", process, log)
        yield Node(f"http://{bind}", process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{url}/health/ready").status_code == 200:
                return
        except httpx.ConnectError:
            time.sleep(0.05)  # nothing says when a process begins to listen
    raise AssertionError(log.read_text())


@pytest.fixture(scope="package")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with a_node(tmp_path_factory.mktemp("node") / "log") as started:
        yield started


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.fail("These tests need Chromium: install it (Debian: chromium)", pytrace=False)
    ARTEFACTS.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        # As root, and in containers, Chromium has no sandbox; it opens our own pages only.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit(NamedTuple):
    """A browser's window, and who watches it."""

    page: Page
    witness: Witness


@contextmanager
def a_visit(
    browser: Browser, node: Node, size: ViewportSize = DESK, *, dark: bool = False, signed_in: bool = True
) -> Iterator[Visit]:
    """A window that remembers nothing but its session; at the end it must have had nothing to complain of."""
    context = browser.new_context(
        viewport=size, color_scheme="dark" if dark else "light", reduced_motion="reduce"
    )
    if signed_in:
        context.add_cookies([{"name": COOKIE, "value": node.session, "url": f"{node.url}/admin"}])
    page = context.new_page()
    witness = Witness(page, node.url)
    try:
        page.goto(f"{node.url}/admin")
        yield Visit(page, witness)
        witness.judge()
    finally:
        context.close()


@pytest.fixture(scope="package")
def window(browser: Browser, node: Node) -> Iterator[Visit]:
    with a_visit(browser, node) as opened:
        yield opened


@pytest.fixture
def page(window: Visit, node: Node) -> Iterator[Page]:
    """The dashboard, signed in, on a desk; nothing is left of the test before."""
    window.page.goto("about:blank")
    window.page.goto(f"{node.url}/admin")
    yield window.page
    window.page.unroute_all()
    window.page.set_viewport_size(DESK)
    window.page.emulate_media(color_scheme="light")
    window.witness.judge()


@pytest.fixture
def witness(window: Visit) -> Witness:
    return window.witness
