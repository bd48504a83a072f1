"""The tables of the study: means over the seeds that a row has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.accuracy_table.cells import CEILING
from benchmarks.learning_study.cells import METHODS, UNTRAINED

__all__ = ["SCORES", "Row", "as_markdown", "costs", "row_name"]

SCORES = (
    ("F1", "f1", ".3f"), ("angular error °", "error", ".2f"), ("success (2)", "success_2", ".3f"),
    ("fODF correlation", "correlation", ".3f"),
)  # fmt: skip
"""Title, name and form of the scores shown; peaks count from a tenth of a voxel's highest."""


@dataclass(frozen=True)
class Row:
    """A method after training on so many boxes, none for rows that learn nothing. cells: a seed each."""

    method: str
    count: int
    cells: Sequence[Mapping[str, Any]]

    def values(self, test: str, score: str) -> list[float]:
        """Return a score of every seed."""
        return [float(cell["scores"][test][score]) for cell in self.cells]

    def mean(self, test: str, score: str) -> float:
        """Return the mean over the seeds."""
        return float(np.mean(self.values(test, score)))

    def cost(self, name: str) -> float:
        """Return the mean of what the training took, or had."""
        return float(np.mean([cell[name] for cell in self.cells]))


def row_name(key: str) -> str:
    """Return what the tables call a method."""
    return {UNTRAINED: "estimate (untrained)", CEILING: "ceiling"}.get(key) or METHODS[key].name


def as_markdown(rows: Sequence[Row], test: str) -> str:
    """Return the scores on one test: a line a row, the mean, and the lowest and highest seed where there are more."""
    titles = ("network", "boxes", "voxels", "seeds", *(title for title, _, _ in SCORES))
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for row in rows:
        scores = []
        for _, score, form in SCORES:
            values = row.values(test, score)
            between = f" ({min(values):{form}}–{max(values):{form}})" if len(values) > 1 else ""
            scores.append(f"{np.mean(values):{form}}{between}")
        learned = (str(row.count), f"{row.cost('voxels'):.0f}") if row.count else ("–", "–")
        lines.append("| " + " | ".join((row_name(row.method), *learned, str(len(row.cells)), *scores)) + " |")
    return "\n".join(lines)


def costs(rows: Sequence[Row]) -> str:
    """Return what the trainings on the most boxes took, and the loss that their validations reached."""
    titles = ("network", "parameters", "learning rate", "steps", "CPU s", "loss of validation")
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    most = {row.method: row for row in rows if row.count}  # the last of each method
    for key, row in most.items():
        numbers = (
            f"{row.cost('parameters'):,.0f}", f"{row.cost('rate'):g}", f"{row.cost('steps'):.0f}",
            f"{row.cost('seconds'):.0f}", f"{row.cost('held_out'):.3f}",
        )  # fmt: skip
        lines.append("| " + " | ".join((row_name(key), *numbers)) + " |")
    return "\n".join(lines)
