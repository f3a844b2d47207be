"""Latency: from the time at which an event was meant to be sent until each subscriber has it, open loop."""

from dataclasses import dataclass
from statistics import median, quantiles

from benchmarks.load import Load
from benchmarks.outcome import Outcome, costs
from benchmarks.process import running
from benchmarks.scenario import Scenario
from benchmarks.servers import Server


@dataclass(frozen=True)
class Shape:
    subscribers: int = 1000
    channels: int = 100
    rate: float = 1000
    publishers: int = 64
    bytes: int = 200
    seconds: float = 6
    warm_up_seconds: float = 1


def measure(server: Server, shape: Shape) -> Outcome:
    """Publish at the rate, to the channels in turn, whatever becomes of the events before."""
    names = [f"backtest.latency-{number}" for number in range(shape.channels)]
    with running(server) as process, Load(process.port, process.secret) as load:
        for number, name in enumerate(names):
            load.subscribe(name, shape.subscribers // len(names) + (number < shape.subscribers % len(names)))
        load.hire(shape.publishers)
        load.drive(names, round(shape.rate * shape.warm_up_seconds), shape.bytes, rate=shape.rate)
        sent = {publisher: len(publisher.delays) for publisher in load.publishers}
        load.record()
        before = process.usage()
        phase = load.drive(names, round(shape.rate * shape.seconds), shape.bytes, rate=shape.rate)
        after = process.usage()
        latencies = load.latencies()
        delays = [delay for publisher, warm in sent.items() for delay in publisher.delays[warm:]]
        percentiles = quantiles(latencies, n=1000)
        return Outcome(
            {
                "p99 ms": percentiles[989] / 1e6,
                "p50 ms": median(latencies) / 1e6,
                "p99.9 ms": percentiles[998] / 1e6,
                "most ms": max(latencies) / 1e6,
                "sent late p99 ms": quantiles(delays, n=100)[98] / 1e6,
                "deliveries/s": phase.rate,
                **costs(before, after, phase),
            },
            load.faults,
            load.published,
        )


LATENCY = Scenario(
    "latency",
    "{subscribers} subscribers on {channels} channels; {rate:g} events/s of {bytes} bytes for {seconds:g} s,"
    " open loop of {publishers} publishers",
    Shape(),
    {"seconds": 3, "warm_up_seconds": 0.5},
    measure,
    "p99 ms",
    less_is_better=True,
)

if __name__ == "__main__":
    LATENCY.main()
