"""Scores of the peaks found against the true fibres, in all voxels and in groups of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import SupportsFloat

import numpy as np
from jaxtyping import Float

from shd.evaluation.peak_matching import PeakMatches, match_peaks

__all__ = ["PeakScores", "score_matches", "score_peaks", "scores_by_crossing_angle", "scores_by_fibre_count"]


@dataclass(frozen=True)
class PeakScores:
    """How well peaks recover fibres over some voxels; NaN where a score has nothing to count.

    voxels: scored. angular_error: degrees, mean over true fibres of the distance to the nearest peak. success_rate:
    share of voxels where every fibre is matched and the counts are equal. over_estimated, under_estimated: mean number
    of peaks too many and fibres too many a voxel. precision: matched share of the peaks; recall: matched share of the
    fibres; f1: their harmonic mean. both_fibres_found: share of the voxels with two fibres where both are matched.
    """

    voxels: int
    angular_error: float
    success_rate: float
    over_estimated: float
    under_estimated: float
    precision: float
    recall: float
    f1: float
    both_fibres_found: float

    def as_dict(self) -> dict[str, int | float]:
        """Return the scores by name, ready for a table or a JSON file."""
        return asdict(self)


def score_peaks(
    found_directions: Float[np.ndarray, "voxel peak 3"],
    found_amplitudes: Float[np.ndarray, "voxel peak"],
    true_directions: Float[np.ndarray, "voxel fibre 3"],
    true_fractions: Float[np.ndarray, "voxel fibre"],
    *,
    relative_threshold: float = 0.1,
    minimum_fraction: float = 0.1,
) -> PeakScores:
    """Return the scores over all voxels given; the arguments are those of `match_peaks`."""
    matches = match_peaks(
        found_directions,
        found_amplitudes,
        true_directions,
        true_fractions,
        relative_threshold=relative_threshold,
        minimum_fraction=minimum_fraction,
    )
    return score_matches(matches)


def score_matches(matches: PeakMatches) -> PeakScores:
    """Return the scores of an outcome."""
    true, found, matched = matches.true_count, matches.found_count, matches.matched
    two = true == 2
    return PeakScores(
        voxels=len(true),
        angular_error=_ratio(np.nansum(matches.errors), true.sum()),
        success_rate=_ratio(np.sum((matched == true) & (found == true)), len(true)),
        over_estimated=_ratio(np.maximum(found - true, 0).sum(), len(true)),
        under_estimated=_ratio(np.maximum(true - found, 0).sum(), len(true)),
        precision=_ratio(matched.sum(), found.sum()),
        recall=_ratio(matched.sum(), true.sum()),
        # 2PR / (P + R), in counts: defined also where no peak was found.
        f1=_ratio(2 * matched.sum(), found.sum() + true.sum()),
        both_fibres_found=_ratio(np.sum(matched[two] == 2), two.sum()),
    )


def scores_by_fibre_count(matches: PeakMatches) -> dict[int, PeakScores]:
    """Return the scores of the voxels with each number of true fibres that occurs."""
    counts = np.unique(matches.true_count)
    return {int(count): score_matches(matches.select(matches.true_count == count)) for count in counts}


def scores_by_crossing_angle(matches: PeakMatches, edges: Sequence[float]) -> dict[tuple[float, float], PeakScores]:
    """Return the scores of two-fibre voxels by their crossing angle.

    edges: ascending, degrees; each group runs from one edge up to, not including, the next (the last includes it).
    """
    scores = {}
    for low, high in pairwise(edges):
        inside = (matches.crossing_angle >= low) & (matches.crossing_angle < high)
        if high == edges[-1]:
            inside |= matches.crossing_angle == high
        scores[low, high] = score_matches(matches.select(inside))
    return scores


def _ratio(part: SupportsFloat, whole: SupportsFloat) -> float:
    return float(part) / float(whole) if float(whole) > 0 else float("nan")
