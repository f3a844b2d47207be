"""Fan-out: one channel, many subscribers; how many deliveries a second, and at what cost."""

from dataclasses import dataclass

from benchmarks.load import Load
from benchmarks.outcome import Outcome, costs
from benchmarks.process import running
from benchmarks.scenario import Scenario
from benchmarks.servers import Server


@dataclass(frozen=True)
class Shape:
    subscribers: int = 1000
    channels: int = 1
    publishers: int = 8
    in_flight: int = 1
    bytes: int = 200
    seconds: float = 4
    warm_up_seconds: float = 1


def measure(server: Server, shape: Shape) -> Outcome:
    """Spread the subscribers over the channels, warm up, and publish as fast as the receipts come back."""
    names = [f"backtest.fanout-{number}" for number in range(shape.channels)]
    with running(server) as process, Load(process.port, process.secret) as load:
        for number, name in enumerate(names):
            load.subscribe(name, shape.subscribers // len(names) + (number < shape.subscribers % len(names)))
        load.hire(shape.publishers, shape.in_flight)
        load.drive(names, ENDLESS, shape.bytes, stop_after=shape.warm_up_seconds)
        before = process.usage()
        phase = load.drive(names, ENDLESS, shape.bytes, stop_after=shape.seconds)
        after = process.usage()
        used = after.cpu_seconds - before.cpu_seconds
        return Outcome(
            {
                "deliveries/s": phase.rate,
                "events/s": phase.events / phase.seconds,
                "MB/s": phase.bytes / phase.seconds / 1e6,
                "events a read": phase.deliveries / phase.reads,
                "µs each": used / max(1, phase.deliveries) * 1e6,
                **costs(before, after, phase),
            },
            load.faults,
            load.published,
        )


ENDLESS = 10**9
"""As many events as the time allows."""

FANOUT = Scenario(
    "fanout",
    "{channels} channel, {subscribers} subscribers; events of {bytes} bytes for {seconds:g} s; closed loop of"
    " {publishers} publishers with {in_flight} in flight each",
    Shape(),
    {"seconds": 2, "warm_up_seconds": 0.5},
    measure,
    "deliveries/s",
)

if __name__ == "__main__":
    FANOUT.main()
