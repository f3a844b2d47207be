"""Stalled: what one subscriber that stops reading costs the 99 others of its channel in latency."""

import socket
import sys
from dataclasses import dataclass
from functools import reduce
from operator import add
from statistics import median, quantiles

from benchmarks.errors import LoadError
from benchmarks.load import Load
from benchmarks.outcome import Outcome
from benchmarks.process import Running, running
from benchmarks.scenario import Scenario
from benchmarks.servers import Server
from benchmarks.tape import Faults

FILL_EVENTS, FILL_BYTES = 100, 60_000
"""What is published first: more than the kernel keeps for one connection (`net.ipv4.tcp_wmem`, 4 MiB at most
by default), so that from then on the server cannot write a byte to the one that does not read."""

FILL_SECONDS = 15.0
"""A server that has not taken it by then waits for the one that does not read."""

_ESTABLISHED = 1


@dataclass(frozen=True)
class Shape:
    others: int = 99
    rate: float = 200
    bytes: int = 200
    seconds: float = 4
    pairs: int = 7


@dataclass(frozen=True)
class Run:
    """Latency of all deliveries to the others, each from the time at which its event was meant to be sent."""

    p50_ms: float
    p99_ms: float
    most_ms: float
    delay_ms: float
    """99th percentile of how much later than meant an event was sent, as every publisher still waited for a
    receipt or the client was busy: part of the latency."""
    disturbed: float
    """For what share of the time other processes kept the server off its core, or the client, if more."""
    faults: Faults
    published: int


def measure(server: Server, shape: Shape) -> Outcome:
    """Pairs of runs without and with a stalled subscriber, in turn, every other pair the other way round.

    The ratio is the median of the pairs'. LoadError when the server waits for the stalled one, or drops it.
    """
    found: dict[bool, list[Run]] = {False: [], True: []}
    with running(server) as process:
        for number in range(shape.pairs):
            for stalled in (False, True) if number % 2 == 0 else (True, False):
                channel = f"backtest.pair-{number}-{stalled}"
                found[stalled].append(_run(process, channel, shape, stalled=stalled))
            without, beside = found[False][-1].p99_ms, found[True][-1].p99_ms
            told = f"  pair {number + 1}/{shape.pairs} {server.name}: {without:.2f} ms, {beside:.2f} ms"
            print(told, file=sys.stderr, flush=True)
    runs = [*found[False], *found[True]]
    figures = {
        "p99 ratio": median(
            beside.p99_ms / without.p99_ms for without, beside in zip(found[False], found[True], strict=True)
        )
    }
    for which, some in (("without", found[False]), ("beside", found[True])):
        figures[f"p99 ms {which}"] = median(run.p99_ms for run in some)
        figures[f"p50 ms {which}"] = median(run.p50_ms for run in some)
        figures[f"most ms {which}"] = median(run.most_ms for run in some)
        figures[f"sent late p99 ms {which}"] = median(run.delay_ms for run in some)
    figures["disturbed %"] = 100 * median(run.disturbed for run in runs)
    return Outcome(figures, reduce(add, (run.faults for run in runs)), sum(run.published for run in runs))


def _run(process: Running, channel: str, shape: Shape, *, stalled: bool) -> Run:
    """One run on a channel of its own."""
    with Load(process.port, process.secret) as load:
        load.subscribe(channel, shape.others)
        load.hire(8)
        silent = load.stall(channel, receive_bytes=1) if stalled else None
        try:
            load.drive([channel], FILL_EVENTS, FILL_BYTES, seconds=FILL_SECONDS)
        except LoadError as error:
            raise LoadError(f"publishing waits for the subscriber that does not read: {error}") from None
        load.drive([channel], round(shape.rate), shape.bytes, rate=shape.rate)
        warm_up = {publisher: len(publisher.delays) for publisher in load.publishers}
        load.record()
        before = process.usage()
        phase = load.drive([channel], round(shape.rate * shape.seconds), shape.bytes, rate=shape.rate)
        waited = process.usage().waited_seconds - before.waited_seconds
        disturbed = max(waited, phase.client_waited) / phase.seconds
        if silent is not None and not _connected(silent):
            raise LoadError("the server closed the stalled subscriber before the end of the run")
        delays = [delay for publisher, sent in warm_up.items() for delay in publisher.delays[sent:]]
        latencies = load.latencies()
        p50, p99 = (_percentile(latencies, percent) for percent in (50, 99))
        return Run(
            p50,
            p99,
            max(latencies) / 1e6,
            _percentile(delays, 99),
            disturbed,
            load.faults,
            load.published,
        )


def _percentile(nanoseconds: list[int], percent: int) -> float:
    return quantiles(nanoseconds, n=100)[percent - 1] / 1e6


def _connected(sock: socket.socket) -> bool:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED


STALLED = Scenario(
    "stalled",
    "one that stops reading beside {others} subscribers; {rate:g} events/s of {bytes} bytes for {seconds:g}"
    " s, open loop, in {pairs} pairs of runs without it and with it",
    Shape(),
    {"seconds": 2, "pairs": 2},
    measure,
    "p99 ratio",
    servers=("courier",),
    repeat=1,
    less_is_better=True,
)

if __name__ == "__main__":
    STALLED.main()
