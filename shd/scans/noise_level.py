"""How noisy a scan is, from what smooth harmonics leave of a shell."""

import numpy as np
import torch
from jaxtyping import Float

from shd.scans.normalisation import NormalisedScan
from shd.signal.noise import rician_bias
from shd.sphere.harmonics import coefficient_count, even_harmonics, harmonic_fit_matrix, highest_degree_for

__all__ = ["noise_level"]

_HIGHEST_DEGREE = 8  # of the fit whose residual is noise
_LEAST_DEGREE = 2  # below, fibres would pass for noise
_LEAST_FREEDOM = 2  # directions more than coefficients: little in one voxel, enough over hundreds
_VOXELS = 20_000  # that are looked at, evenly over the mask
_ROUNDS = 10  # of the correction; each leaves a third of what is missing


def noise_level(scan: NormalisedScan) -> float:
    """Return the standard deviation σ of the noise, in scan intensity: of each channel, not of the magnitude.

    The lowest shell of 8 directions or more is fitted by even harmonics of degree 8, or what they allow. The residuals'
    variance, divided by that of a Rician magnitude for σ = 1 (`_variance`), is σ² in every voxel, and the median over
    voxels stands for all: the few that move or pulse do not count. 0 where no shell has so many directions or the mask
    is empty.
    """
    shells = scan.gradients.weighted_shells
    least = coefficient_count(_LEAST_DEGREE) + _LEAST_FREEDOM
    spare = [shell for shell in shells if len(shell.volumes) >= least]
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
    fitted = signal @ smooth.T
    variance = ((signal - fitted) ** 2).sum(axis=1) / freedom
    # the median of χ² over its mean, by Wilson and Hilferty (1931)
    share = (1 - 2 / (9 * freedom)) ** 3
    noise = np.sqrt(np.median(variance) / share)
    for _ in range(_ROUNDS if noise > 0 else 0):
        noise = np.sqrt(np.median(variance / _variance(fitted / noise).mean(axis=1)) / share)
    return float(noise)


def _variance(mean: Float[np.ndarray, "*grid"]) -> Float[np.ndarray, "*grid"]:
    """Return the variance of a Rician magnitude of this mean, both for σ = 1: 1 far above the noise, 0.43 within it.

    The fixed point of Koay and Basser, J. Magn. Reson. 179 (2006), over S: the second moment is 2 + S².
    """
    signal = np.linspace(0, 20, 2001)
    means = signal + rician_bias(torch.from_numpy(signal), torch.ones(1, dtype=torch.float64)).numpy()
    return np.interp(mean, means, 2 + signal**2 - means**2)
