"""Chart: a comparison as bars, in SVG written by hand, readable on light and on dark."""

from collections.abc import Iterator
from math import ceil, floor, log2

from benchmarks.report import number
from benchmarks.servers import COURIER, FASTAPI, NCHAN, NODE, Server
from benchmarks.suite import Result, Run
from benchmarks.svg import opening, text

WIDTH, LEFT, RIGHT = 900, 326, 170
TOP, BAR, GAP, GROUP_GAP = 104, 15, 4, 17
FOOT = 58

_BARS = ((COURIER, "courier"), (NODE, "node"), (NCHAN, "nchan"))
_UNITS = {
    "KiB a connection": "KiB",
    "µs each": "µs a delivery",
    "s until all have all": "s",
    "p99 ms": "ms",
    "longest pause ms": "ms",
    "full collection ms": "ms",
    "objects a connection": "objects",
}


def chart(run: Run, where: str) -> str:
    """Bars from 1× on, the FastAPI hub, to the right for better; twice as good is always as long a way."""
    results = [result for result in run.results if result.times(COURIER) is not None]
    times = [some for result in results for server, _ in _BARS if (some := result.times(server))]
    low, high = _limits(times)
    heights = [len(_bars(result)) * (BAR + GAP) + GROUP_GAP for result in results]
    height = TOP + sum(heights) + FOOT
    lines = [
        *opening(WIDTH, height, "Courier beside a FastAPI hub"),
        text(24, 36, "How many times better than the FastAPI hub", "strong", 19, weight=600),
        *_legend(run),
        *_grid(low, high, TOP - 10, height - FOOT),
    ]
    y = TOP
    for result, tall in zip(results, heights, strict=True):
        lines += _group(result, y, low, high)
        y += tall
    foot = " · ".join(part for part in where.split(" · ") if not part.startswith("load average"))
    lines += [
        text(
            24, height - 26, "Logarithmic: every grid line is twice the one before it. Medians.", "soft", 12
        ),
        text(24, height - 10, foot, "soft", 10.5),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _limits(times: list[float]) -> tuple[int, int]:
    """The powers of two between which all bars lie, with room on both sides of 1."""
    logs = [log2(some) for some in times] or [0.0]
    return min(-1, floor(min(logs))), max(2, ceil(max(logs)))


def _bars(result: Result) -> list[tuple[Server, str, float]]:
    return [(server, style, times) for server, style in _BARS if (times := result.times(server)) is not None]


def _x(times: float, low: int, high: int) -> float:
    return LEFT + (log2(times) - low) / (high - low) * (WIDTH - LEFT - RIGHT)


def _legend(run: Run) -> Iterator[str]:
    asked = {name for result in run.results for name in result.outcomes}
    x = 24.0
    for server, style in _BARS:
        if server.name in asked:
            yield f'<rect class="{style}" x="{x:g}" y="51" width="12" height="12" rx="3"/>'
            yield text(x + 18, 61.5, server.name, "strong", 13)
            x += 18 + 7.4 * len(server.name) + 22
    yield f'<line class="hub" x1="{x + 6:g}" y1="50" x2="{x + 6:g}" y2="64" stroke-width="2"/>'
    yield text(x + 18, 61.5, f"{FASTAPI.name} = 1×", "hubtext", 13)


def _grid(low: int, high: int, top: float, bottom: float) -> Iterator[str]:
    for power in range(low, high + 1):
        x = _x(2.0**power, low, high)
        label = f"{2**power}×" if power >= 0 else f"1/{2**-power}×"
        style, width = ("hub", 2) if power == 0 else ("grid", 1)
        yield (
            f'<line class="{style}" x1="{x:.1f}" y1="{top:g}" x2="{x:.1f}" y2="{bottom:g}"'
            f' stroke-width="{width}"/>'
        )
        yield text(x, top - 6, label, "hubtext" if power == 0 else "soft", 11, anchor="middle")


def _group(result: Result, y: float, low: int, high: int) -> Iterator[str]:
    bars = _bars(result)
    middle = y + len(bars) * (BAR + GAP) / 2
    yield text(24, middle - 2, result.part.title, "strong", 13, weight=600)
    yield text(24, middle + 14, _subtitle(result), "soft", 11)
    one = _x(1, low, high)
    for server, style, times in bars:
        end = _x(times, low, high)
        start, width = min(one, end), max(2.0, abs(end - one))
        yield (f'<rect class="{style}" x="{start:.1f}" y="{y:g}" width="{width:.1f}" height="{BAR}" rx="3"/>')
        more = "≥ " if result.limited_by_client(server) else ""
        words = f"{more}{number(times)}×"
        value = result.value(server)
        weight = 600 if server is COURIER else 400
        at = max(end, one) + 7
        yield text(at, y + BAR - 3.5, words, "strong halo", 12, weight=weight)
        if value is not None:
            beside = at + 7.8 * len(words) + 7
            yield text(beside, y + BAR - 3.5, f"{number(value)} {_unit(result)}", "soft halo", 11)
        y += BAR + GAP


def _subtitle(result: Result) -> str:
    hub = result.value(FASTAPI)
    words = "hub's single publishes" if result.beside is not None else "hub"
    note = f"; {result.part.note}" if result.part.note else ""
    return "" if hub is None else f"{words}: {number(hub)} {_unit(result)}{note}"


def _unit(result: Result) -> str:
    return _UNITS.get(result.unit, result.unit)
