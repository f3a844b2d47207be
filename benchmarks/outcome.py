"""Outcome: what one run came to; what several came to, as a row of a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

from benchmarks.process import Usage
from benchmarks.report import number
from benchmarks.tape import Faults


@dataclass(frozen=True)
class Outcome:
    """What one run came to."""

    figures: Mapping[str, float]
    """By name and unit; the first is what the scenario is about."""
    faults: Faults = field(default_factory=Faults)
    published: int = 0
    failed: str = ""
    """Why there are no figures, as a sentence: the server did not do what was asked."""

    @property
    def first(self) -> float:
        return next(iter(self.figures.values()))


def row(name: str, outcomes: Sequence[Outcome]) -> dict[str, str]:
    """The medians of one server for a table, and the sum of its faults."""
    good = [outcome for outcome in outcomes if not outcome.failed]
    failed = next((outcome.failed for outcome in outcomes if outcome.failed), "")
    cells = {"server": name}
    if good:
        first = next(iter(good[0].figures))
        values = [outcome.first for outcome in good]
        cells[first] = number(median(values))
        cells["lowest"], cells["highest"] = number(min(values)), number(max(values))
        for figure in list(good[0].figures)[1:]:
            cells[figure] = number(median(outcome.figures[figure] for outcome in good))
    cells["faults"] = failed or str(sum((outcome.faults for outcome in good), Faults()))
    return cells


class Timed(Protocol):
    """What the load client took for something."""

    @property
    def seconds(self) -> float: ...
    @property
    def client_seconds(self) -> float:
        """Of its processor."""

    @property
    def client_waited(self) -> float:
        """For how long it was ready to run and another process had its core."""


def costs(before: Usage, after: Usage, phase: Timed) -> dict[str, float]:
    """What a phase took, for the figures after the first.

    `disturbed`: for what share of the time other processes kept the server off its core, or the client, if
    more.
    """
    seconds = phase.seconds
    waited = max(after.waited_seconds - before.waited_seconds, phase.client_waited)
    return {
        "server busy %": 100 * (after.cpu_seconds - before.cpu_seconds) / seconds,
        "client busy %": 100 * phase.client_seconds / seconds,
        "disturbed %": 100 * waited / seconds,
        "server CPU s": after.cpu_seconds - before.cpu_seconds,
        "peak MiB": after.peak_rss_kib / 1024,
    }
