"""Curves: how Courier's costs grow with subscribers, channels, event size and history; writes `results/`."""

import argparse
import sys
from collections.abc import Mapping
from time import perf_counter

from benchmarks.curve import Curve, Drawn, Figures, Line
from benchmarks.errors import sentence
from benchmarks.fanout import FANOUT
from benchmarks.growth import Growth
from benchmarks.node import NODE, figure
from benchmarks.process import take_client_core
from benchmarks.publish import PUBLISH
from benchmarks.report import machine
from benchmarks.results import FOLDER
from benchmarks.storm import STORM
from benchmarks.wide import WIDE

SECONDS = {"seconds": 2.0, "warm_up_seconds": 0.5}
QUICK_SECONDS = {"seconds": 0.5, "warm_up_seconds": 0.2}

EACH = "µs each"


def _published_mb(figures: Figures, value: int) -> float:
    return figures["events/s"] * value / 1e6


def size(value: int) -> str:
    """Bytes as one says them."""
    return f"{value // 1024} KiB" if value % 1024 == 0 else f"{value} B"


def _alone(subscribers: int) -> Mapping[str, int]:
    """One event at a time, so that nothing is joined: what a delivery costs when there is no hurry."""
    return {"subscribers": subscribers, "publishers": 1}


CURVES = (
    Curve(
        "Subscribers of one channel",
        (1, 10, 100, 1000, 5000),
        (1, 20, 500),
        "subscribers",
        "µs",
        "server CPU a delivery",
        (
            Line(
                "one event at a time",
                FANOUT,
                _alone,
                {"µs a delivery, one at a time": figure(EACH), "deliveries/s": figure("deliveries/s")},
                "subscribers",
                shared=True,
            ),
            Line(
                "8 at once, joined",
                FANOUT,
                lambda subscribers: {"subscribers": subscribers},
                {
                    "µs a delivery, 8 at once": figure(EACH),
                    "deliveries/s, 8 at once": figure("deliveries/s"),
                },
                "subscribers",
                shared=True,
            ),
        ),
    ),
    Curve(
        "Channels",
        (1, 10, 100, 1000, 10_000),
        (1, 500),
        "channels",
        "µs",
        "server CPU an event",
        (
            Line(
                "publish and one delivery",
                WIDE,
                lambda channels: {"subscribers": channels, "channels": channels},
                {"µs a publish and a delivery": figure(EACH), "delivered/s": figure("deliveries/s")},
            ),
            Line(
                "publish alone",
                PUBLISH,
                lambda channels: {"channels": channels},
                {"µs a publish": figure(EACH), "published/s": figure("events/s")},
            ),
        ),
    ),
    Curve(
        "Event size",
        (200, 1024, 8192, 61_440),
        (200, 8192, 61_440),
        "event",
        "µs",
        "server CPU",
        (
            Line(
                "a publish",
                PUBLISH,
                lambda size: {"bytes": size},
                {
                    "µs a publish": figure(EACH),
                    "MB/s published": _published_mb,
                    "bytes kept": figure("bytes kept an event"),
                },
                "KiB",
                1024,
            ),
            Line(
                "a delivery",
                FANOUT,
                lambda size: {"bytes": size, "publishers": 1},
                {"µs a delivery": figure(EACH), "MB/s delivered": figure("MB/s")},
                "KiB",
                1024,
            ),
        ),
        size,
    ),
    Curve(
        "History: events missed",
        (0, 10, 100, 1000, 10_000),
        (0, 100, 10_000),
        "missed",
        "µs",
        "server CPU a subscriber that comes back",
        (
            Line(
                "join and replay",
                STORM,
                lambda missed: {"missed": missed, "subscribers": 100, "channels": 1},
                {
                    "µs a subscriber": figure("CPU ms a join", 1000),
                    "ms until all 100 have all": figure("s until all have all", 1000),
                    "server's peak MiB": figure("peak MiB"),
                },
                "events",
            ),
        ),
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer values, shorter runs")
    options = parser.parse_args()
    take_client_core()
    where = machine()
    print(where, file=sys.stderr)
    start = perf_counter()
    seconds = QUICK_SECONDS if options.quick else SECONDS
    *drawn, node = [Drawn.measured(curve, quick=options.quick, seconds=seconds) for curve in (*CURVES, NODE)]
    growth = Growth(where, drawn, node, perf_counter() - start)
    print(growth.write(FOLDER, "quick.curves" if options.quick else "curves"))


if __name__ == "__main__":
    with sentence():
        main()
