"""Fan-out: one channel, many subscribers; how many deliveries a second, and at what cost."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.errors import sentence
from benchmarks.load import Load, Phase
from benchmarks.report import machine, table
from benchmarks.servers import SERVERS, Server, running, take_client_core
from benchmarks.tape import Faults

CHANNEL = "backtest.fanout"


@dataclass(frozen=True)
class Shape:
    """What is asked of a server."""

    subscribers: int
    events: int
    warm_up: int
    size: int
    publishers: int
    in_flight: int
    seconds: float


@dataclass(frozen=True)
class Result:
    """What one run came to; server seconds are of the measured phase, the peak of the server's whole life."""

    phase: Phase
    server_seconds: float
    server_waited: float
    peak_rss_kib: int
    faults: Faults
    published: int
    numbered: int

    @property
    def disturbed(self) -> float:
        """For what share of the time other processes kept the server off its core, or the client, if more."""
        return max(self.server_waited, self.phase.client_waited) / self.phase.seconds


def measure(server: Server, shape: Shape) -> Result:
    """Start `server`, give it subscribers, warm it up, and publish as fast as the receipts come back."""
    with running(server) as process, Load(process.port, process.secret) as load:
        load.subscribe(CHANNEL, shape.subscribers)
        load.hire(shape.publishers, shape.in_flight)
        load.drive([CHANNEL], shape.warm_up, shape.size, seconds=shape.seconds)
        before = process.usage()
        phase = load.drive([CHANNEL], shape.events, shape.size, seconds=shape.seconds)
        after = process.usage()
        return Result(
            phase=phase,
            server_seconds=after.cpu_seconds - before.cpu_seconds,
            server_waited=after.waited_seconds - before.waited_seconds,
            peak_rss_kib=after.peak_rss_kib,
            faults=load.faults,
            published=load.published,
            numbered=load.numbered,
        )


def row(server: Server, results: Sequence[Result]) -> dict[str, str]:
    """Medians of `results`; the faults are their sum."""

    def middle(of: Callable[[Result], float]) -> float:
        return median(of(result) for result in results)

    rates = [result.phase.rate for result in results]
    return {
        "server": server.name,
        "deliveries/s": f"{median(rates):,.0f}",
        "lowest": f"{min(rates):,.0f}",
        "highest": f"{max(rates):,.0f}",
        "MB/s": f"{middle(lambda one: one.phase.bytes / one.phase.seconds) / 1e6:.0f}",
        "a read": f"{middle(lambda one: one.phase.deliveries / one.phase.reads):.1f}",
        "server CPU s": f"{middle(lambda one: one.server_seconds):.2f}",
        "µs each": f"{middle(lambda one: one.server_seconds / max(1, one.phase.deliveries)) * 1e6:.2f}",
        "server busy": f"{middle(lambda one: one.server_seconds / one.phase.seconds):.0%}",
        "client busy": f"{middle(lambda one: one.phase.client_seconds / one.phase.seconds):.0%}",
        "disturbed": f"{middle(lambda one: one.disturbed):.0%}",
        "peak MiB": f"{middle(lambda one: one.peak_rss_kib) / 1024:.0f}",
        "faults": str(sum((result.faults for result in results), Faults())),
    }


def compare(servers: Sequence[Server], shape: Shape, repeat: int) -> str:
    """A table of all `servers`, each measured `repeat` times, in turn, so that all have the same weather."""
    results: dict[str, list[Result]] = {server.name: [] for server in servers}
    for turn in range(1, repeat + 1):
        for server in servers:
            result = measure(server, shape)
            results[server.name].append(result)
            print(f"  {turn}/{repeat} {server.name}: {result.phase.rate:,.0f} deliveries/s", file=sys.stderr)
    return (
        table([row(server, results[server.name]) for server in servers])
        + "\n\n"
        + _checked([one for some in results.values() for one in some])
    )


def _checked(results: Sequence[Result]) -> str:
    published = sum(result.published for result in results)
    numbered = sum(result.numbered for result in results)
    return (
        "Checked, warm-up included: all bytes of every subscriber, against the channel's events in the\n"
        "order in which they first appeared; of these, that each publisher's numbers and the offsets in\n"
        f"`id` count up by one. Events published: {published:,}; with an `id`: {numbered:,}."
    )


def arguments(description: str | None, publishers: Sequence[int]) -> argparse.ArgumentParser:
    """The options that fan-out and the ceiling have in common."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument(
        "--publishers",
        type=int,
        nargs="+",
        default=publishers,
        help="keep-alive connections, a table for each",
    )
    parser.add_argument(
        "--in-flight", type=int, default=1, help="unanswered events a publisher (%(default)s)"
    )
    parser.add_argument("--events", type=int, help="events measured in a run (default: 1000; quick: 300)")
    parser.add_argument("--warm-up", type=int, default=100, help="events before them (%(default)s)")
    parser.add_argument("--bytes", type=int, default=200, help="size of an event as published (%(default)s)")
    parser.add_argument("--repeat", type=int, help="runs of each server (default: 3; quick: 1)")
    parser.add_argument(
        "--seconds", type=float, default=60, help="the most that a phase may take (%(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="fewer events, one run")
    return parser


def show(servers: Sequence[Server], options: argparse.Namespace) -> None:
    """Print a table of `servers` for each number of publishers."""
    take_client_core()
    print(machine())
    for publishers in options.publishers:
        shape = Shape(
            subscribers=options.subscribers,
            events=options.events or (300 if options.quick else 1000),
            warm_up=options.warm_up,
            size=options.bytes,
            publishers=publishers,
            in_flight=options.in_flight,
            seconds=options.seconds,
        )
        print(
            f"\n1 channel, {shape.subscribers:,} subscribers; {shape.events:,} events of {shape.size} bytes;"
            f" closed loop of {publishers} publishers with {shape.in_flight} in flight each\n"
        )
        print(compare(servers, shape, options.repeat or (1 if options.quick else 3)), flush=True)


def main() -> None:
    parser = arguments(__doc__, publishers=(1, 8))
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS), metavar="SERVER")
    options = parser.parse_args()
    show([SERVERS[name] for name in options.servers], options)


if __name__ == "__main__":
    with sentence():
        main()
