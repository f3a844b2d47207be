"""The admin's page as a person uses it, in a real browser against a real node."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import httpx
from playwright.sync_api import Browser, Page, Route, ViewportSize, expect

from tests.browser.conftest import ARTEFACTS, DESK, PHONE, TOKEN, Node, Witness, a_visit
from tests.browser.subscribers import Subscriber
from tests.web.servers import announcement

READY = {
    "": ".plot path.line",
    "channels": "tbody tr",
    "connections": "tbody tr",
    "channels/user.shown": ".feed summary",
    "refusals": "tbody tr",
    "revocations": "tbody tr",
    "publish": "#field-title",
}
"""The sections of the page, and what each shows when it has all that it shows."""

SCREENS: dict[str, ViewportSize] = {"desk": DESK, "laptop": {"width": 1280, "height": 800}, "phone": PHONE}

STICKS_OUT = """
const right = (element) => element.getBoundingClientRect().right;
return [...document.querySelectorAll('#view .field > *, #view .field input')]
  .filter((each) => right(each) > right(each.closest('.field')) + 0.5).map((each) => each.id);
"""
"""Parts of a form that are wider than their field."""

CUT = """
return [...document.querySelectorAll('#view td, #facts dd')]
  .filter((each) => each.offsetParent && !each.querySelector('a, button'))
  .filter((each) => each.scrollWidth > each.clientWidth).map((each) => each.textContent);
