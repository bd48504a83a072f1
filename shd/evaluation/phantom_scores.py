"""Scores of fODFs on a phantom, from coefficients to numbers in one call."""

import numpy as np
from jaxtyping import Bool, Float

from shd.evaluation.peak_matching import PeakMatches, match_peaks
from shd.evaluation.threshold_sweep import ThresholdSweep, sweep_thresholds
from shd.fodf.peaks import find_peaks
from shd.simulation.phantoms import Phantom

__all__ = ["match_phantom", "scored_voxels", "sweep_phantom"]

# The published protocol looks at ten peaks (`sh2peaks -num 10`).
_PEAKS = 10
# Voxels of which at least this share is white matter are scored, and fibres that fill a tenth of their voxel.
_WHITE_MATTER = 0.5
_MINIMUM_FRACTION = 0.1


def scored_voxels(phantom: Phantom) -> Bool[np.ndarray, "x y z"]:
    """Return the voxels more than half white matter: those that count."""
    return phantom.tissue_fractions[..., 0] > _WHITE_MATTER


def match_phantom(
    fods: Float[np.ndarray, "x y z coeff"], phantom: Phantom, *, relative_threshold: float = 0.1
) -> PeakMatches:
    """Return the matches between the peaks of fODFs and a phantom's fibres, in voxels more than half white matter.

    fods: MRtrix3 basis, scanner axes, on the phantom's grid. relative_threshold: share of the voxel's highest peak.
    """
    return match_peaks(
        *_found_and_true(fods, phantom, relative_threshold),
        relative_threshold=relative_threshold,
        minimum_fraction=_MINIMUM_FRACTION,
    )


def sweep_phantom(fods: Float[np.ndarray, "x y z coeff"], phantom: Phantom) -> ThresholdSweep:
    """Return the scores at the thresholds 0.05, 0.10, …, 0.95; fODFs and voxels as for `match_phantom`."""
    return sweep_thresholds(*_found_and_true(fods, phantom, 0.05), minimum_fraction=_MINIMUM_FRACTION)


def _found_and_true(
    fods: Float[np.ndarray, "x y z coeff"], phantom: Phantom, relative_threshold: float
) -> tuple[
    Float[np.ndarray, "voxel peak 3"],
    Float[np.ndarray, "voxel peak"],
    Float[np.ndarray, "voxel fibre 3"],
    Float[np.ndarray, "voxel fibre"],
]:
    """Return peaks and fibres of the scored voxels."""
    if fods.shape[:3] != phantom.fractions.shape[:3]:
        raise ValueError(f"fODFs on a grid of {fods.shape[:3]} but truth on {phantom.fractions.shape[:3]}")
    scored = scored_voxels(phantom)
    peaks = find_peaks(fods[scored].astype(np.float32), count=_PEAKS, relative_threshold=relative_threshold)
    return peaks.directions, peaks.amplitudes, phantom.directions[scored], phantom.fractions[scored]
