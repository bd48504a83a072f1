"""Where in the volume a method errs."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from shd.evaluation.peak_matching import PeakMatches

__all__ = ["ErrorMap", "error_map"]


@dataclass(frozen=True, eq=False)
class ErrorMap:
    """Where a method errs, on the grid of the truth.

    degrees: mean over the voxel's fibres of the angle to the nearest peak, NaN where no fibre is scored. miscounted:
    more or fewer peaks than fibres.
    """

    degrees: Float[np.ndarray, "x y z"]
    miscounted: Bool[np.ndarray, "x y z"]


def error_map(matches: PeakMatches, scored: Bool[np.ndarray, "x y z"]) -> ErrorMap:
    """Return the map of matches in the scored voxels (in C order)."""
    degrees = np.full(scored.shape, np.nan)
    miscounted = np.zeros(scored.shape, dtype=bool)
    total = np.where(matches.true_count > 0, np.nansum(matches.errors, axis=1), np.nan)
    degrees[scored] = total / np.maximum(matches.true_count, 1)
    miscounted[scored] = matches.found_count != matches.true_count
    return ErrorMap(degrees, miscounted)
