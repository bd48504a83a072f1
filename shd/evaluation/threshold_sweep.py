"""Scores against the relative peak threshold: a method is judged by its curve, not by one lucky cut."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from shd.evaluation.peak_scores import PeakScores, score_peaks

__all__ = ["THRESHOLDS", "ThresholdSweep", "sweep_thresholds"]

# The published protocol: 0.05, 0.10, …, 0.95 of the voxel's largest peak.
THRESHOLDS = tuple(step / 20 for step in range(1, 20))


@dataclass(frozen=True)
class ThresholdSweep:
    """Scores at each relative threshold, ascending."""

    thresholds: tuple[float, ...]
    scores: tuple[PeakScores, ...]

    @property
    def best(self) -> tuple[float, PeakScores]:
        """The threshold of the highest F1, and the scores there."""
        index = int(np.nanargmax([score.f1 for score in self.scores]))
        return self.thresholds[index], self.scores[index]

    @property
    def area_under_curve(self) -> float:
        """Area under precision as a function of recall, by trapezoids.

        The curve is carried to recall 0 at the precision of the strictest threshold, and ends at the largest recall
        reached: a fibre that no threshold finds is area lost.
        """
        recall = np.array([score.recall for score in self.scores])[::-1]
        precision = np.array([score.precision for score in self.scores])[::-1]
        # Matching is mutual, so a looser threshold may unmatch a fibre; the best recall so far keeps this a function.
        recall = np.maximum.accumulate(np.concatenate([[0.0], recall]))
        precision = np.concatenate([precision[:1], precision])
        return float(np.sum(np.diff(recall) * (precision[1:] + precision[:-1]) / 2))


def sweep_thresholds(
    found_directions: Float[np.ndarray, "voxel peak 3"],
    found_amplitudes: Float[np.ndarray, "voxel peak"],
    true_directions: Float[np.ndarray, "voxel fibre 3"],
    true_fractions: Float[np.ndarray, "voxel fibre"],
    *,
    minimum_fraction: float = 0.1,
    thresholds: tuple[float, ...] = THRESHOLDS,
) -> ThresholdSweep:
    """Return the scores at each relative threshold; the other arguments are those of `score_peaks`.

    The peaks given should hold every one down to the lowest threshold.
    """
    scores = tuple(
        score_peaks(
            found_directions,
            found_amplitudes,
            true_directions,
            true_fractions,
            relative_threshold=threshold,
            minimum_fraction=minimum_fraction,
        )
        for threshold in thresholds
    )
    return ThresholdSweep(tuple(thresholds), scores)
