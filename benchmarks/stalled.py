"""Stalled: what one subscriber that stops reading costs the 99 others of its channel in latency."""

import argparse
import socket
import sys
from dataclasses import dataclass
from statistics import median, quantiles

from benchmarks.errors import LoadError, sentence
from benchmarks.load import Load
from benchmarks.report import machine, table
from benchmarks.servers import SERVERS, Running, Server, running, take_client_core
from benchmarks.tape import Faults

FILL_EVENTS, FILL_BYTES = 100, 60_000
"""What is published first: more than the kernel keeps for one connection (`net.ipv4.tcp_wmem`, 4 MiB at most
by default), so that from then on the server cannot write a byte to the one that does not read."""

_ESTABLISHED = 1


@dataclass(frozen=True)
class Shape:
    """What is asked of a server."""

    others: int
    rate: float
    seconds: float
    size: int


@dataclass(frozen=True)
class Result:
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


def measure(process: Running, channel: str, shape: Shape, *, stalled: bool) -> Result:
    """One run on a channel of its own; LoadError if the stalled subscriber was gone before its end."""
    with Load(process.port, process.secret) as load:
        load.subscribe(channel, shape.others)
        load.hire(8)
        silent = load.stall(channel, receive_bytes=1) if stalled else None
        load.drive([channel], FILL_EVENTS, FILL_BYTES)
        load.drive([channel], round(shape.rate), shape.size, rate=shape.rate)
        warm_up = {publisher: len(publisher.delays) for publisher in load.publishers}
        load.record()
        before = process.usage()
        phase = load.drive([channel], round(shape.rate * shape.seconds), shape.size, rate=shape.rate)
        waited = process.usage().waited_seconds - before.waited_seconds
        disturbed = max(waited, phase.client_waited) / phase.seconds
        if silent is not None and not _connected(silent):
            raise LoadError("the server closed the stalled subscriber before the end of the run")
        delays = [delay for publisher, sent in warm_up.items() for delay in publisher.delays[sent:]]
        latencies = load.latencies()
        p50, p99 = (_percentile(latencies, percent) for percent in (50, 99))
        return Result(p50, p99, max(latencies) / 1e6, _percentile(delays, 99), disturbed, load.faults)


def pairs(server: Server, shape: Shape, count: int) -> tuple[list[Result], list[Result]]:
    """`count` runs without and with a stalled subscriber, in turn, every other pair the other way round."""
    found: dict[bool, list[Result]] = {False: [], True: []}
    with running(server) as process:
        for number in range(count):
            for stalled in (False, True) if number % 2 == 0 else (True, False):
                result = measure(process, f"backtest.pair-{number}-{stalled}", shape, stalled=stalled)
                found[stalled].append(result)
            without, beside = found[False][-1].p99_ms, found[True][-1].p99_ms
            print(f"  {number + 1}/{count} {server.name}: {without:.2f} ms, {beside:.2f} ms", file=sys.stderr)
    return found[False], found[True]


def rows(server: Server, without: list[Result], beside: list[Result]) -> list[dict[str, str]]:
    """Medians, a row for each kind of run; the ratio is the median of the pairs'."""
    ratio = median(b.p99_ms / a.p99_ms for a, b in zip(without, beside, strict=True))
    return [
        {
            "server": server.name,
            "stalled": stalled,
            "p50 ms": f"{median(one.p50_ms for one in results):.2f}",
            "p99 ms": f"{median(one.p99_ms for one in results):.2f}",
            "most ms": f"{median(one.most_ms for one in results):.2f}",
            "sent late p99 ms": f"{median(one.delay_ms for one in results):.2f}",
            "disturbed": f"{median(one.disturbed for one in results):.0%}",
            "p99 ratio": ratio_of_row,
            "faults": str(sum((one.faults for one in results), Faults())),
        }
        for stalled, results, ratio_of_row in (("none", without, ""), ("one", beside, f"{ratio:.2f}"))
    ]


def _percentile(nanoseconds: list[int], percent: int) -> float:
    return quantiles(nanoseconds, n=100)[percent - 1] / 1e6


def _connected(sock: socket.socket) -> bool:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--others", type=int, default=99, help="subscribers that read (%(default)s)")
    parser.add_argument("--rate", type=float, default=200, help="events a second, open loop (%(default)s)")
    parser.add_argument("--seconds", type=float, help="measured in a run (default: 6; quick: 2)")
    parser.add_argument("--bytes", type=int, default=200, help="size of an event as published (%(default)s)")
    parser.add_argument("--pairs", type=int, help="(default: 7; quick: 2)")
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=["courier"], metavar="SERVER")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    options = parser.parse_args()
    seconds = options.seconds or (2 if options.quick else 6)
    shape = Shape(options.others, options.rate, seconds, options.bytes)
    take_client_core()
    print(machine())
    print(f"\n{shape.others} subscribers, {shape.rate:g} events/s of {shape.size} bytes for {seconds:g} s\n")
    lines = []
    for name in options.servers:
        lines += rows(
            SERVERS[name], *pairs(SERVERS[name], shape, options.pairs or (2 if options.quick else 7))
        )
    print(table(lines))
    print(
        "\nOpen loop: latency runs from when an event was meant to be sent. The stalled one stayed connected."
    )


if __name__ == "__main__":
    with sentence():
        main()
