"""Joins: WebSockets that come one after the other, as fast as they are let in."""

from dataclasses import dataclass

from benchmarks.crowd import Crowd
from benchmarks.load import Load
from benchmarks.outcome import Outcome, costs
from benchmarks.process import running
from benchmarks.scenario import Scenario
from benchmarks.servers import Server


@dataclass(frozen=True)
class Shape:
    connections: int = 5000
    channels: int = 100
    in_flight: int = 64


def measure(server: Server, shape: Shape) -> Outcome:
    """All join, each as a user of its own; then one event to each channel shows that all are there."""
    names = [f"backtest.joins-{number}" for number in range(shape.channels)]
    with (
        running(server) as process,
        Load(process.port, process.secret) as load,
        Crowd(process.port, process.secret, shape.connections, names) as crowd,
    ):
        load.subscribe("backtest.warm-up", WARM_UP)
        before = process.usage()
        joined = crowd.join(shape.in_flight)
        after = process.usage()
        for channel, sock, rest in crowd.members():
            load.adopt(channel, sock, rest)
        load.hire(8)
        load.drive(names, len(names), 200)
        used = after.cpu_seconds - before.cpu_seconds
        return Outcome(
            {
                "joins/s": shape.connections / joined.seconds,
                "CPU µs a join": used / shape.connections * 1e6,
                **costs(before, after, joined),
            },
            load.faults,
            load.published,
        )


WARM_UP = 100
"""Connections that are there before, so that what a server does once is done."""

JOINS = Scenario(
    "joins",
    "{connections} WebSockets of as many users join {channels} channels, {in_flight} under way at a time",
    Shape(),
    {"connections": 1000},
    measure,
    "joins/s",
)

if __name__ == "__main__":
    JOINS.main()
