"""Scenario: something that is asked of every server alike, and how it is asked several times and told."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.errors import LoadError, sentence
from benchmarks.outcome import Outcome, row
from benchmarks.process import take_client_core
from benchmarks.ratios import ratios
from benchmarks.report import machine, number, table
from benchmarks.servers import FASTAPI, SERVERS, Server, of_checkout

_LONGEST_REASON = 300


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

        Every second turn goes the other way round, so that none always comes first. Those that are in
        `once` too have the first turn only, and so does one that failed.
        """
        outcomes: dict[str, list[Outcome]] = {server.name: [] for server in servers}
        for turn in range(1, repeat + 1):
            for server in servers if turn % 2 else reversed(servers):
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
                type=one.type if callable(one.type) else str,
                nargs="+",
                help=f"several are measured one after another (default: {getattr(self.shape, one.name)}"
                + (f"; quick: {self.quick[one.name]})" if one.name in self.quick else ")"),
            )
        parser.add_argument(
            "--servers",
            nargs="+",
            choices=SERVERS,
            metavar="SERVER",
            help=f"some of {', '.join(SERVERS)} (default: {' '.join(self.servers)}; with --against: courier)",
        )
        parser.add_argument(
            "--against",
            type=Path,
            metavar="CHECKOUT",
            help="the first server named, from another checkout with its .venv, beside the one from here",
        )
        parser.add_argument("--repeat", type=int, help=f"runs of each (default: {self.repeat}; quick: 1)")
        parser.add_argument("--quick", action="store_true", help="smaller, and once")
        options = parser.parse_args()
        with sentence():
            servers = present(self._chosen(parser, options))
            take_client_core()
            print(machine())
            for shape in self._shapes(options):
                print(f"\n{self.text.format_map(vars(shape))}\n", flush=True)
                repeat = options.repeat or (1 if options.quick else self.repeat)
                outcomes = self.compare(servers, shape, repeat)
                print(table([row(name, some) for name, some in outcomes.items()]), flush=True)
                base = FASTAPI if FASTAPI in servers else servers[-1]
                if compared := ratios(outcomes, base.name):
                    print(f"\n{table(compared)}", flush=True)

    def _chosen(self, parser: argparse.ArgumentParser, options: argparse.Namespace) -> list[Server]:
        names = options.servers or (["courier"] if options.against else self.servers)
        servers = [SERVERS[name] for name in names]
        if options.against is not None:
            try:
                servers.append(of_checkout(servers[0], options.against))
            except ValueError as error:
                parser.error(f"--against: {error}")
            if (reason := servers[-1].absent()) is not None:
                parser.error(f"--against: {reason}")
        return servers

    def _shapes(self, options: argparse.Namespace) -> list[Any]:
        usual = self.shaped(quick=options.quick)
        names = [one.name for one in fields(usual)]
        choices = [getattr(options, name) or [getattr(usual, name)] for name in names]
        return [replace(usual, **dict(zip(names, chosen, strict=True))) for chosen in product(*choices)]


def present(servers: Sequence[Server]) -> list[Server]:
    """Those that can be measured here; why not, is said of the others."""
    for server in servers:
        if (reason := server.absent()) is not None:
            print(f"{server.name} is left out: {reason}", file=sys.stderr)
    return [server for server in servers if server.absent() is None]


def _told(outcome: Outcome) -> str:
    name = next(iter(outcome.figures))
    return f"{number(outcome.first)} {name}"
