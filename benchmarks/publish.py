"""Publish: single events to channels without subscribers; how many a server takes in a second.

Afterwards a late subscriber reads everything back from a server that keeps it; for one that only numbers its
receipts, every number must have been told once.
"""

from dataclasses import dataclass, replace

from benchmarks.fanout import ENDLESS
from benchmarks.load import Load
from benchmarks.outcome import Outcome, costs
from benchmarks.process import running
from benchmarks.scenario import Scenario
from benchmarks.servers import Server

HISTORY = {"COURIER_HISTORY_EVENTS": "1000000", "COURIER_HISTORY_BYTES": str(2**31)}
"""So that all that a run publishes can be read back at its end."""


@dataclass(frozen=True)
class Shape:
    publishers: int = 32
    channels: int = 10
    batch: int = 1
    bytes: int = 200
    seconds: float = 4
    warm_up_seconds: float = 0.7


def measure(server: Server, shape: Shape) -> Outcome:
    """Warm up, every channel once at least, publish as fast as the receipts come back, and read it back."""
    names = [f"backtest.publish-{number}" for number in range(shape.channels)]
    server = replace(server, environment={**server.environment, **(HISTORY if server.replays else {})})
    with running(server) as process, Load(process.port, process.secret) as load:
        if server.replays:
            for name in names:
                load.expect(name)
        load.hire(shape.publishers)
        load.drive(names, len(names), shape.bytes, batch=shape.batch, away=True)
        load.drive(
            names, ENDLESS, shape.bytes, batch=shape.batch, stop_after=shape.warm_up_seconds, away=True
        )
        before = process.usage()
        phase = load.drive(
            names, ENDLESS, shape.bytes, batch=shape.batch, stop_after=shape.seconds, away=True
        )
        after = process.usage()
        if server.replays:
            load.read_back(names)
        used = after.cpu_seconds - before.cpu_seconds
        return Outcome(
            {
                "events/s": phase.events / phase.seconds,
                "requests/s": phase.requests / phase.seconds,
                "µs each": used / max(1, phase.events) * 1e6,
                "bytes kept an event": 1024 * (after.rss_kib - before.rss_kib) / max(1, phase.events),
                **costs(before, after, phase),
            },
            load.faults,
            phase.events,
        )


PUBLISH = Scenario(
    "publish",
    "{channels} channels without subscribers; single events of {bytes} bytes for {seconds:g} s; closed"
    " loop of {publishers} keep-alive publishers; service tokens, rate limit and metrics on",
    Shape(),
    {"seconds": 2.5, "warm_up_seconds": 0.5},
    measure,
    "events/s",
)

if __name__ == "__main__":
    PUBLISH.main()