"""
"""Cells of tables that show less than they hold; a name that is a link may be long."""

SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")


@contextmanager
def traffic(node: Node, channel: str) -> Iterator[None]:
    """Events that go on coming for the length of a block."""
    enough = threading.Event()

    def flow() -> None:
        while not enough.wait(0.05):
            node.publish(channel, 5)

    thread = threading.Thread(target=flow)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def go(page: Page, section: str) -> None:
    page.get_by_role("navigation", name="Sections").get_by_role("link", name=section).click()
    page.wait_for_url(re.compile(section.lower()))


def row_of(page: Page, user: str) -> Any:
    return page.get_by_role("row").filter(has_text=user)


def sign_in(page: Page, token: str) -> None:
    page.get_by_label("Admin token").fill(token)
    page.keyboard.press("Enter")


def test_a_wrong_token_is_told_and_the_right_one_opens_the_page_until_one_signs_out(
    browser: Browser, node: Node
) -> None:
    with a_visit(browser, node, signed_in=False) as (page, witness):
        witness.expect("status of 401")
        sign_in(page, "not-the-token")
        expect(page.get_by_role("alert")).to_have_text("Wrong admin token.")
        page.screenshot(path=ARTEFACTS / "sign-in.png")
        sign_in(page, TOKEN)
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        assert TOKEN not in page.url
        assert TOKEN not in page.content()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in to Courier")).to_be_visible()
        page.goto(f"{node.url}/admin#/connections")
        expect(page.get_by_label("Admin token")).to_be_visible()


def test_numbers_move_while_events_flow(page: Page, node: Node) -> None:
    with Subscriber(node.url, "user.flow", "flow"), traffic(node, "user.flow"):
        expect(page.get_by_role("status").first).to_have_text("Live")
        shown = page.locator("[data-tile=delivered]")
        expect(shown).to_have_text(re.compile("^[1-9]"))
        before = page.locator("#uptime").inner_text()
        expect(page.locator("#uptime")).not_to_have_text(before)
        expect(page.locator("[data-tile=connections]")).not_to_have_text("0")
        chart = page.get_by_role("group", name=re.compile("^Events a second: in [1-9]"))
        expect(chart).to_be_visible()
        assert chart.locator("path.line").first.get_attribute("d")
        chart.focus()
        page.keyboard.press("ArrowLeft")
        expect(chart.locator(".tip")).to_contain_text(re.compile(r"\d\d:\d\d:\d\d"))


def test_a_slow_subscriber_is_found_by_its_lag_and_closed(page: Page, node: Node) -> None:
    with (
        Subscriber(node.url, "user.slow", "slow", reads=False) as slow,
        Subscriber(node.url, "global", "quick"),
    ):
        node.publish("user.slow", 60, "t" * 60_000)
        go(page, "Connections")
        page.get_by_role("searchbox").fill("SLOW")
        expect(page.get_by_role("row")).to_have_count(2)
        row = row_of(page, "user.slow")
        expect(row.locator(".lag")).to_have_text(re.compile("^[1-9]"))
        expect(row).to_contain_text("Behind")
        row.get_by_role("button", name="slow", exact=True).click()
        expect(page.get_by_role("dialog")).to_contain_text("In the socket")
        page.get_by_role("dialog").get_by_role("button", name="Done").click()
        row.get_by_role("button", name="Close the connection of slow").click()
        expect(page.get_by_role("dialog")).to_contain_text("1013")
        page.get_by_role("dialog").get_by_role("button", name="Close connection").click()
        expect(page.get_by_text("The connection of slow is being closed.")).to_be_visible()
        assert slow.close_code() == 1013
        page.get_by_role("searchbox").fill("")
        expect(row_of(page, "quick")).to_be_visible()
        expect(row_of(page, "user.slow")).to_have_count(0)


def test_what_a_user_calls_itself_is_only_ever_text(page: Page, node: Node) -> None:
    with Subscriber(node.url, "global", '<img src=x onerror="alert(1)">'):
        go(page, "Connections")
        expect(page.get_by_role("button", name='<img src=x onerror="alert(1)">', exact=True)).to_be_visible()
        assert page.locator("table img").count() == 0


def test_nothing_in_a_users_name_turns_the_reading_order(page: Page, node: Node) -> None:
    with Subscriber(node.url, "global", "alice\u202eeve\u2066\u200b"):
        go(page, "Connections")
        name = page.get_by_role("button", name=r"alice\u202eeve\u2066\u200b", exact=True)
        expect(name).to_be_visible()
        assert name.get_attribute("title") == r"alice\u202eeve\u2066\u200b"


def test_refused_opens_the_last_refusals_with_their_causes(page: Page, node: Node) -> None:
    answer = httpx.post(
        f"{node.url}/publish/user.refused",
        json=announcement(severity="loud"),
        headers={"X-Service-Name": "tests"},
    )
    assert answer.status_code == 400
    page.goto(f"{node.url}/admin#/")
    page.locator(".legend").get_by_role("link", name="refused").click()
    row = page.get_by_role("row").filter(has_text="user.refused").first
    expect(row).to_contain_text("Invalid event schema")
    expect(row).to_contain_text("severity: Input should be 'info', 'warning' or 'critical'")
    expect(row).to_contain_text("publish 400")
    expect(row).to_contain_text("tests")
    row.get_by_role("button").click()
    expect(page.get_by_role("dialog")).to_contain_text("system.announcement")
    page.get_by_role("button", name="Done").click()
    page.get_by_label("Search users, services, causes").fill("nothing like this")
    expect(page.get_by_role("heading", name="Nothing found")).to_be_visible()


def revoke(node: Node, **said: str) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert httpx.post(f"{node.url}/admin/revocations", json=said, headers=bearer).status_code == 200


def test_a_connection_for_many_channels_shows_each_of_them(page: Page, node: Node) -> None:
    with Subscriber(node.url, ["user.many", "global", "strategy.7"], "many"):
        page.goto(f"{node.url}/admin#/connections")
        row = page.locator("tr", has_text="3 channels")
        expect(row).to_be_visible()
        row.get_by_role("button", name="many", exact=True).click()
        facts = page.get_by_role("dialog")
        for channel in ("user.many", "global", "strategy.7"):
            expect(facts.get_by_text(channel, exact=True)).to_be_visible()
        expect(facts).to_contain_text("Current, 0 behind")
        page.screenshot(path=ARTEFACTS / "many-channels.png")


def test_a_users_tokens_are_revoked_at_a_connection_and_taken_back_in_the_list(
    page: Page, node: Node
) -> None:
    with Subscriber(node.url, "user.gone", "gone") as gone, Subscriber(node.url, "global", "away") as away:
        go(page, "Connections")
        row_of(page, "gone").first.get_by_role("button", name="gone", exact=True).click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="Revoke tokens").click()
        expect(dialog).to_contain_text("Token revoked")
        dialog.get_by_role("button", name="Revoke", exact=True).click()
        expect(page.get_by_text("The tokens of gone count no more.")).to_be_visible()
        assert gone.close_code() == 1008
        row_of(page, "away").get_by_role("button", name="away", exact=True).click()
        dialog.get_by_role("button", name="Close all of this user").click()
        dialog.get_by_role("button", name="Close all", exact=True).click()
        expect(page.get_by_text("All connections of away are being closed.")).to_be_visible()
        assert away.close_code() == 1013
    go(page, "Revocations")
    expect(row_of(page, "gone")).to_contain_text("a user")
    page.get_by_role("button", name="Take back the revocation of gone").click()
    page.get_by_role("dialog").get_by_role("button", name="Take back", exact=True).click()
    expect(page.get_by_text("The revocation of gone is taken back.")).to_be_visible()
    expect(row_of(page, "gone")).to_have_count(0)


def test_tables_are_sorted_by_the_node(page: Page, node: Node) -> None:
    node.publish("user.sort-a", 1)
    node.publish("user.sort-b", 3)
    go(page, "Channels")
    page.get_by_role("searchbox").fill("user.sort")
    expect(page.get_by_role("row")).to_have_count(3)
    page.get_by_role("button", name="Events kept").click()
    expect(page.get_by_role("columnheader", name="Events kept")).to_have_attribute("aria-sort", "descending")
    expect(page.get_by_role("row").nth(1)).to_contain_text("user.sort-b")
    page.get_by_role("button", name="Events kept").click()
    expect(page.get_by_role("row").nth(1)).to_contain_text("user.sort-a")


def test_one_channel_shows_who_is_there_and_its_events_as_they_come(page: Page, node: Node) -> None:
    with Subscriber(node.url, "user.opened", "opened"):
        node.publish("user.opened", 2, "first words")
        go(page, "Channels")
        page.get_by_role("searchbox").fill("user.opened")
        page.get_by_role("link", name="user.opened").click()
        expect(row_of(page, "opened")).to_be_visible()
        feed = page.get_by_role("list", name="Latest events")
        expect(feed.get_by_role("listitem")).to_have_count(2)
        node.publish("user.opened", 1, "last words")
        expect(feed.get_by_role("listitem")).to_have_count(3)
        feed.get_by_text("system.announcement").first.click()
        expect(feed).to_contain_text("last words")
        expect(feed).not_to_contain_text("first words")


def test_a_channel_that_does_not_run_shows_as_soon_as_it_begins(
    page: Page, witness: Witness, node: Node
) -> None:
    witness.expect("status of 404")
    page.goto(f"{node.url}/admin#/channels/user.later")
    expect(page.get_by_role("heading", name="This channel is not running")).to_be_visible()
    node.publish("user.later")
    expect(page.get_by_text("system.announcement")).to_be_visible()


def test_a_test_event_reaches_a_subscriber_and_a_wrong_one_is_told_at_its_field(
    page: Page, witness: Witness, node: Node
) -> None:
    witness.expect("status of 400")
    with Subscriber(node.url, "user.test", "test") as subscriber:
        go(page, "Publish")
        page.get_by_label("type").select_option("backtest.progress")
        page.get_by_label("channel").fill("user.test")
        for name in ("job_id", "user_id", "backtest_id", "stage", "message"):
            page.get_by_label(name).fill("x")
        page.get_by_label("progress").fill("7")
        page.get_by_role("button", name="Publish", exact=True).click()
        field = page.get_by_label("progress")
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_be_focused()
        expect(page.locator("#field-progress-wrong")).to_have_text("Input should be less than or equal to 1")
        page.screenshot(path=ARTEFACTS / "publish-refused.png")
        field.fill("0.25")
        page.keyboard.press("Control+Enter")
        expect(page.get_by_text("Published to user.test: 1 subscriber.")).to_be_visible()
        expect(page.locator("#field-progress-wrong")).to_be_hidden()
        event = subscriber.next_event()
        assert (event["type"], event["progress"], event["source"]) == (
            "backtest.progress",
            0.25,
            "courier-admin",
        )
        expect(page.get_by_role("list", name="What was published")).to_contain_text(event["id"])

        page.get_by_role("tab", name="As JSON").click()
        editor = page.get_by_role("textbox", name="event JSON")
        expect(editor).to_have_value(re.compile('"progress": 0.25'))
        editor.fill('{"type": "system.announcement", "source": "desk", "title": 5, "message": "m"}')
        page.get_by_role("button", name="Publish", exact=True).click()
        expect(page.locator("#field-json-wrong")).to_have_text(
            "title: Input should be a valid string · severity: Field required"
        )
        editor.fill("{")
        page.get_by_role("button", name="Publish", exact=True).click()
        expect(page.locator("#field-json-wrong")).to_contain_text("JSON")
        page.get_by_label("channel").fill("nowhere")
        editor.fill('{"type": "system.announcement"}')
        page.get_by_role("button", name="Publish", exact=True).click()
        expect(page.locator("#field-channel-wrong")).to_contain_text("Unknown channel")


def test_the_page_says_when_the_node_leaves_or_is_away_and_goes_on_by_itself(
    page: Page, witness: Witness
) -> None:
    witness.expect("net::ERR_FAILED")
    status = page.locator("#status")

    def leave(route: Route) -> None:
        answer = route.fetch()
        overview = answer.json()
        overview["node"]["phase"] = "leaving"
        route.fulfill(response=answer, json=overview)

    expect(status).to_have_text("Live")
    page.route("**/admin/overview*", leave)
    expect(status).to_have_text("Leaving")
    expect(page.get_by_text("The node is about to drain")).to_be_visible()
    page.unroute("**/admin/overview*")
    page.route("**/admin/overview*", lambda route: route.abort())
    expect(status).to_have_text("Unreachable")
    expect(page.get_by_text("This page keeps trying")).to_be_visible()
    page.unroute("**/admin/overview*")
    expect(status).to_have_text("Live")
    expect(page.locator("#banner")).to_be_hidden()


def test_every_section_fits_its_screen_by_day_and_by_night(page: Page, node: Node) -> None:
    long_name = "a-name-that-is-as-long-as-a-name-may-be-" + "x" * 80
    with Subscriber(node.url, "user.shown", "shown"), Subscriber(node.url, "global", long_name):
        node.publish("user.shown", 3)
        httpx.get(f"{node.url}/history/user.shown?token=junk")
        revoke(node, user_id="somebody")
        revoke(node, token_id="x" * 80)
        for section, ready in READY.items():
            page.goto(f"{node.url}/admin#/{section}")
            expect(page.locator(ready).first).to_be_visible()
            for name, size in SCREENS.items():
                page.set_viewport_size(size)
                assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), section
                assert page.evaluate(f"() => {{{STICKS_OUT}}}") == [], (section, name)
                assert page.evaluate(f"() => {{{CUT}}}") == [], (section, name)
                for scheme in SCHEMES:
                    page.emulate_media(color_scheme=scheme)
                    shot = f"{section.replace('/', '-') or 'overview'}-{name}-{scheme}.png"
                    page.screenshot(path=ARTEFACTS / shot)
