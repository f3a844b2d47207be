"""Panels: curves side by side, logarithmic both ways, each point with its figure, each fit a dashed line."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from benchmarks.curve import Drawn, Measured
from benchmarks.report import number
from benchmarks.svg import opening, text

WIDTH, PANEL_WIDTH, PANEL_HEIGHT = 900, 438, 268
TOP, FOOT = 62, 58
LEFT, RIGHT, ABOVE, BELOW = 66, 30, 78, 46
"""Room within a panel, round what is plotted."""

_COLOURS = ("courier", "hub")
_STYLE = """\
  .line { fill: none; stroke-width: 2; stroke-linejoin: round }
  .fit { fill: none; stroke-width: 1.5; stroke-dasharray: 2 4; opacity: 0.8 }
  .courier.line, .courier.fit { fill: none; stroke: #4f46e5 } .hub.dot { fill: #bc4c00; stroke: none }
  @media (prefers-color-scheme: dark) {
    .courier.line, .courier.fit { stroke: #8b87ff } .hub.dot { fill: #f0883e }
  }
"""
_STEPS = (1, 2, 5)
_FEW = 6
"""Grid lines that all have room for a figure."""
_UNDER = 32
"""How far below the plot the values stand, so that the figure of a point on its edge has room between."""
_FIT_POINTS = 48


def panels(drawn: Sequence[Drawn], where: str) -> str:
    """Two panels a row."""
    height = TOP + -(-len(drawn) // 2) * PANEL_HEIGHT + FOOT
    lines = [
        *opening(WIDTH, height, "What Courier costs, by four variables", _STYLE),
        text(24, 36, "How Courier's costs grow", "strong", 19, weight=600),
    ]
    for place, one in enumerate(drawn):
        lines += _panel(one, 12 + place % 2 * PANEL_WIDTH, TOP + place // 2 * PANEL_HEIGHT)
    foot = " · ".join(part for part in where.split(" · ") if not part.startswith("load average"))
    note = "Microseconds of the server's processor, both axes logarithmic. Dashed: a straight line, fitted."
    lines += [
        text(24, height - 26, note, "soft", 12),
        text(24, height - 10, foot, "soft", 10.5),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Scale:
    """Where a value stands on an axis that goes up by factors."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """What is below `low` stands there: 0 has no logarithm."""
        share = log10(max(value, self.low) / self.low) / log10(self.high / self.low)
        return self.start + share * (self.end - self.start)


def ticks(low: float, high: float) -> list[float]:
    """Steps of 1, 2 and 5 that hold `low` and `high` between them, over a decade at least.

    A cost that stays the same shall look it, whatever noise there is.
    """
    first, last = floor(3 * log10(low)) - 1, ceil(3 * log10(high)) + 1
    while _step(first + 1) <= low:
        first += 1
    while _step(last - 1) >= high:
        last -= 1
    while last - first < len(_STEPS):
        first, last = (first, last + 1) if high / _step(last) > _step(first) / low else (first - 1, last)
    return [_step(place) for place in range(first, last + 1)]


def _step(place: int) -> float:
    return _STEPS[place % len(_STEPS)] * 10.0 ** (place // len(_STEPS))


def _panel(drawn: Drawn, x: float, y: float) -> Iterator[str]:
    curve = drawn.curve
    yield text(x + 12, y + 16, curve.title, "strong", 14, weight=600)
    yield text(x + 12, y + 34, f"{curve.unit}, {curve.about}", "soft", 11.5)
    yield from _legend(drawn, x + 12, y + 54)
    found = [value for line in drawn.lines for _, value in line.points]
    if not found:
        return
    steps = ticks(min(found), max(found))
    up = _Scale(steps[0], steps[-1], y + PANEL_HEIGHT - BELOW, y + ABOVE)
    positive = [value for value in drawn.values if value]
    beginning = positive[0] / 10 if len(positive) < len(drawn.values) else positive[0]
    across = _Scale(beginning, positive[-1], x + LEFT, x + PANEL_WIDTH - RIGHT)
    yield from _axes(drawn, steps, across, up)
    highest = max(drawn.lines, key=_height)
    for line, colour in zip(drawn.lines, _COLOURS, strict=False):
        yield from _line(line, colour, across, up, above=line is highest)


def _height(line: Measured) -> float:
    """How high a line lies: figures stand above the upper one and below the lower one."""
    return sum(log10(value) for _, value in line.points) / max(1, len(line.points))


def _legend(drawn: Drawn, x: float, y: float) -> Iterator[str]:
    for line, colour in zip(drawn.lines, _COLOURS, strict=False):
        yield f'<circle class="{colour} dot" cx="{x + 4:.1f}" cy="{y - 4:.1f}" r="4"/>'
        yield text(x + 14, y, line.line.title, "strong", 12)
        x += 14 + 6.6 * len(line.line.title) + 20


def _axes(drawn: Drawn, steps: Sequence[float], across: _Scale, up: _Scale) -> Iterator[str]:
    for place, step in enumerate(steps):
        y = up.at(step)
        yield f'<line class="grid" x1="{across.start:.1f}" y1="{y:.1f}" x2="{across.end:.1f}" y2="{y:.1f}"/>'
        if len(steps) <= _FEW or log10(step).is_integer() or place in (0, len(steps) - 1):
            yield text(across.start - 22, y + 4, f"{step:,g}", "soft", 11, anchor="end")
    for value in drawn.values:
        x = across.at(value)
        yield f'<line class="grid" x1="{x:.1f}" y1="{up.start:.1f}" x2="{x:.1f}" y2="{up.end:.1f}"/>'
        yield text(x, up.start + _UNDER, drawn.curve.label(value), "soft", 11, anchor="middle")


def _line(line: Measured, colour: str, across: _Scale, up: _Scale, *, above: bool) -> Iterator[str]:
    points = [(across.at(value), up.at(cost), cost) for value, cost in line.points]
    if line.fit is not None:
        ratio = across.high / across.low
        values = [across.low * ratio ** (step / _FIT_POINTS) for step in range(_FIT_POINTS + 1)]
        fitted = [(across.at(value), line.fitted(value)) for value in values]
        path = [(x, up.at(cost)) for x, cost in fitted if cost is not None and up.low <= cost <= up.high]
        yield f'<polyline class="{colour} fit" points="{_joined(path)}"/>'
    yield f'<polyline class="{colour} line" points="{_joined([(x, y) for x, y, _ in points])}"/>'
    for x, y, cost in points:
        yield f'<circle class="{colour} dot" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        yield text(x, y - 9 if above else y + 18, number(cost), "strong halo", 11, anchor="middle")


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
