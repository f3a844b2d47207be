"""Steady: whether a quantity that was sampled for a while stays where it is after a warm-up."""

from collections.abc import Sequence
from itertools import combinations
from math import sqrt
from statistics import median
from typing import NamedTuple

WARM_UP = 1 / 3
"""The part of the time that counts as warm-up."""

MOST_GROWTH = 0.10
"""How much higher the end may be than the level after the warm-up."""

MOST_SLOPE = 0.04
"""How much the slope may add to that level between the end of the warm-up and the end."""

CERTAIN = 3.0
"""How many standard deviations a trend must be away from chance to count as a slope."""

POINTS = 120
"""How many samples the slope is drawn through: each is the median of its neighbours."""


class Verdict(NamedTuple):
    """What became of one quantity after the warm-up."""

    level: float
    """The median of the first fifth after the warm-up."""
    end: float
    """The median of the last fifth."""
    rise: float
    """What the slope adds from the end of the warm-up on (Theil and Sen: the median of all pairs')."""
    trend: float
    """How many standard deviations its trend is away from chance (Mann and Kendall)."""
    fault: str | None
    """What is wrong, as a sentence; None when it is steady."""


def judge(times: Sequence[float], values: Sequence[float], spare: float = 0) -> Verdict:
    """Whether `values`, sampled at `times`, are steady after the warm-up.

    They are not when the end is more than MOST_GROWTH above the level, or when a slope that is no chance adds
    more than MOST_SLOPE to it; `spare` is a rise that is forgiven anyway, for quantities that are small.
    Falling is steady. ValueError when fewer than ten samples are left after the warm-up.
    """
    begin = times[0] + (times[-1] - times[0]) * WARM_UP
    after = [(time, value) for time, value in zip(times, values, strict=True) if time >= begin]
    if len(after) < 10:
        raise ValueError(f"{len(after)} samples after the warm-up are too few: at least 10")
    fifth = len(after) // 5
    level = median(value for _, value in after[:fifth])
    end = median(value for _, value in after[-fifth:])
    points = _thinned(after)
    slopes = [(y - x) / (later - time) for (time, x), (later, y) in combinations(points, 2)]
    rise = median(slopes) * (after[-1][0] - after[0][0])
    trend = _trend([value for _, value in points])
    fault = None
    if end - level > MOST_GROWTH * level + spare:
        fault = f"ends {end - level:,.0f} above its level of {level:,.0f}"
    elif trend > CERTAIN and rise > MOST_SLOPE * level + spare:
        fault = f"rises by {rise:,.0f} from its level of {level:,.0f}"
    return Verdict(level, end, rise, trend, fault)


def _thinned(samples: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    size = -(-len(samples) // POINTS)
    groups = [samples[start : start + size] for start in range(0, len(samples), size)]
    return [(median(time for time, _ in group), median(value for _, value in group)) for group in groups]


def _trend(values: Sequence[float]) -> float:
    """The statistic of Mann and Kendall: about normal with variance 1 when the order is chance."""
    count = len(values)
    score = sum((later > value) - (later < value) for value, later in combinations(values, 2))
    return score / sqrt(count * (count - 1) * (2 * count + 5) / 18)
