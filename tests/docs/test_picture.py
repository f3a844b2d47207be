"""The README's picture: it is what `make picture` records, and shows both halves of the promise."""

import re
from xml.etree import ElementTree

from tests.test_docs import ROOT
from tools.picture import TARGET
from tools.svg import COLUMNS, Line, Pane, animation

PANE = Pane("a subscriber", 3)


def test_the_picture_shows_a_replay_without_a_gap_and_a_gap_where_the_log_was_lost() -> None:
    text = " ".join(ElementTree.fromstring(TARGET.read_text(encoding="utf-8")).itertext())
    before, gap, after = text.partition("Gap in orders.acme")
    assert gap
    subscriber = after.partition("the shop")[0]
    assert "(unknown_position)" in subscriber
    epoch = re.search(r" (\w{8})-1 ", before)
    assert epoch
    positions = [f"{epoch[1]}-{offset}" for offset in (1, 2, 3, 4)]
    places = [before.find(position) for position in positions]
    assert places == sorted(places)
    assert min(places) > 0, "two before the node is killed, and two after"
    assert "images/courier.svg" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_line_appears_at_its_moment_and_text_is_escaped() -> None:
    svg = animation([Line(PANE, 0, "$ a <b> & c"), Line(PANE, 5, "\x1b[2mquiet\x1b[0m")], "t")
    assert "$ a &lt;b&gt; &amp; c" in svg
    assert '<tspan class="quiet">quiet</tspan>' in svg
    assert "k2{0%{opacity:0}50.00%{opacity:1}}" in svg
    ElementTree.fromstring(svg)


def test_a_long_line_is_cut_and_a_pane_holds_no_more_than_its_rows() -> None:
    svg = animation([Line(PANE, at, "x" * 500) for at in range(5)], "t")
    lines = re.findall(r">(x+…)</text>", svg)
    assert [len(line) for line in lines] == [COLUMNS] * 3
