"""The tables of the study: means over the seeds, and margins of the equivariant network over each CNN."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.segmentation_study.cells import METHODS

__all__ = ["Row", "as_markdown", "margins"]

COLUMNS = (("AUC", "roc_auc"), ("average precision", "average_precision"), ("Dice", "dice_at"), ("Dice at 0.5", "dice"))


@dataclass(frozen=True)
class Row:
    """A method after training on some scans. training, tested: orientations. cells: what `measure` returned, a seed
    each.
    """

    method: str
    training: str
    tested: str
    count: int
    cells: Sequence[Mapping[str, Any]]

    def values(self, score: str) -> list[float]:
        """Return a score of every seed."""
        return [float(cell["scores"][self.tested][score]) for cell in self.cells]

    def mean(self, score: str) -> float:
        """Return the mean over the seeds."""
        return float(np.mean(self.values(score)))


def as_markdown(rows: Sequence[Row]) -> str:
    """Return a table: scores (mean, and the lowest and highest seed), then what they cost."""
    titles = ("network", "scans", *(title for title, _ in COLUMNS), "steps", "CPU s", "parameters")
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for row in rows:
        scores = [
            f"{row.mean(score):.3f} ({min(row.values(score)):.3f}–{max(row.values(score)):.3f})" for _, score in COLUMNS
        ]
        costs = [f"{np.mean([cell[name] for cell in row.cells]):.0f}" for name in ("steps", "seconds", "parameters")]
        lines.append("| " + " | ".join((METHODS[row.method].name, str(row.count), *scores, *costs)) + " |")
    return "\n".join(lines)


def margins(rows: Sequence[Row]) -> list[str]:
    """Return by how much the equivariant network's means exceed each CNN's, in words, for each number of scans."""
    lines = []
    for ours in (row for row in rows if row.method == "equivariant"):
        for other in (row for row in rows if row.count == ours.count and row.method != "equivariant"):
            parts = [
                f"{title} {100 * (ours.mean(score) / max(other.mean(score), 1e-9) - 1):+.0f} %"
                for title, score in COLUMNS[:3]
            ]
            lines.append(f"{ours.count} scans, over {METHODS[other.method].name}: {', '.join(parts)}")
    return lines
