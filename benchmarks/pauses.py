"""Pauses: how long the garbage collector stops a Python server while very many connections come and go."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median, quantiles
from time import monotonic

from benchmarks.apart import apart
from benchmarks.counts import count, counted
from benchmarks.errors import LoadError
from benchmarks.load import Load
from benchmarks.outcome import Outcome
from benchmarks.process import Running, running
from benchmarks.scenario import Scenario
from benchmarks.servers import Server
from benchmarks.tape import Faults

READERS = "backtest.pauses-readers"
SLICE_SECONDS = 0.5
LEAVE_SECONDS = 30.0
"""How long a server may take to notice that connections are gone."""

FULL, P99 = "full collection ms", "p99 ms"


@dataclass(frozen=True)
class Shape:
    connections: int = 12_000
    channels: int = 100
    joins_per_second: float = 1000
    leaves_per_second: float = 3000
    readers: int = 100
    rate: float = 50
    bytes: int = 200


def measure(server: Server, shape: Shape) -> Outcome:
    """The crowd comes, is replaced one by one, and goes; the readers of one channel get events all the while.

    The replacements matter: every object that dies counts against one that is new, whatever its age, so that
    very many new ones may wait for one collection. With everybody there a full collection is asked for, while
    nothing else happens. Collections are timed in processor time, so that what else runs on the machine does
    not show.
    """
    names = [f"backtest.pauses-{number}" for number in range(shape.channels)]
    with (
        running(counted(server)) as process,
        Load(process.port, process.secret) as load,
        apart(process.port, process.secret, shape.connections, names, shape.connections) as crowd,
    ):
        load.subscribe(READERS, shape.readers)
        load.hire(8)

        def deliver(until: Callable[[], bool]) -> None:
            while not until():
                events = max(1, round(shape.rate * SLICE_SECONDS))
                load.drive([READERS], events, shape.bytes, rate=shape.rate)

        events_before = load.published
        deliver(lambda: load.published > events_before)
        descriptors = _descriptors(process)
        load.record()
        first = count(process, collect=True)
        before = process.usage()
        crowd.join(IN_FLIGHT, shape.joins_per_second)
        deliver(crowd.done)
        after = process.usage()
        join_seconds = crowd.answer
        joining = count(process)
        there = count(process, collect=True)
        crowd.replace(IN_FLIGHT, shape.joins_per_second)
        deliver(crowd.done)
        replacing = count(process)
        crowd.leave(shape.leaves_per_second)
        deliver(crowd.done)
        end = monotonic() + LEAVE_SECONDS

        def gone() -> bool:
            if monotonic() > end:
                raise LoadError(f"{_descriptors(process) - descriptors} connections are still there")
            return _descriptors(process) <= descriptors

        deliver(gone)
        leaving = count(process)
        longest_ms, generation = max(joining.longest, replacing.longest, leaving.longest)
        latencies = load.latencies()
        pauses = [*joining.pauses.values(), *replacing.pauses.values(), *leaving.pauses.values()]
        return Outcome(
            {
                "longest pause ms": longest_ms,
                "its generation": generation,
                "pauses": sum(some.count for some in pauses),
                "pauses ms in all": sum(some.total_ms for some in pauses),
                FULL: there.full_ms or 0.0,
                "objects a connection": (there.objects - first.objects) / shape.connections,
                P99: quantiles(latencies, n=100)[98] / 1e6,
                "p50 ms": median(latencies) / 1e6,
                "most ms": max(latencies) / 1e6,
                "joins/s": shape.connections / join_seconds,
                "busy % in joins": 100 * (after.cpu_seconds - before.cpu_seconds) / join_seconds,
                "disturbed %": 100 * (after.waited_seconds - before.waited_seconds) / join_seconds,
                "peak MiB": after.peak_rss_kib / 1024,
            },
            load.faults + Faults(closed=round(crowd.answer)),
            load.published,
        )


IN_FLIGHT = 64
"""Joins that are under way at a time, at most."""


def _descriptors(process: Running) -> int:
    return len(os.listdir(f"/proc/{process.pid}/fd"))


PAUSES = Scenario(
    "pauses",
    "{connections} WebSockets join {channels} channels, {joins_per_second:g} a second, are replaced one by"
    " one and leave, {leaves_per_second:g} a second; {rate:g} events/s of {bytes} bytes go to {readers} more",
    Shape(),
    {"connections": 1500, "joins_per_second": 500, "leaves_per_second": 1500},
    measure,
    "longest pause ms",
    less_is_better=True,
)

if __name__ == "__main__":
    PAUSES.main()
