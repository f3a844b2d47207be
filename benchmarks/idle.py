"""Idle: what a WebSocket costs a server while nothing happens."""

from dataclasses import dataclass
from time import perf_counter, sleep

from benchmarks.counts import count, countable, counted
from benchmarks.load import Load
from benchmarks.outcome import Outcome
from benchmarks.process import running
from benchmarks.scenario import Scenario
from benchmarks.servers import Server

WARM_UP = 100
"""Connections that are open before the first reading, so that what a server makes once is not counted."""

OBJECTS = "objects a connection"


@dataclass(frozen=True)
class Shape:
    connections: int = 5000
    channels: int = 100
    settle_seconds: float = 2


def measure(server: Server, shape: Shape) -> Outcome:
    """Open the connections, leave them alone, then show by one event to each that they are alive.

    Memory is resident memory of the server's processes. A Python server also says how many objects its
    garbage collector tracks, after a full collection.
    """
    names = [f"backtest.idle-{number}" for number in range(shape.channels)]
    with running(counted(server)) as process:
        with Load(process.port, process.secret) as load:
            load.subscribe("backtest.warm-up", WARM_UP)
            sleep(shape.settle_seconds)
            before = process.usage()
            tracked = count(process, collect=True).objects if countable(server) else 0
            start = perf_counter()
            for number, name in enumerate(names):
                more = number < shape.connections % shape.channels
                load.subscribe(name, shape.connections // shape.channels + more)
            seconds = perf_counter() - start
            sleep(shape.settle_seconds)
            opened = process.usage()
            if countable(server):
                tracked = count(process, collect=True).objects - tracked
            load.hire(8)
            load.drive(names, shape.channels, 200)
            faults, published = load.faults, load.published
        sleep(shape.settle_seconds)
        closed = process.usage()
    return Outcome(
        {
            "KiB a connection": (opened.rss_kib - before.rss_kib) / shape.connections,
            "MiB before": before.rss_kib / 1024,
            "MiB open": opened.rss_kib / 1024,
            "MiB closed": closed.rss_kib / 1024,
            "joins/s": shape.connections / seconds,
            **({OBJECTS: tracked / shape.connections} if countable(server) else {}),
        },
        faults,
        published,
    )


IDLE = Scenario(
    "idle",
    "{connections} idle WebSockets on {channels} channels",
    Shape(),
    {"connections": 500, "settle_seconds": 1},
    measure,
    "KiB a connection",
    repeat=1,
    less_is_better=True,
)

if __name__ == "__main__":
    IDLE.main()
