"""The curves: what is fitted, what the table and the picture show, and that every curve can be asked."""

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from benchmarks.curve import Curve, Drawn, Line, Measured
from benchmarks.curves import CURVES, size
from benchmarks.errors import LoadError
from benchmarks.fit import Fit
from benchmarks.growth import Growth
from benchmarks.node import NODE, reckoned
from benchmarks.outcome import Outcome
from benchmarks.panels import panels, ticks
from benchmarks.scenario import Scenario
from benchmarks.servers import Server
from benchmarks.tape import Faults


@dataclass(frozen=True)
class Shape:
    things: int = 1
    seconds: float = 4


def measure(server: Server, shape: Shape) -> Outcome:
    """A server for which everything costs 20 µs, and 3 more for each thing."""
    if shape.things == 13:
        raise LoadError("13 is too many")
    whole = 20 + 3 * shape.things
    figures = {"whole": float(whole), "each": whole / shape.things, "seconds": shape.seconds}
    return Outcome(figures, Faults(lost=shape.things == 100), 1)


SCENARIO = Scenario("thing", "{things} things", Shape(), {}, measure, "whole")
WHOLE = Line(
    "all of them",
    SCENARIO,
    lambda things: {"things": things},
    {"µs for all": lambda figures, value: figures["whole"]},
    "things",
)
SHARE = replace(
    WHOLE, title="each of them", columns={"µs each": lambda figures, value: figures["each"]}, shared=True
)
CURVE = Curve("Things", (1, 10, 100), (1,), "things", "µs", "of a thing", (WHOLE, SHARE))


def drawn(*values: int) -> Drawn:
    return Drawn.measured(replace(CURVE, values=values), quick=False, seconds={"seconds": 1.0, "warm_up": 9})


def texts(picture: str) -> list[str]:
    return [element.text for element in ElementTree.fromstring(picture).iter() if element.text]


def test_a_fit_finds_the_line_on_which_all_points_lie() -> None:
    fit = Fit.of((x, 20 + 3 * x) for x in (0, 1, 10, 5000))
    assert (fit.a, fit.b) == pytest.approx((20, 3))
    assert fit.told("µs", "things") == "20.0 µs + 3.00 µs × things"
    assert Fit(1, -0.5).told("µs", "things") == "1.00 µs − 0.50 µs × things"


def test_noise_in_the_largest_value_leaves_the_smallest_ones_right() -> None:
    fit = Fit.of([(1, 23), (10, 50), (100, 320), (10_000, 30_020 * 1.2)])
    assert fit.at(1) == pytest.approx(23, rel=0.1)


def test_one_point_makes_no_line() -> None:
    with pytest.raises(ValueError):
        Fit.of([(1, 2), (1, 3)])
    assert drawn(10).lines[0].fit is None
    assert drawn(10).told() == []


def test_the_share_of_one_and_the_cost_of_all_have_the_same_fit() -> None:
    for line in drawn(1, 10, 1000).lines:
        assert line.fit is not None
        assert (line.fit.a, line.fit.b) == pytest.approx((20, 3))
    whole, share = drawn(1, 10, 1000).lines
    assert whole.fitted(50) == pytest.approx(170)
    assert share.fitted(50) == pytest.approx(170 / 50)


def test_a_fit_counts_in_its_own_unit() -> None:
    line = Measured(replace(WHOLE, each="tens of things", step=10))
    for value in (10, 100):
        line.measure(value, {})
    assert line.fit is not None
    assert line.fit.b == pytest.approx(30)


def test_a_run_is_as_long_as_it_is_told_where_the_scenario_knows_of_length() -> None:
    assert drawn(1).lines[0].outcomes[1].figures["seconds"] == 1


def test_the_table_has_a_row_for_every_value_and_says_what_failed() -> None:
    one = drawn(1, 13, 1000)
    assert one.rows() == [
        {"things": "1", "µs for all": "23.0", "µs each": "23.0"},
        {"things": "13", "µs for all": "fails", "µs each": "fails"},
        {"things": "1,000", "µs for all": "3,020", "µs each": "3.02"},
    ]
    assert one.lines[0].failures == ["thing at 13: 13 is too many"]
    assert [value for value, _ in one.lines[0].points] == [1, 1000]


