"""Curve: what Courier costs at several values of one variable, everything else the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from benchmarks.fit import Fit
from benchmarks.outcome import Outcome
from benchmarks.report import number
from benchmarks.scenario import Scenario
from benchmarks.servers import COURIER
from benchmarks.tape import Faults

Figures = Mapping[str, float]
Column = Callable[[Figures, int], float]
"""A figure of the table, from those of a run and the value that it was run with."""


@dataclass(frozen=True)
class Line:
    """One scenario, run once for each value."""

    title: str
    scenario: Scenario
    shape: Callable[[int], Mapping[str, Any]]
    """What of the scenario's shape a value decides, and what is the same for all."""
    columns: Mapping[str, Column]
    """What the table shows of a run, by title; the first is what the picture shows."""
    each: str = ""
    """What `b` of the fit is the cost of one of; empty: no straight line is to be expected."""
    step: int = 1
    """So many of the variable's units are one of `each`."""
    shared: bool = False
    """The first column is the cost of one of `value` shares, and the fit is that of the whole."""


@dataclass(frozen=True)
class Curve:
    """Lines over the same values."""

    title: str
    values: Sequence[int]
    quick: Sequence[int]
    variable: str
    unit: str
    """Of what the picture shows; the fits have it too."""
    about: str
    """What the unit is of, for the picture."""
    lines: Sequence[Line]
    label: Callable[[int], str] = "{:,}".format


@dataclass
class Measured:
    """What a line came to."""

    line: Line
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    """By value."""

    def measure(self, value: int, seconds: Mapping[str, float]) -> None:
        """Run the scenario with this value; `seconds`, as far as it has such fields, say how long."""
        usual = self.line.scenario.shape
        shape = replace(usual, **{name: some for name, some in seconds.items() if hasattr(usual, name)})
        shape = replace(shape, **self.line.shape(value))
        [self.outcomes[value]] = self.line.scenario.compare([COURIER], shape, 1)[COURIER.name]

    @property
    def points(self) -> list[tuple[int, float]]:
        """What the picture shows: value and first figure, where there is one."""
        first = next(iter(self.line.columns.values()))
        return [(value, first(one.figures, value)) for value, one in self.outcomes.items() if not one.failed]

    @property
    def fit(self) -> Fit | None:
        """How the cost of the whole grows with each of `line.each`; None where that is not asked."""
        if not self.line.each or len(self.points) < 2:
            return None
        return Fit.of((x / self.line.step, y * x if self.line.shared else y) for x, y in self.points)

    def fitted(self, value: float) -> float | None:
        """What the fit says of the first column; None where there is none."""
        if (fit := self.fit) is None:
            return None
        return fit.at(value / self.line.step) / (value if self.line.shared else 1)

    def cells(self, value: int) -> dict[str, str]:
        """The columns of a row of the table."""
        outcome = self.outcomes.get(value)
        if outcome is None or outcome.failed:
            return dict.fromkeys(self.line.columns, "fails" if outcome else "–")
        return {title: number(column(outcome.figures, value)) for title, column in self.line.columns.items()}

    @property
    def failures(self) -> list[str]:
        """Why there are no figures, for each value that has none."""
        return [
            f"{self.line.scenario.name} at {value:,}: {outcome.failed}"
            for value, outcome in self.outcomes.items()
            if outcome.failed
        ]

    @property
    def faults(self) -> Faults:
        return sum((one.faults for one in self.outcomes.values()), Faults())

    @property
    def disturbed(self) -> float:
        """For what percentage of the time other processes kept the server or the client off its core."""
        found = [one.figures["disturbed %"] for one in self.outcomes.values() if "disturbed %" in one.figures]
        return median(found) if found else 0.0


@dataclass
class Drawn:
    """A curve and what its lines came to."""

    curve: Curve
    values: Sequence[int]
    lines: list[Measured]

    @classmethod
    def measured(cls, curve: Curve, *, quick: bool, seconds: Mapping[str, float]) -> "Drawn":
        """The lines take turns, so that all have the same weather."""
        drawn = cls(curve, curve.quick if quick else curve.values, [Measured(line) for line in curve.lines])
        for value in drawn.values:
            for line in drawn.lines:
                line.measure(value, seconds)
        return drawn

    def rows(self) -> list[dict[str, str]]:
        """For a table: one row a value."""
        return [self._row(value) for value in self.values]

    def told(self) -> list[str]:
        """The fits as sentences."""
        return [
            f"{line.line.title}: {line.fit.told(self.curve.unit, line.line.each)}"
            for line in self.lines
            if line.fit is not None
        ]

    def _row(self, value: int) -> dict[str, str]:
        row = {self.curve.variable: self.curve.label(value)}
        for line in self.lines:
            row |= line.cells(value)
        return row
