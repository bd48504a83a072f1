"""How noisy a scan is, from what smooth harmonics leave of a shell."""

import numpy as np

from shd.scans.normalisation import NormalisedScan
from shd.sphere.harmonics import even_harmonics, harmonic_fit_matrix, highest_degree_for

__all__ = ["noise_level"]

_HIGHEST_DEGREE = 6  # of the fit whose residual is noise
_LEAST_FREEDOM = 2  # directions more than coefficients: little in one voxel, enough over hundreds
_VOXELS = 20_000  # that are looked at, evenly over the mask


def noise_level(scan: NormalisedScan) -> float:
    """Return the standard deviation σ of the noise, in scan intensity.

    The lowest weighted shell is fitted by even harmonics of degree 6, or what its directions allow: there the signal is
    far above the noise, which is then as good as Gaussian. The median over voxels of the residuals' variance stands for
    all: the few that move or pulse do not count. 0 where no shell has directions to spare or the mask is empty.
    """
    shells = scan.gradients.weighted_shells
    spare = [shell for shell in shells if len(shell.volumes) > _LEAST_FREEDOM]
    rows = np.flatnonzero(scan.b0 > 0)
    if not spare or not len(rows):
        return 0.0
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), _VOXELS)).astype(int)]
    volumes = spare[0].volumes
    directions = scan.gradients.directions[volumes]
    degree = highest_degree_for(len(directions) - _LEAST_FREEDOM, _HIGHEST_DEGREE)
    signal = np.asarray(scan.signal)[rows][:, volumes].astype(np.float64) * scan.b0[rows, None]
    smooth = even_harmonics(directions, degree) @ harmonic_fit_matrix(directions, degree)
    freedom = len(directions) - np.trace(smooth)  # fewer than the coefficients are fitted where axes repeat
    variance = ((signal - signal @ smooth.T) ** 2).sum(axis=1) / freedom
    # the median of χ² over its mean, by Wilson and Hilferty (1931)
    return float(np.sqrt(np.median(variance) / (1 - 2 / (9 * freedom)) ** 3))
