"""One method on one problem: its scores and its time, in a file of its own."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.accuracy_table.problems import Problem, white_matter_scan
from benchmarks.deconvolvers.methods import Method, separable
from benchmarks.deconvolvers.training import Budget
from shd._version import __version__
from shd.errors import OutputError
from shd.evaluation.assessment import ALL, Assessment, assess_ceiling, assess_fods
from shd.evaluation.truth import Truth
from shd.io.atomic import write_json
from shd.simulation import Phantom

__all__ = ["CEILING", "THRESHOLD", "Cell", "CellStore", "measure_ceiling", "measure_method", "scores_of"]

CEILING = "ceiling"
"""The key of the row of the true fODFs."""

THRESHOLD = 0.1
"""Share of a voxel's highest peak from which peaks count; the tables' other columns are at each method's best one."""

_TWO = "2 fibres"


@dataclass(frozen=True)
class Cell:
    """scores: by name, see `scores_of`. seconds: of the method alone, not of scoring. command: that makes the cell."""

    method: str
    problem: Problem
    budget: str
    scores: Mapping[str, float]
    seconds: float
    command: str
    version: str = field(default=__version__)


def scores_of(assessment: Assessment) -> dict[str, float]:
    """Return the scores of the tables.

    "f1", "error" (degrees) over all scored voxels, "success_2", "error_2" and "both_2" (both fibres found) over those
    with two fibres, at peaks from a tenth of the voxel's highest; the same with "best_" before them at the threshold of
    the highest F1, which is "best_threshold"; "auc", the area under precision against recall; "correlation" and
    "divergence" of the whole fODF with the ceiling's. NaN where no voxel holds two fibres.
    """
    every = assessment.groups[ALL]
    two = assessment.groups.get(_TWO)
    best, _ = every.sweep.best
    scores = {}
    for prefix, threshold in (("", THRESHOLD), ("best_", best)):
        at = every.sweep.at(threshold)
        scores[f"{prefix}f1"], scores[f"{prefix}error"] = at.f1, at.angular_error
        crossing = None if two is None else two.sweep.at(threshold)
        scores[f"{prefix}success_2"] = np.nan if crossing is None else crossing.success_rate
        scores[f"{prefix}error_2"] = np.nan if crossing is None else crossing.angular_error
        scores[f"{prefix}both_2"] = np.nan if crossing is None else crossing.both_fibres_found
    scores["best_threshold"], scores["auc"] = best, every.sweep.area_under_curve
    scores["correlation"], scores["divergence"] = every.angular_correlation, every.jensen_shannon
    return {name: float(value) for name, value in scores.items()}


def measure_ceiling(phantom: Phantom) -> tuple[dict[str, float], float]:
    """Return the scores of the true fODFs, and no time."""
    return scores_of(assess_ceiling(Truth.of(phantom))), 0.0


def measure_method(method: Method, phantom: Phantom, budget: Budget) -> tuple[dict[str, float], float]:
    """Return a method's scores on a phantom, with the exact responses, and the seconds it took."""
    scan = white_matter_scan(phantom) if method.voxelwise else phantom.scan
    # networks and their estimate make use of every tissue; least squares without a prior cannot tell more than shells
    responses = separable(phantom.responses, scan.gradients) if method.rival else phantom.responses
    started = time.perf_counter()
    fod = method.run(scan, responses, budget)
    seconds = time.perf_counter() - started
    return scores_of(assess_fods(method.name, fod, Truth.of(phantom), threshold=THRESHOLD)), seconds


class CellStore:
    """Finished cells, one file each in `folder`: several runs may share it, and a killed one loses one cell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be made ({error.strerror}); give another --out") from error

    def _path(self, method: str, problem: Problem, budget: str) -> Path:
        words = (problem.phantom, problem.protocol, f"snr{problem.snr:g}", f"seed{problem.seed}", method, budget)
        return self.folder / ("_".join(word.replace(" ", "") for word in words if word) + ".json")

    def read(self, method: str, problem: Problem, budget: str) -> Cell | None:
        """Return a finished cell, None where there is none. Raises OutputError where its file cannot be understood."""
        path = self._path(method, problem, budget)
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            scores = {name: np.nan if value is None else float(value) for name, value in content["scores"].items()}
            return Cell(method, problem, budget, scores, content["seconds"], content["command"], content["version"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OutputError(f"{path}: not a finished cell ({type(error).__name__}: {error}); remove it") from error

    def write(self, cell: Cell) -> None:
        """Keep a finished cell."""
        scores = {name: None if np.isnan(value) else value for name, value in cell.scores.items()}
        record = {
            "method": cell.method, "phantom": cell.problem.phantom, "protocol": cell.problem.protocol,
            "snr": cell.problem.snr, "seed": cell.problem.seed, "budget": cell.budget, "scores": scores,
            "seconds": cell.seconds, "command": cell.command, "version": cell.version,
        }  # fmt: skip
        write_json(self._path(cell.method, cell.problem, cell.budget), record)
