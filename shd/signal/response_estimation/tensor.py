"""Anisotropy and principal direction of each voxel, by the diffusion tensor."""

import numpy as np
from jaxtyping import Float, Int

from shd.signal.gradients import Gradients

__all__ = ["anisotropy_and_direction"]

_BLOCK = 4096  # voxels at a time
_LEAST_DIFFUSIVITY = 1e-6  # of the inverse of the highest b-value, as in DIPY
_DAMPING = 1e-12  # of the normal matrix's trace, where directions do not determine a tensor


def anisotropy_and_direction(
    signal: Float[np.ndarray, "voxel volume"],
    gradients: Gradients,
    rows: Int[np.ndarray, " chosen"] | None = None,
    volumes: Int[np.ndarray, " used"] | None = None,
) -> tuple[Float[np.ndarray, " chosen"], Float[np.ndarray, "chosen 3"]]:
    """Return the fractional anisotropy and the principal direction (unit vector, scanner axes) of each voxel.

    Weighted linear least squares of the logarithms over all shells, the weights being the squares of the signal that a
    fit without weights predicts: DIPY's, by normal equations instead of a pseudo-inverse a voxel, in a sixth of the
    time. Source: Basser et al., Biophys. J. 66 (1994); Chung et al., NeuroImage 33 (2006) for the weights. Signals at
    or below zero count as the smallest positive one of the voxels. rows, volumes: those to use, by default all; few
    voxels are copied at a time.
    """
    design = _design(gradients if volumes is None else gradients.select(volumes))
    rows = np.arange(len(signal)) if rows is None else rows
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(rows), _BLOCK)]

    def read(block: slice) -> Float[np.ndarray, "some used"]:
        return signal[rows[block]] if volumes is None else signal[rows[block]][:, volumes]

    floor = min((float(found[found > 0].min(initial=np.inf)) for found in map(read, blocks)), default=np.inf)
    floor = floor if np.isfinite(floor) else 1.0
    anisotropy, axes = np.empty(len(rows)), np.empty((len(rows), 3))
    for block in blocks:
        values, vectors = _tensors(np.log(np.maximum(read(block).astype(np.float64), floor)), design)
        anisotropy[block], axes[block] = _fractional_anisotropy(values.clip(_LEAST_DIFFUSIVITY)), vectors[..., -1]
    return anisotropy, axes


def _tensors(
    logarithms: Float[np.ndarray, "voxel volume"], design: Float[np.ndarray, "volume unknown"]
) -> tuple[Float[np.ndarray, "voxel 3"], Float[np.ndarray, "voxel 3 3"]]:
    """Return each tensor's eigenvalues, ascending, and eigenvectors, in columns."""
    fitted = logarithms @ (design @ np.linalg.pinv(design)).T
    weights = np.exp(2 * (fitted - fitted.max(axis=1, keepdims=True)))
    unknowns = design.shape[1]
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    normal = (weights @ products).reshape(-1, unknowns, unknowns)
    normal += _DAMPING * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(unknowns)
    found = np.linalg.solve(normal, ((weights * logarithms) @ design)[..., None])[..., 0]
    return np.linalg.eigh(found[:, [[0, 1, 2], [1, 3, 4], [2, 4, 5]]])


def _design(gradients: Gradients) -> Float[np.ndarray, "volume unknown"]:
    """Return what gives ln S of the tensor's xx, xy, xz, yy, yz, zz times the highest b-value, and of ln S₀."""
    bvalues = gradients.bvalues.astype(np.float64)
    bvalues[gradients.shells[0].volumes] = 0.0
    x, y, z = gradients.directions.T.astype(np.float64)
    squares = np.stack([x * x, 2 * x * y, 2 * x * z, y * y, 2 * y * z, z * z], axis=1)
    return np.column_stack([-(bvalues / bvalues.max())[:, None] * squares, np.ones(len(bvalues))])


def _fractional_anisotropy(values: Float[np.ndarray, "voxel 3"]) -> Float[np.ndarray, " voxel"]:
    apart = ((values - np.roll(values, 1, axis=1)) ** 2).sum(axis=1)
    return np.sqrt(0.5 * apart / (values**2).sum(axis=1))
