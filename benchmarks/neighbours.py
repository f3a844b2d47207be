"""Neighbours: what hostile peers cost the subscribers beside them in latency."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median, quantiles
from time import sleep

from benchmarks.errors import LoadError
from benchmarks.hostile import FLOODS, KINDS, SPIN
from benchmarks.load import Load
from benchmarks.outcome import Outcome
from benchmarks.process import Running, running
from benchmarks.scenario import Scenario
from benchmarks.servers import Server
from benchmarks.sockets import Sockets
from benchmarks.tape import Faults

LEAD_SECONDS = 0.5
"""How long the hostile ones have been at it when the others begin to be timed."""


@dataclass(frozen=True)
class Shape:
    kinds: str = ",".join(KINDS)
    others: int = 99
    rate: float = 200
    bytes: int = 200
    seconds: float = 2
    pairs: int = 9


@dataclass
class Found:
    """Percentiles, a pair at a time."""

    without: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return median(beside / without for without, beside in zip(self.without, self.beside, strict=True))


def measure(server: Server, shape: Shape) -> Outcome:
    """For each kind pairs of runs without and with it, in turn, every other pair the other way round.

    LoadError when a hostile one is not served to the end, as all here are that do no harm.
    """
    figures: dict[str, float] = {}
    faults, published = Faults(), 0
    with running(server) as process:
        for kind in shape.kinds.split(","):
            found, control = Found(), SPIN if kind in FLOODS else None
            for number in range(shape.pairs):
                for beside in (False, True) if number % 2 == 0 else (True, False):
                    channel = f"backtest.{kind}-{number}-{beside}"
                    p99, load = _run(process, channel, shape, kind if beside else control)
                    (found.beside if beside else found.without).append(p99)
                    faults, published = faults + load.faults, published + load.published
                told = f"{found.without[-1]:.2f} ms, {found.beside[-1]:.2f} ms"
                print(
                    f"  {kind} {number + 1}/{shape.pairs} {server.name}: {told}", file=sys.stderr, flush=True
                )
            figures[f"{kind}: p99 ratio"] = found.ratio
            figures[f"{kind}: p99 ms without"] = median(found.without)
            figures[f"{kind}: p99 ms beside"] = median(found.beside)
    worst = max(value for name, value in figures.items() if name.endswith("ratio"))
    return Outcome({"worst p99 ratio": worst, **figures}, faults, published)


def _run(process: Running, channel: str, shape: Shape, kind: str | None) -> tuple[float, Load]:
    """The 99th percentile, in milliseconds, of all deliveries on a channel of its own."""
    with Load(process.port, process.secret) as load, _hostile(process, kind):
        load.subscribe(channel, shape.others)
        load.hire(8)
        sleep(LEAD_SECONDS)
        load.drive([channel], round(shape.rate * LEAD_SECONDS), shape.bytes, rate=shape.rate)
        load.record()
        load.drive([channel], round(shape.rate * shape.seconds), shape.bytes, rate=shape.rate)
        return quantiles(load.latencies(), n=100)[98] / 1e6, load


@contextmanager
def _hostile(process: Running, kind: str | None) -> Iterator[None]:
    if kind is None:
        yield
        return
    with Sockets(process.port, process.secret) as sockets:
        upgrade = sockets.upgrade("backtest.hostile")
    command = [sys.executable, "-m", "benchmarks.hostile", kind, str(process.port)]
    attacker = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert attacker.stdin is not None
    try:
        attacker.stdin.write(upgrade)
        attacker.stdin.close()
        yield
        ended = attacker.poll() is not None
    finally:
        attacker.kill()
        attacker.wait()
        assert attacker.stderr is not None
        said = attacker.stderr.read().decode()
        attacker.stderr.close()
    if ended:
        raise LoadError(f"{kind} came to an end: {said[-200:]}")


NEIGHBOURS = Scenario(
    "neighbours",
    "{kinds} beside {others} subscribers, each kind in a process of its own; {rate:g} events/s of {bytes}"
    " bytes for {seconds:g} s, open loop, in {pairs} pairs of runs without it and with it; without a flood, a"
    " process spins in its place",
    Shape(),
    {"seconds": 1, "pairs": 2},
    measure,
    "worst p99 ratio",
    servers=("courier",),
    repeat=1,
    less_is_better=True,
)

if __name__ == "__main__":
    NEIGHBOURS.main()
