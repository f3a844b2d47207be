"""Fit: the straight line through what was measured, by which one can reckon what was not."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.report import number


@dataclass(frozen=True)
class Fit:
    """`a + b * x`."""

    a: float
    b: float

    @classmethod
    def of(cls, points: Iterable[tuple[float, float]]) -> "Fit":
        """The line whose misses, each as a share of the value measured, have the smallest sum of squares.

        Shares, since x goes over decades: by plain differences the largest x would decide alone, and `a` be
        what its noise leaves. ValueError when the points do not lie at two different x at least.
        """
        weighted = [(1 / y**2, x, y) for x, y in points]
        total = sum(weight for weight, _, _ in weighted)
        if len({x for _, x, _ in weighted}) < 2:
            raise ValueError("a line needs two points that lie apart")
        x_mean = sum(weight * x for weight, x, _ in weighted) / total
        y_mean = sum(weight * y for weight, _, y in weighted) / total
        b = sum(weight * (x - x_mean) * (y - y_mean) for weight, x, y in weighted) / sum(
            weight * (x - x_mean) ** 2 for weight, x, _ in weighted
        )
        return cls(y_mean - b * x_mean, b)

    def at(self, x: float) -> float:
        return self.a + self.b * x

    def told(self, unit: str, what: str) -> str:
        """As a formula: `77.0 µs + 6.90 µs × subscribers`."""
        return f"{number(self.a)} {unit} {'−' if self.b < 0 else '+'} {number(abs(self.b))} {unit} × {what}"
