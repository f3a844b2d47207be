"""Whether something grows: told from what only varies."""

import random

import pytest

from benchmarks.steady import judge

MINUTES = [number / 6 for number in range(180)]


def series(level: float, noise: float, slope: float = 0, warm_up: float = 0) -> list[float]:
    """Half an hour: `warm_up` is reached within ten minutes, `slope` is per minute."""
    dice = random.Random(7)
    return [
        level + warm_up * min(1, minute / 9) + slope * minute + dice.uniform(-noise, noise)
        for minute in MINUTES
    ]


@pytest.mark.parametrize(
    "values",
    [
        series(80_000, 0),
        series(80_000, 3_000),
        series(60_000, 500, warm_up=30_000),
        series(80_000, 500, slope=-300),
        [80_000 + 6_000 * (number % 12) / 12 for number in range(180)],  # what a collector leaves: saw teeth
    ],
    ids=["constant", "noisy", "warming up", "falling", "saw teeth"],
)
def test_what_varies_and_does_not_grow_is_steady(values: list[float]) -> None:
    assert judge(MINUTES, values).fault is None


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (series(80_000, 500, slope=300), "rises by"),
        (series(80_000, 500, slope=1_000), "above its level"),
        ([*series(80_000, 500)[:150], *series(95_000, 500)[150:]], "above its level"),
        ([value + 4_000 * (number // 20) for number, value in enumerate(series(80_000, 3_000))], "above"),
    ],
    ids=["a slope", "a steep slope", "a jump at the end", "steps"],
)
def test_what_grows_is_found(values: list[float], sentence: str) -> None:
    fault = judge(MINUTES, values).fault
    assert fault is not None
    assert sentence in fault


def test_a_small_rise_is_forgiven() -> None:
    values = series(80, 1, slope=0.6)
    assert judge(MINUTES, values).fault is not None
    assert judge(MINUTES, values, spare=25).fault is None


def test_too_few_samples_say_nothing() -> None:
    with pytest.raises(ValueError, match="too few"):
        judge([1, 2, 3, 4], [1, 1, 1, 1])
