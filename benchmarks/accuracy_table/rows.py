"""From cells to rows: medians over the seeds, and the share of the gap to the ceiling that a method closes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.accuracy_table.cells import CEILING, Cell
from benchmarks.deconvolvers.methods import METHODS, OURS

__all__ = ["LEAST_GAP", "Gap", "Row", "Setting", "gap_closed", "gaps_closed", "rows_by_setting"]

LEAST_GAP = {"f1": 0.005, "error": 0.1, "best_f1": 0.005, "best_error": 0.1}
"""Rivals closer to the ceiling leave no gap to close a share of: scores differ by that much from seed to seed."""

Setting = tuple[str, str, float]


@dataclass(frozen=True)
class Row:
    """Medians of a method's cells. seeds: whose. spread: (lowest, highest) of each score."""

    method: str
    name: str
    budget: str
    seeds: tuple[int, ...]
    scores: Mapping[str, float]
    spread: Mapping[str, tuple[float, float]]
    seconds: float
    command: str


@dataclass(frozen=True)
class Gap:
    """How far ours goes from the best of some rivals to the ceiling in one score. rival: key of that best one.

    share: 1 reaches the ceiling, 0 is no better than the rival, below 0 is worse; NaN where the rival is there already
    (`LEAST_GAP`).
    """

    score: str
    ceiling: float
    rival: str
    rival_value: float
    ours: float
    share: float


def rows_by_setting(cells: Iterable[Cell]) -> dict[Setting, list[Row]]:
    """Return the rows of each phantom, protocol and SNR: the ceiling, then the methods in the order of `METHODS`."""
    groups: dict[Setting, dict[tuple[str, str], list[Cell]]] = {}
    for cell in cells:
        groups.setdefault(cell.problem.setting, {}).setdefault((cell.method, cell.budget), []).append(cell)
    order = [CEILING, *METHODS]
    return {
        setting: [_row(group[key]) for key in sorted(group, key=lambda key: (order.index(key[0]), key[1]))]
        for setting, group in groups.items()
    }


def _row(cells: Sequence[Cell]) -> Row:
    cells = sorted(cells, key=lambda cell: cell.problem.seed)
    first = cells[0]
    values = {score: np.array([cell.scores[score] for cell in cells]) for score in first.scores}
    name = "ceiling (truth, degree 12, 5°)" if first.method == CEILING else METHODS[first.method].name
    return Row(
        first.method,
        name,
        first.budget,
        tuple(cell.problem.seed for cell in cells),
        {score: float(np.median(value)) for score, value in values.items()},
        {score: (float(value.min()), float(value.max())) for score, value in values.items()},
        float(np.median([cell.seconds for cell in cells])),
        first.command,
    )


def gaps_closed(rows: Sequence[Row], *, trained_rivals: bool) -> list[Gap]:
    """Return the gaps closed by ours in F1 and angular error, both at the fixed threshold and at each method's best.

    trained_rivals: whether the other networks are rivals too, or only the methods that are not trained. Empty where a
    table lacks the ceiling, ours or every rival.
    """
    by_key = {row.method: row for row in rows}
    rivals = [
        row
        for key, row in by_key.items()
        if key not in (CEILING, OURS) and (METHODS[key].rival or (trained_rivals and METHODS[key].trained))
    ]
    if CEILING not in by_key or OURS not in by_key or not rivals:
        return []
    values = {row.method: row.scores for row in rivals}
    return [gap_closed(score, by_key[CEILING].scores, values, by_key[OURS].scores) for score in LEAST_GAP]


def gap_closed(
    score: str,
    ceiling: Mapping[str, float],
    rivals: Mapping[str, Mapping[str, float]],
    ours: Mapping[str, float],
) -> Gap:
    """Return the gap closed in one score of `LEAST_GAP`, against the rival that is best in it. rivals: by key."""
    better = max if score.endswith("f1") else min
    rival = better(rivals, key=lambda key: rivals[key][score])
    top, theirs, mine = ceiling[score], rivals[rival][score], ours[score]
    way = top - theirs if better is max else theirs - top
    gained = mine - theirs if better is max else theirs - mine
    share = gained / way if way >= LEAST_GAP[score] else float("nan")
    return Gap(score, top, rival, theirs, mine, share)
