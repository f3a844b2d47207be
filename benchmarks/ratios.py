"""Ratios: servers that took turns, compared turn by turn, so that both had the same weather."""

from collections.abc import Mapping, Sequence
from statistics import median

from benchmarks.outcome import Outcome
from benchmarks.report import number


def ratios(outcomes: Mapping[str, Sequence[Outcome]], base: str) -> list[dict[str, str]]:
    """A row for every server but `base`: each figure divided by that of `base` in the same turn, the median.

    What has no figure in common with `base` has no row.
    """
    rows = []
    for name, some in outcomes.items():
        turns = [
            (mine.figures, its.figures)
            for mine, its in zip(some, outcomes[base], strict=False)
            if not mine.failed and not its.failed
        ]
        divided = _divided(turns) if name != base else {}
        if divided:
            first, values = next(iter(divided.items()))
            cells = {f"divided by {base}": name, first: number(median(values))}
            cells |= {
                "lowest": number(min(values)),
                "highest": number(max(values)),
                "turns": str(len(values)),
            }
            cells |= {figure: number(median(divided[figure])) for figure in list(divided)[1:]}
            rows.append(cells)
    return rows


def _divided(turns: Sequence[tuple[Mapping[str, float], Mapping[str, float]]]) -> dict[str, list[float]]:
    """By figure, the ratio of each turn; without figures that are 0, of which there is no ratio."""
    if not turns:
        return {}
    mine, its = turns[0]
    return {
        figure: [one[figure] / other[figure] for one, other in turns]
        for figure in mine
        if figure in its and all(other[figure] for _, other in turns)
    }
