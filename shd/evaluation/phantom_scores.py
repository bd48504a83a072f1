"""Scores of fODFs on a phantom, from coefficients to numbers in one call."""

import numpy as np
from jaxtyping import Bool, Float

from shd.errors import EvaluationError
from shd.evaluation.peak_matching import PeakMatches, PeakPairs, pair_peaks
from shd.evaluation.threshold_sweep import THRESHOLDS, ThresholdSweep, check_threshold, sweep_matches
from shd.evaluation.truth import Truth
from shd.fodf.peaks import Peaks, find_peaks
from shd.simulation.phantoms import Phantom

__all__ = ["PEAKS", "match_phantom", "pair_with_truth", "scored_peaks", "scored_voxels", "sweep_phantom"]

PEAKS = 10
"""Peaks that are looked at in a voxel, as in the published protocol (`sh2peaks -num 10`)."""

_MINIMUM_FRACTION = 0.1  # of its voxel: thinner fibres do not count


def scored_voxels(phantom: Phantom | Truth) -> Bool[np.ndarray, "x y z"]:
    """Return the voxels more than half white matter: those that count."""
    return _truth(phantom).scored


def scored_peaks(fods: Float[np.ndarray, "x y z coeff"], truth: Truth, relative_threshold: float) -> Peaks:
    """Return the peaks of the scored voxels from `relative_threshold` of each voxel's highest.

    fods: MRtrix3 basis, scanner axes, on the truth's grid. Raises EvaluationError where they are on another.
    """
    if fods.shape[:3] != truth.fractions.shape[:3]:
        raise EvaluationError(
            f"fODFs on a grid of {fods.shape[:3]} but truth on {truth.fractions.shape[:3]}; compare images of one grid"
        )
    check_threshold(relative_threshold)
    return find_peaks(fods[truth.scored].astype(np.float32), count=PEAKS, relative_threshold=relative_threshold)


def pair_with_truth(peaks: Peaks, truth: Truth) -> PeakPairs:
    """Return the peaks of the scored voxels (in C order) beside the true fibres there."""
    scored = truth.scored
    return pair_peaks(
        peaks.directions,
        peaks.amplitudes,
        truth.directions[scored],
        truth.fractions[scored],
        minimum_fraction=_MINIMUM_FRACTION,
    )


def match_phantom(
    fods: Float[np.ndarray, "x y z coeff"], phantom: Phantom | Truth, *, relative_threshold: float = 0.1
) -> PeakMatches:
    """Return the matches between the peaks of fODFs and a phantom's fibres, in voxels more than half white matter.

    fods: MRtrix3 basis, scanner axes, on the phantom's grid. relative_threshold: share of the voxel's highest peak.
    """
    truth = _truth(phantom)
    return pair_with_truth(scored_peaks(fods, truth, relative_threshold), truth).at(relative_threshold)


def sweep_phantom(fods: Float[np.ndarray, "x y z coeff"], phantom: Phantom | Truth) -> ThresholdSweep:
    """Return the scores at the thresholds 0.05, 0.10, …, 0.95; fODFs and voxels as for `match_phantom`."""
    truth = _truth(phantom)
    pairs = pair_with_truth(scored_peaks(fods, truth, min(THRESHOLDS)), truth)
    return sweep_matches({threshold: pairs.at(threshold) for threshold in THRESHOLDS})


def _truth(phantom: Phantom | Truth) -> Truth:
    return phantom if isinstance(phantom, Truth) else Truth.of(phantom)
