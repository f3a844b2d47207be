"""Histogram: how often a value fell between which bounds."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram as it was at one moment."""

    bounds: tuple[float, ...]
    """Rising; each belongs to the bucket that it ends."""
    counts: tuple[int, ...]
    """How many values fell into each bucket; there is one more than there are bounds, for all above."""


class Histogram:
    """Counts values, each as often as it is said to have been seen."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times


def summed(histograms: Iterable[Histogram]) -> Buckets:
    """All of them as one; they have the same bounds, and there is at least one."""
    several = list(histograms)
    counts = zip(*(histogram.counts for histogram in several), strict=True)
    return Buckets(several[0].bounds, tuple(map(sum, counts)))
