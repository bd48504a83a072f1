"""How noisy a scan is: from what smooth harmonics leave of a shell, from repeated b=0 volumes, or from neighbours."""

import numpy as np
import torch
from jaxtyping import Float, Int

from shd.scans.normalisation import NormalisedScan
from shd.signal.noise import rician_bias
from shd.sphere.harmonics import coefficient_count, even_harmonics, harmonic_fit_matrix, highest_degree_for

__all__ = ["noise_level"]

_HIGHEST_DEGREE = 8  # of the fit whose residual is noise
_LEAST_DEGREE = 4  # below, fibres pass for noise: at b = 3000 they leave three times as much as SNR 20 does
_ROUGH_DEGREE = 2  # where nothing better is there: at b = 1000 fibres leave little of themselves
_LEAST_FREEDOM = 2  # directions more than coefficients: little in one voxel, enough over hundreds
_LEAST_REPEATS = 3  # b=0 volumes whose spread is taken for noise: two may differ by what lies between them
_VOXELS = 20_000  # that are looked at, evenly over the mask
_ROUNDS = 10  # of the correction; each leaves a third of what is missing
_DEVIATION_OF_MEDIAN = 0.6745  # median of |n| for n ~ N(0, 1)


def noise_level(scan: NormalisedScan) -> float:
    """Return the standard deviation σ of the noise, in scan intensity: of each channel, not of the magnitude.

    The lowest shell of 17 directions or more is fitted by even harmonics of degree 8, or what they allow. The
    residuals' variance, divided by that of a Rician magnitude for σ = 1 (`_variance`), is σ² in every voxel, and the
    median over voxels stands for all: the few that move or pulse do not count. Where no shell has so many directions,
    the spread of three or more b=0 volumes is taken. Else the lower of two estimates that are both too high: the median
    of second differences between neighbouring voxels, to which anatomy adds, and what degree 2 leaves of the lowest
    shell of 8 directions or more, to which fibres add. 0 where the mask is empty, or where there is no such shell and
    no voxel has two neighbours in a line.
    """
    rows = np.flatnonzero(scan.b0 > 0)
    if not len(rows):
        return 0.0
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), _VOXELS)).astype(int)]
    fine = _lowest_shell(scan, _LEAST_DEGREE)
    if fine is not None:
        return _from_shell(scan, rows, fine)
    b0 = scan.gradients.b0_volumes
    if len(b0) >= _LEAST_REPEATS:
        repeats = _intensities(scan, rows, b0)
        variance = repeats.var(axis=1, ddof=1)
        if np.median(variance) > 0:  # volumes that were copied are no repeats
            return float(np.sqrt(np.median(variance) / _median_share(float(len(b0) - 1))))
    rough = _lowest_shell(scan, _ROUGH_DEGREE)
    found = [_from_neighbours(scan), 0.0 if rough is None else _from_shell(scan, rows, rough)]
    return min((level for level in found if level > 0), default=0.0)


def _lowest_shell(scan: NormalisedScan, degree: int) -> Int[np.ndarray, " volume"] | None:
    """Return the volumes of the lowest shell that a fit of this degree leaves something of, if there is one."""
    least = coefficient_count(degree) + _LEAST_FREEDOM
    shells = scan.gradients.weighted_shells
    return next((shell.volumes for shell in shells if len(shell.volumes) >= least), None)


def _intensities(
    scan: NormalisedScan, rows: Int[np.ndarray, " voxel"], volumes: Int[np.ndarray, " volume"]
) -> Float[np.ndarray, "voxel volume"]:
    return np.asarray(scan.signal)[rows][:, volumes].astype(np.float64) * scan.b0[rows, None]


def _median_share(freedom: float) -> float:
    """Return the median of χ² over its mean, by Wilson and Hilferty (1931)."""
    return (1 - 2 / (9 * freedom)) ** 3


def _from_shell(
    scan: NormalisedScan, rows: Int[np.ndarray, " voxel"], volumes: Int[np.ndarray, " volume"]
) -> float:
    """Return σ from what harmonics leave of a shell."""
    directions = scan.gradients.directions[volumes]
    degree = highest_degree_for(len(directions) - _LEAST_FREEDOM, _HIGHEST_DEGREE)
    signal = _intensities(scan, rows, volumes)
    smooth = even_harmonics(directions, degree) @ harmonic_fit_matrix(directions, degree)
    freedom = len(directions) - np.trace(smooth)  # fewer than the coefficients are fitted where axes repeat
    fitted = signal @ smooth.T
    variance = ((signal - fitted) ** 2).sum(axis=1) / freedom
    share = _median_share(freedom)
    noise = np.sqrt(np.median(variance) / share)
    for _ in range(_ROUNDS if noise > 0 else 0):
        noise = np.sqrt(np.median(variance / _variance(fitted / noise).mean(axis=1)) / share)
    return float(noise)


def _from_neighbours(scan: NormalisedScan) -> float:
    """Return σ from second differences S(x−1) − 2S(x) + S(x+1), whose deviation is √6 σ, over all volumes."""
    volumes = np.arange(scan.signal.shape[1])
    sizes = []
    for axis in range(3):
        lines = np.moveaxis(scan.rows, axis, 0)
        triples = np.stack([lines[:-2], lines[1:-1], lines[2:]], axis=-1).reshape(-1, 3)
        triples = triples[(triples >= 0).all(axis=1)]
        triples = triples[np.linspace(0, len(triples) - 1, min(len(triples), _VOXELS)).astype(int)]
        before, here, after = (_intensities(scan, rows, volumes) for rows in triples.T)
        sizes.append(np.abs(before - 2 * here + after).ravel())
    differences = np.concatenate(sizes)
    return float(np.median(differences) / (_DEVIATION_OF_MEDIAN * np.sqrt(6))) if len(differences) else 0.0


def _variance(mean: Float[np.ndarray, "*grid"]) -> Float[np.ndarray, "*grid"]:
    """Return the variance of a Rician magnitude of this mean, both for σ = 1: 1 far above the noise, 0.43 within it.

    The fixed point of Koay and Basser, J. Magn. Reson. 179 (2006), over S: the second moment is 2 + S².
    """
    signal = np.linspace(0, 20, 2001)
    means = signal + rician_bias(torch.from_numpy(signal), torch.ones(1, dtype=torch.float64)).numpy()
    return np.interp(mean, means, 2 + signal**2 - means**2)
