"""Scores against the relative peak threshold: a method is judged by its curve, not by one lucky cut."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from shd.errors import EvaluationError
from shd.evaluation.peak_matching import PeakMatches, pair_peaks
from shd.evaluation.peak_scores import PeakScores, score_matches

__all__ = ["THRESHOLDS", "ThresholdSweep", "check_threshold", "sweep_matches", "sweep_thresholds"]

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
        # Where there is no fibre and no peak F1 is not defined.
        index = int(np.argmax(np.nan_to_num([score.f1 for score in self.scores], nan=-1.0)))
        return self.thresholds[index], self.scores[index]

    @property
    def area_under_curve(self) -> float:
        """Area under precision as a function of recall, by trapezoids.

        The curve is carried to recall 0 at the precision of the strictest threshold, and ends at the largest recall
        reached: a fibre that no threshold finds is area lost.
        """
        recall = np.array([score.recall for score in self.scores])[::-1]
        # Where no peak is found nothing is gained; its precision, which is not defined, has no weight.
        precision = np.nan_to_num(np.array([score.precision for score in self.scores]))[::-1]
        # Matching is mutual, so a looser threshold may unmatch a fibre; the best recall so far keeps this a function.
        recall = np.maximum.accumulate(np.concatenate([[0.0], recall]))
        precision = np.concatenate([precision[:1], precision])
        return float(np.sum(np.diff(recall) * (precision[1:] + precision[:-1]) / 2))

    def at(self, threshold: float) -> PeakScores:
        """Return the scores at one of the thresholds. Raises KeyError where it is none of them."""
        return dict(zip(self.thresholds, self.scores, strict=True))[threshold]


def check_threshold(threshold: float) -> None:
    """Raise EvaluationError for a threshold that is no share of the highest peak."""
    if not 0.0 < threshold <= 1.0:
        raise EvaluationError(
            f"threshold {threshold:g}: peaks count from a share of the voxel's highest; give more than 0 and at most 1"
        )


def sweep_matches(
    matches: Mapping[float, PeakMatches], voxels: Bool[np.ndarray, " voxel"] | None = None
) -> ThresholdSweep:
    """Return the scores at each threshold from the matches there, over all voxels or some."""
    chosen = (match if voxels is None else match.select(voxels) for match in matches.values())
    return ThresholdSweep(tuple(matches), tuple(score_matches(match) for match in chosen))


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

    The peaks given should hold every one down to the lowest threshold. Raises EvaluationError for a threshold that is
    not above 0 and at most 1.
    """
    for threshold in thresholds:
        check_threshold(threshold)
    pairs = pair_peaks(
        found_directions, found_amplitudes, true_directions, true_fractions, minimum_fraction=minimum_fraction
    )
    return sweep_matches({threshold: pairs.at(threshold) for threshold in thresholds})
