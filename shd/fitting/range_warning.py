"""A word where a scan is not such as a network was trained on."""

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Float

from shd.errors import ShdWarning
from shd.io.checkpoints import StoredModel
from shd.scans.normalisation import NormalisedScan
from shd.scans.trained_range import range_of
from shd.signal.response import Response

__all__ = ["warn_outside"]


def warn_outside(
    stored: StoredModel,
    scan: NormalisedScan,
    responses: tuple[Response, ...],
    noise: Float[np.ndarray, " voxel"],
    model: Path | str,
) -> None:
    """Warn (ShdWarning) with the numbers where the scan is outside of what the network was trained on.

    noise: deviation of S/S₀ in the scan's voxels. model: what the network is called.
    """
    outside = stored.trained.outside(range_of(scan, responses, noise)) if stored.trained else []
    if outside:
        warnings.warn(
            f"the scan is outside of what {model} was trained on: {'; '.join(outside)}. Compare with "
            "shd fit --start none, which learns from the scan alone",
            ShdWarning,
            stacklevel=3,
        )
