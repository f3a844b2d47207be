"""Join storm: everybody comes back at once, and gets what was published meanwhile.

A server without replay is asked for the joins alone: its subscribers never learn what they missed.
"""

from dataclasses import dataclass
from statistics import quantiles

from benchmarks.load import Load
from benchmarks.outcome import Outcome
from benchmarks.process import running
from benchmarks.scenario import Scenario
from benchmarks.servers import Server


@dataclass(frozen=True)
class Shape:
    subscribers: int = 1000
    channels: int = 10
    missed: int = 100
    bytes: int = 200


def measure(server: Server, shape: Shape) -> Outcome:
    """Subscribe, leave, publish what is missed, connect all at once; then one event each shows them alive."""
    names = [f"backtest.storm-{number}" for number in range(shape.channels)]
    each = shape.subscribers // shape.channels
    with running(server) as process, Load(process.port, process.secret) as load:
        for name in names:
            load.subscribe(name, each)
        load.hire(8)
        load.drive(names, 10 * len(names), shape.bytes)
        load.leave()
        last = load.positions() if server.replays else {}
        if server.replays:
            load.drive(names, shape.missed * len(names), shape.bytes, away=True)
        before = process.usage()
        storm = load.storm({name: last.get(name) for name in names}, each)
        after = process.usage()
        used = after.cpu_seconds - before.cpu_seconds
        load.drive(names, len(names), shape.bytes)
        return Outcome(
            {
                "s until all have all": storm.seconds,
                "s until the last 101": max(storm.joined_ms) / 1e3,
                "101 p50 ms": quantiles(storm.joined_ms, n=100)[49],
                "101 p99 ms": quantiles(storm.joined_ms, n=100)[98],
                "replayed": storm.replayed,
                "joins/s": storm.joins / storm.seconds,
                "CPU ms a join": used / storm.joins * 1e3,
                "server busy %": 100 * used / storm.seconds,
                "client busy %": 100 * storm.client_seconds / storm.seconds,
                "peak MiB": after.peak_rss_kib / 1024,
            },
            load.faults,
            load.published,
        )


STORM = Scenario(
    "storm",
    "{subscribers} subscribers of {channels} channels come back at once, each having missed {missed} events"
    " of {bytes} bytes",
    Shape(),
    {},
    measure,
    "s until all have all",
    less_is_better=True,
)

if __name__ == "__main__":
    STORM.main()