def test_the_picture_shows_every_curve_and_the_figure_of_every_point() -> None:
    one = drawn(1, 10, 1000)
    picture = panels([one, one, one], "here · load average 1.0")
    shown = texts(picture)
    assert shown.count("Things") == 3
    assert shown.count("3,020") == 3
    assert shown.count("3.02") == 3
    assert picture.count('class="courier fit"') == 3
    assert not any("load average" in text for text in shown)


def test_nothing_missed_has_a_place_left_of_what_has_a_logarithm() -> None:
    line = Measured(WHOLE)
    for value in (0, 10, 100):
        line.outcomes[value] = Outcome({"whole": 20.0 + 3 * value})
    picture = panels([Drawn(CURVE, (0, 10, 100), [line])], "here")
    dots = [
        float(element.attrib["cx"])
        for element in ElementTree.fromstring(picture).iter()
        if element.attrib.get("r") == "4" and element.attrib["cx"] != "28.0"
    ]
    assert dots[1] - dots[0] == pytest.approx(dots[2] - dots[1], abs=0.2)


def test_a_panel_of_which_every_run_failed_is_empty_and_well_formed() -> None:
    assert "Things" in texts(panels([drawn(13)], "here"))


@pytest.mark.parametrize(
    ("low", "high", "steps"),
    [
        (1.2, 209, [1, 2, 5, 10, 20, 50, 100, 200, 500]),
        (57, 106, [20, 50, 100, 200]),
        (100, 100, [20, 50, 100, 200]),
        (1, 10, [1, 2, 5, 10]),
        (0.03, 0.5, [0.02, 0.05, 0.1, 0.2, 0.5]),
    ],
)
def test_an_axis_holds_all_points_over_a_decade_at_least(low: float, high: float, steps: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(steps)


def test_all_of_a_run_is_written_with_its_faults_and_its_failures(tmp_path: Path) -> None:
    node = Drawn(NODE, (), [])
    growth = Growth("here", [drawn(1, 13, 100)], node, 7)
    text = growth.write(tmp_path, "quick.curves")
    assert "Fitted: all of them: 20.0 µs + 3.00 µs × things; each of them" in text
    assert "thing at 13: 13 is too many" in text
    assert "lost 2" in text
    assert "curves --quick" in text
    assert NODE.title not in text
    document = json.loads((tmp_path / "quick.curves.json").read_text(encoding="utf-8"))
    assert document["curves"][0]["lines"][0]["fit"]["each"] == "things"
    assert "Things" in texts((tmp_path / "quick.curves.svg").read_text(encoding="utf-8"))


def test_a_node_is_reckoned_by_the_first_fit_and_the_spread_beside_what_was_measured() -> None:
    line = Measured(NODE.lines[0])
    line.outcomes[500] = Outcome({"server busy %": 12.0, "p99 ms": 3.0, "peak MiB": 220.0})
    spread = Measured(SHARE)
    spread.outcomes = {1: Outcome({"each": 60.0}), 1000: Outcome({"each": 90.0})}
    growth = Growth("here", [drawn(1, 10), Drawn(CURVE, (1, 1000), [spread])], Drawn(NODE, (500,), [line]), 7)
    assert growth.spread == 30
    assert reckoned(500, Fit(20, 3), 30) == pytest.approx(3.25)
    row = next(row for row in growth.text("curves").splitlines() if row.startswith("| 500 "))
    assert [cell.strip() for cell in row.split("|")[1:-1]] == ["500", "3.25", "12.0", "3.00", "220"]
    assert replace(growth, drawn=[drawn(1, 10)]).spread == 0


@pytest.mark.parametrize("curve", [*CURVES, NODE], ids=lambda curve: curve.title)
def test_every_curve_asks_its_scenarios_what_they_can_be_asked(curve: Curve) -> None:
    columns = [title for line in curve.lines for title in line.columns]
    assert len(columns) == len(set(columns))
    for line in curve.lines:
        for value in (*curve.values, *curve.quick):
            shape = replace(line.scenario.shape, **line.shape(value))
            assert "{" not in line.scenario.text.format_map(vars(shape))


def test_sizes_are_said_in_the_unit_that_fits() -> None:
    assert [size(bytes_) for bytes_ in (200, 1024, 61_440)] == ["200 B", "1 KiB", "60 KiB"]
