"""Node: one that somebody may have to size, measured at several rates beside what a fit says of it."""

from benchmarks.curve import Column, Curve, Drawn, Line
from benchmarks.fit import Fit
from benchmarks.latency import LATENCY
from benchmarks.report import number

SUBSCRIBERS, CHANNELS = 5000, 1000


def figure(name: str, times: float = 1) -> Column:
    """The figure called `name`, in another unit by `times`."""
    return lambda figures, value: figures[name] * times


NODE = Curve(
    f"A node with {SUBSCRIBERS:,} subscribers on {CHANNELS:,} channels",
    (500, 2000),
    (),
    "events/s",
    "%",
    "of a core",
    (
        Line(
            "server",
            LATENCY,
            lambda rate: {"subscribers": SUBSCRIBERS, "channels": CHANNELS, "rate": rate, "seconds": 4},
            {
                "measured % of a core": figure("server busy %"),
                "p99 ms": figure("p99 ms"),
                "peak MiB": figure("peak MiB"),
            },
        ),
    ),
)


def reckoned(rate: float, fit: Fit, spread: float) -> float:
    """Per cent of a core: `fit` says how many microseconds an event to a channel's subscribers takes.

    `spread` is what it costs more because the channels are many.
    """
    return 100 * rate * (fit.at(SUBSCRIBERS / CHANNELS) + spread) / 1e6


def rows(drawn: Drawn, fit: Fit, spread: float) -> list[dict[str, str]]:
    """The table of `NODE`, with what was reckoned beside what was measured."""
    return [
        {"events/s": row.pop("events/s"), "reckoned % of a core": number(reckoned(rate, fit, spread))} | row
        for rate, row in zip(drawn.values, drawn.rows(), strict=True)
    ]
