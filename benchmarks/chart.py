"""Chart: a comparison as bars, in SVG written by hand, readable on light and on dark."""

from collections.abc import Iterator
from html import escape
from math import ceil, floor, log2

from benchmarks.report import number
from benchmarks.servers import COURIER, FASTAPI, NCHAN, NODE, Server
from benchmarks.suite import Result, Run

WIDTH, LEFT, RIGHT = 900, 326, 170
TOP, BAR, GAP, GROUP_GAP = 104, 15, 4, 17
FOOT = 58

_BARS = ((COURIER, "courier"), (NODE, "node"), (NCHAN, "nchan"))

_STYLE = """\
  text { font-family: ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif }
  .card { fill: #ffffff; stroke: #d8dee4 }
  .strong { fill: #1f2328 } .soft { fill: #59636e }
  .halo { paint-order: stroke; stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round }
  .grid { stroke: #e4e8ec } .hub { stroke: #bc4c00 } .hubtext { fill: #bc4c00 }
  .courier { fill: #4f46e5 } .node { fill: #8a97a6 } .nchan { fill: #c2cad3 }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #30363d }
    .strong { fill: #f0f6fc } .soft { fill: #9198a1 }
    .halo { stroke: #0d1117 }
    .grid { stroke: #21262d } .hub { stroke: #f0883e } .hubtext { fill: #f0883e }
    .courier { fill: #8b87ff } .node { fill: #6e7b8b } .nchan { fill: #454f5b }
  }
"""


def chart(run: Run, where: str) -> str:
    """Bars from 1× on, the FastAPI hub, to the right for better; twice as good is always as long a way."""
    results = [result for result in run.results if result.times(COURIER) is not None]
    times = [some for result in results for server, _ in _BARS if (some := result.times(server))]
    low, high = _limits(times)
    heights = [len(_bars(result)) * (BAR + GAP) + GROUP_GAP for result in results]
    height = TOP + sum(heights) + FOOT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' height="{height}" role="img" aria-label="Courier beside a FastAPI hub">',
        f"<style>\n{_STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="10"/>',
        _text(24, 36, "How many times better than the FastAPI hub", "strong", 19, weight=600),
        *_legend(run),
        *_grid(low, high, TOP - 10, height - FOOT),
    ]
    y = TOP
    for result, tall in zip(results, heights, strict=True):
        lines += _group(result, y, low, high)
        y += tall
    foot = " · ".join(part for part in where.split(" · ") if not part.startswith("load average"))
    lines += [
        _text(
            24, height - 26, "Logarithmic: every grid line is twice the one before it. Medians.", "soft", 12
        ),
        _text(24, height - 10, foot, "soft", 10.5),
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
            yield _text(x + 18, 61.5, server.name, "strong", 13)
            x += 18 + 7.4 * len(server.name) + 22
    yield f'<line class="hub" x1="{x + 6:g}" y1="50" x2="{x + 6:g}" y2="64" stroke-width="2"/>'
    yield _text(x + 18, 61.5, f"{FASTAPI.name} = 1×", "hubtext", 13)


def _grid(low: int, high: int, top: float, bottom: float) -> Iterator[str]:
    for power in range(low, high + 1):
        x = _x(2.0**power, low, high)
        label = f"{2**power}×" if power >= 0 else f"1/{2**-power}×"
        style, width = ("hub", 2) if power == 0 else ("grid", 1)
        yield (
            f'<line class="{style}" x1="{x:.1f}" y1="{top:g}" x2="{x:.1f}" y2="{bottom:g}"'
            f' stroke-width="{width}"/>'
        )
        yield _text(x, top - 6, label, "hubtext" if power == 0 else "soft", 11, anchor="middle")


def _group(result: Result, y: float, low: int, high: int) -> Iterator[str]:
    bars = _bars(result)
    middle = y + len(bars) * (BAR + GAP) / 2
    yield _text(24, middle - 2, result.part.title, "strong", 13, weight=600)
    yield _text(24, middle + 14, _subtitle(result), "soft", 11)
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
        yield _text(at, y + BAR - 3.5, words, "strong halo", 12, weight=weight)
        if value is not None:
            beside = at + 7.8 * len(words) + 7
            yield _text(beside, y + BAR - 3.5, f"{number(value)} {_unit(result)}", "soft halo", 11)
        y += BAR + GAP


def _subtitle(result: Result) -> str:
    hub = result.value(FASTAPI)
    words = "hub's single publishes" if result.beside is not None else "hub"
    note = f"; {result.part.note}" if result.part.note else ""
    return "" if hub is None else f"{words}: {number(hub)} {_unit(result)}{note}"


def _unit(result: Result) -> str:
    return {"KiB a connection": "KiB", "p99 ms": "ms", "s until all have all": "s"}.get(
        result.unit, result.unit
    )


def _text(
    x: float, y: float, words: str, style: str, size: float, *, weight: int = 400, anchor: str = "start"
) -> str:
    return (
        f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" font-weight="{weight}"'
        f' text-anchor="{anchor}">{escape(words)}</text>'
    )
