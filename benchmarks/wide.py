"""Wide: many channels with one subscriber each; every delivery needs a publish of its own."""

from dataclasses import replace

from benchmarks.fanout import FANOUT, Shape

WIDE = replace(
    FANOUT,
    name="wide",
    text="{channels} channels, {subscribers} subscribers; events of {bytes} bytes for {seconds:g} s; closed"
    " loop of {publishers} publishers with {in_flight} in flight each",
    shape=Shape(channels=1000, publishers=32, seconds=3),
)

if __name__ == "__main__":
    WIDE.main()
