"""How far whole fODFs lie from the truth, not only their peaks."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.special import entr

from shd.sphere.directions import half_sphere
from shd.sphere.harmonics import degree_of_count, even_harmonics

__all__ = ["angular_correlation", "jensen_shannon"]

# Directions of the half-sphere that carry the densities: a voxel is right to 0.01, a mean over voxels to 1e-4.
_DIRECTIONS = 1000
_BLOCK = 2048  # voxels a block: two densities of it are 30 MB


def angular_correlation(
    first: Float[np.ndarray, "voxel coeff"], second: Float[np.ndarray, "voxel coeff2"]
) -> Float[np.ndarray, " voxel"]:
    """Return the angular correlation coefficient of two fODFs in each voxel, −1 to 1.

    Σ u_lm v_lm / √(Σ u_lm² · Σ v_lm²) over l ≥ 2 (Anderson, Magn. Reson. Med. 54 (2005)): 1 for equal shapes
    whatever their size, 0 for unrelated ones. Coefficients that one of the two lacks count as zero, so that missing
    sharpness costs. NaN where one of them has no direction at all.

    first, second: even harmonics in one basis and frame, of any two degrees.
    """
    u, v = first[:, 1:].astype(np.float64), second[:, 1:].astype(np.float64)
    shared = min(u.shape[1], v.shape[1])
    product = np.sum(u[:, :shared] * v[:, :shared], axis=1)
    norms = np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)
    return np.divide(product, norms, out=np.full(len(u), np.nan), where=norms > 0)


def jensen_shannon(
    first: Float[np.ndarray, "voxel coeff"], second: Float[np.ndarray, "voxel coeff2"]
) -> Float[np.ndarray, " voxel"]:
    """Return the Jensen-Shannon divergence of two fODFs as densities on the sphere, in bits: 0 equal, 1 disjoint.

    H((p + q)/2) − (H(p) + H(q))/2 (Lin, IEEE Trans. Inf. Theory 37 (1991); on orientation densities Cohen-Adad,
    Descoteaux and Wald, J. Magn. Reson. Imaging 33 (2011)), p and q the positive parts at 1000 near-uniform directions,
    sum one. An fODF that is positive nowhere has no density: NaN.

    first, second: even harmonics in one basis and frame, of any two degrees.
    """
    divergence = np.empty(len(first))
    for start in range(0, len(first), _BLOCK):
        block = slice(start, start + _BLOCK)
        p, q = _density(first[block]), _density(second[block])
        mean = _entropy((p + q) / 2)
        divergence[block] = np.maximum(mean - (_entropy(p) + _entropy(q)) / 2, 0.0)
    return divergence


def _density(coefficients: Float[np.ndarray, "voxel coeff"]) -> Float[np.ndarray, "voxel direction"]:
    amplitudes = coefficients.astype(np.float64) @ _samples(degree_of_count(coefficients.shape[1]))
    positive = np.maximum(amplitudes, 0.0)
    total = positive.sum(axis=1, keepdims=True)
    return np.divide(positive, total, out=np.full_like(positive, np.nan), where=total > 0)


def _entropy(density: Float[np.ndarray, "voxel direction"]) -> Float[np.ndarray, " voxel"]:
    return entr(density).sum(axis=1) / np.log(2)


@lru_cache(maxsize=4)
def _samples(degree: int) -> Float[np.ndarray, "coeff direction"]:
    return np.ascontiguousarray(even_harmonics(half_sphere(_DIRECTIONS), degree).T)
