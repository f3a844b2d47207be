"""Ratios between servers that took turns, and a server from another checkout."""

from pathlib import Path

import pytest

from benchmarks.outcome import Outcome
from benchmarks.ratios import ratios
from benchmarks.scenario import Scenario
from benchmarks.servers import COURIER, FASTAPI, SENDER, Server, of_checkout


def outcomes(*values: float) -> list[Outcome]:
    return [Outcome({"things/s": value, "µs each": 1 / value, "faulty": 0.0}) for value in values]


def test_each_turn_is_divided_by_the_same_turn_of_the_base() -> None:
    [row] = ratios({"a": outcomes(10, 60, 30), "b": outcomes(10, 20, 20)}, "b")
    assert row["divided by b"] == "a"
    assert (row["things/s"], row["lowest"], row["highest"], row["turns"]) == ("1.50", "1.00", "3.00", "3")
    assert row["µs each"] == "0.67"
    assert "faulty" not in row


def test_a_turn_without_figures_counts_for_neither() -> None:
    failed = Outcome({}, failed="no")
    [row] = ratios({"a": [*outcomes(10), failed, *outcomes(40)], "b": outcomes(10, 10, 10)}, "b")
    assert row["turns"] == "2"
    assert ratios({"a": [failed], "b": outcomes(10)}, "b") == []


def test_servers_take_turns_and_every_second_turn_the_other_way_round() -> None:
    asked = []

    def measure(server: Server, shape: None) -> Outcome:
        asked.append(server)
        return Outcome({"things/s": 1.0})

    Scenario("thing", "", None, {}, measure, "things/s").compare([COURIER, FASTAPI], None, 3)
    assert asked == [COURIER, FASTAPI, FASTAPI, COURIER, COURIER, FASTAPI]


def test_a_server_of_another_checkout_runs_by_the_tools_there(tmp_path: Path) -> None:
    other = of_checkout(COURIER, tmp_path)
    assert other.command == (f"{tmp_path}/.venv/bin/courier", *COURIER.command[1:])
    assert other.environment == COURIER.environment
    assert other.absent() == f"{tmp_path}/.venv/bin/courier is not there"
    with pytest.raises(ValueError, match="not of a checkout"):
        of_checkout(SENDER, tmp_path)
