"""Idle: what a WebSocket costs a server while nothing happens."""

import argparse
import sys
from dataclasses import dataclass
from time import perf_counter, sleep

from benchmarks.errors import sentence
from benchmarks.load import Load
from benchmarks.report import machine, table
from benchmarks.servers import SERVERS, Server, Usage, running, take_client_core
from benchmarks.tape import Faults

WARM_UP = 100
"""Connections that are open before the first reading, so that what a server makes once is not counted."""


@dataclass(frozen=True)
class Result:
    """Three readings of a server, and whether every connection was alive after the second."""

    before: Usage
    opened: Usage
    closed: Usage
    seconds: float
    """How long the joins took."""
    faults: Faults


def measure(server: Server, connections: int, channels: int, settle_seconds: float) -> Result:
    """Open `connections` more than the warm-up's, leave them alone, then show that they are alive."""
    names = [f"backtest.idle-{number}" for number in range(channels)]
    with running(server) as process:
        with Load(process.port, process.secret) as load:
            load.subscribe("backtest.warm-up", WARM_UP)
            sleep(settle_seconds)
            before = process.usage()
            start = perf_counter()
            for number, name in enumerate(names):
                load.subscribe(name, connections // channels + (number < connections % channels))
            seconds = perf_counter() - start
            sleep(settle_seconds)
            opened = process.usage()
            load.hire(8)
            load.drive(names, channels, 200)
            faults = load.faults
        sleep(settle_seconds)
        return Result(before, opened, process.usage(), seconds, faults)


def row(server: Server, result: Result, connections: int) -> dict[str, str]:
    """`result` for a table."""
    each = (result.opened.rss_kib - result.before.rss_kib) / connections
    return {
        "server": server.name,
        "KiB a connection": f"{each:.1f}",
        "MiB before": f"{result.before.rss_kib / 1024:.1f}",
        "MiB open": f"{result.opened.rss_kib / 1024:.1f}",
        "MiB closed": f"{result.closed.rss_kib / 1024:.1f}",
        "joins/s": f"{connections / result.seconds:,.0f}",
        "faults": str(result.faults),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, help="(default: 5000; quick: 500)")
    parser.add_argument("--channels", type=int, default=100, help="how many they spread over (%(default)s)")
    parser.add_argument("--settle-seconds", type=float, default=2, help="before each reading (%(default)s)")
    parser.add_argument(
        "--servers", nargs="+", choices=SERVERS, default=["courier", "hypercorn"], metavar="SERVER"
    )
    parser.add_argument("--quick", action="store_true", help="fewer connections")
    options = parser.parse_args()
    connections = options.connections or (500 if options.quick else 5000)
    take_client_core()
    print(machine())
    print(
        f"\n{connections:,} idle WebSockets on {options.channels} channels; {WARM_UP} more in all readings\n"
    )
    rows = []
    for name in options.servers:
        result = measure(SERVERS[name], connections, options.channels, options.settle_seconds)
        rows.append(row(SERVERS[name], result, connections))
        print(f"  {SERVERS[name].name}: {rows[-1]['KiB a connection']} KiB a connection", file=sys.stderr)
    print(table(rows))
    print("\nResident memory of the server's processes. Afterwards one event went to every connection.")


if __name__ == "__main__":
    with sentence():
        main()
