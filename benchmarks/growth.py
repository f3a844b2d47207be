"""Growth: all curves of one run, as Markdown, as JSON and as a picture."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import node
from benchmarks.curve import Drawn, Measured
from benchmarks.panels import panels
from benchmarks.report import number, table
from benchmarks.tape import Faults
from benchmarks.versions import versions

_NODE = """
## {title}

{table}

Reckoned: events a second × ({formula} + {spread} µs). The first part is the first
formula of this page; the last is what a publish and its delivery cost more on {channels:,} channels than on
one. A node with little to do spends more an event than that, since it is woken for each.
"""

_TEXT = """\
# How Courier's costs grow

{machine}

Courier {version}. Microseconds are the server's processor time, as the kernel counts it for the process:
that is steadier than the clock. Every point is one run against a fresh server on one core; the load client
has the other, and checks every byte. Events have 200 bytes where nothing else is said. Loss, order, repeats:
{faults}. Other work kept the server or the client off its core for {disturbed} % of the time (median).

`bytes kept` is how much the process grew for each event: its frame, 200 bytes of the log, and for a minute
what the rate limit remembers of a request (100 bytes); the rest is what a short run cannot spread.

![Four panels: subscribers, channels, event size, history]({name}.svg)
{curves}
{failures}Repeat it with `{command}`; it took {seconds:.0f} s.
"""


@dataclass
class Growth:
    """One run."""

    where: str
    drawn: Sequence[Drawn]
    node: Drawn
    seconds: float

    def write(self, folder: Path, name: str) -> str:
        """Write `name`.md, .json and .svg to `folder`; the text of the first."""
        folder.mkdir(exist_ok=True)
        text = self.text(name)
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
        document = json.dumps(self.document(), indent=1, ensure_ascii=False)
        (folder / f"{name}.json").write_text(document + "\n", encoding="utf-8")
        (folder / f"{name}.svg").write_text(panels(self.drawn, self.where), encoding="utf-8")
        return text

    def text(self, name: str) -> str:
        quick = " --quick" if name.startswith("quick") else ""
        return _TEXT.format(
            machine=self.where,
            version=versions()["Courier"],
            faults=self.faults,
            disturbed=number(self.disturbed),
            name=name,
            curves="".join(map(_section, self.drawn)) + self._node(),
            failures="".join(f"{failure}\n\n" for failure in self.failures),
            command=f"python -m benchmarks.curves{quick}",
            seconds=self.seconds,
        )

    @property
    def faults(self) -> Faults:
        return reduce(add, (line.faults for line in self._lines))

    @property
    def disturbed(self) -> float:
        return median(line.disturbed for line in self._lines)

    @property
    def spread(self) -> float:
        """What an event costs more on one of the node's channels than on the only one; 0 if not measured."""
        points = dict(point for drawn in self.drawn[1:2] for point in drawn.lines[0].points)
        return max(0.0, points[node.CHANNELS] - points[1]) if {1, node.CHANNELS} <= points.keys() else 0.0

    @property
    def failures(self) -> list[str]:
        """What could not be measured, and why."""
        return [failure for line in self._lines for failure in line.failures]

    def document(self) -> dict[str, Any]:
        """Every figure of every run."""
        return {
            "machine": self.where,
            "version": versions()["Courier"],
            "curves": [
                {
                    "title": drawn.curve.title,
                    "variable": drawn.curve.variable,
                    "lines": [_line(line) for line in drawn.lines],
                }
                for drawn in (*self.drawn, self.node)
            ],
        }

    @property
    def _lines(self) -> list[Measured]:
        return [line for drawn in (*self.drawn, self.node) for line in drawn.lines]

    def _node(self) -> str:
        fit = self.drawn[0].lines[0].fit
        if fit is None or not self.node.values:
            return ""
        return _NODE.format(
            title=self.node.curve.title,
            table=table(node.rows(self.node, fit, self.spread)),
            formula=fit.told("µs", f"{node.SUBSCRIBERS / node.CHANNELS:g} subscribers"),
            spread=number(self.spread),
            channels=node.CHANNELS,
        )


def _section(drawn: Drawn) -> str:
    text = f"\n## {drawn.curve.title}\n\n{table(drawn.rows())}\n"
    if told := drawn.told():
        text += "\nFitted: " + "; ".join(told) + ".\n"
    return text


def _line(line: Measured) -> dict[str, Any]:
    return {
        "title": line.line.title,
        "scenario": line.line.scenario.name,
        "fit": None if line.fit is None else asdict(line.fit) | {"each": line.line.each},
        "runs": [
            {"value": value, "figures": dict(outcome.figures), "failed": outcome.failed or None}
            for value, outcome in line.outcomes.items()
        ],
    }
