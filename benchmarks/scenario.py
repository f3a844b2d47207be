"""Scenario: something that is asked of every server alike, and how it is asked several times and told."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import product
from statistics import median
from typing import Any

from benchmarks.errors import LoadError, sentence
from benchmarks.load import Phase
from benchmarks.process import Usage, take_client_core
from benchmarks.report import machine, number, table
from benchmarks.servers import SERVERS, Server
from benchmarks.tape import Faults

_LONGEST_REASON = 300


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


@dataclass(frozen=True)
class Scenario:
    """How to ask it. `shape`, a dataclass, holds what may be varied: each field is an option of `main`."""

    name: str
    text: str
    """What is asked, with the fields of the shape in braces."""
    shape: Any
    quick: Mapping[str, Any]
    """What of the shape is smaller when there is little time."""
    measure: Callable[[Server, Any], Outcome]
    figure: str
    """The name of the first figure."""
    servers: tuple[str, ...] = ("courier", "fastapi")
    repeat: int = 3
    less_is_better: bool = False

    def shaped(self, *, quick: bool) -> Any:
        return replace(self.shape, **self.quick) if quick else self.shape

    def attempt(self, server: Server, shape: Any) -> Outcome:
        """One run; a server that does not do what is asked has failed, and others may still be measured."""
        try:
            return self.measure(server, shape)
        except (LoadError, OSError) as error:
            return Outcome({}, failed=" ".join(str(error).split())[:_LONGEST_REASON])

    def compare(
        self, servers: Sequence[Server], shape: Any, repeat: int, once: Sequence[Server] = ()
    ) -> dict[str, list[Outcome]]:
        """Each of `servers` measured `repeat` times, in turn, so that all have the same weather.

        Those that are in `once` too have the first turn only, and so does one that failed.
        """
        outcomes: dict[str, list[Outcome]] = {server.name: [] for server in servers}
        for turn in range(1, repeat + 1):
            for server in servers:
                if turn > 1 and (server in once or outcomes[server.name][0].failed):
                    continue
                outcome = self.attempt(server, shape)
                outcomes[server.name].append(outcome)
                told = outcome.failed or _told(outcome)
                print(f"  {self.name} {turn}/{repeat} {server.name}: {told}", file=sys.stderr, flush=True)
        return outcomes

    def main(self) -> None:
        """The scenario alone, by its command line: a table for every combination of its options."""
        parser = argparse.ArgumentParser(description=self.text.format_map(vars(self.shape)))
        for one in fields(self.shape):
            parser.add_argument(
                "--" + one.name.replace("_", "-"),
                type=type(getattr(self.shape, one.name)),
                nargs="+",
                help=f"several are measured one after another (default: {getattr(self.shape, one.name)}"
                + (f"; quick: {self.quick[one.name]})" if one.name in self.quick else ")"),
            )
        parser.add_argument(
            "--servers", nargs="+", choices=SERVERS, default=list(self.servers), metavar="SERVER"
        )
        parser.add_argument("--repeat", type=int, help=f"runs of each (default: {self.repeat}; quick: 1)")
        parser.add_argument("--quick", action="store_true", help="smaller, and once")
        options = parser.parse_args()
        with sentence():
            take_client_core()
            print(machine())
            servers = present([SERVERS[name] for name in options.servers])
            for shape in self._shapes(options):
                print(f"\n{self.text.format_map(vars(shape))}\n", flush=True)
                repeat = options.repeat or (1 if options.quick else self.repeat)
                outcomes = self.compare(servers, shape, repeat)
                print(table([row(name, some) for name, some in outcomes.items()]), flush=True)

    def _shapes(self, options: argparse.Namespace) -> list[Any]:
        usual = self.shaped(quick=options.quick)
        names = [one.name for one in fields(usual)]
        choices = [getattr(options, name) or [getattr(usual, name)] for name in names]
        return [replace(usual, **dict(zip(names, chosen, strict=True))) for chosen in product(*choices)]


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


def costs(before: Usage, after: Usage, phase: Phase) -> dict[str, float]:
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


def present(servers: Sequence[Server]) -> list[Server]:
    """Those that can be measured here; why not, is said of the others."""
    for server in servers:
        if (reason := server.absent()) is not None:
            print(f"{server.name} is left out: {reason}", file=sys.stderr)
    return [server for server in servers if server.absent() is None]


def _told(outcome: Outcome) -> str:
    name = next(iter(outcome.figures))
    return f"{number(outcome.first)} {name}"
