"""The oracles: torch's own dense conv3d with the kernel written out, and sums over neighbours by loops."""

import itertools

import numpy as np
import torch
from torch import Tensor

from shd.graphs.spatial import expanded_class_map


def expanded_kernel(weight: Tensor, size: int) -> Tensor:
    """Return (order, channel_out, channel_in, size, size, size) of (order, radius, channel_in, channel_out)."""
    return weight[:, torch.from_numpy(expanded_class_map(size))].movedim((-1, -2), (1, 2))


def spectral_operator(laplacian: np.ndarray, k: int) -> np.ndarray:
    """Return T_k(L) through numpy's own Chebyshev series on the eigenvalues."""
    values, vectors = np.linalg.eigh(laplacian)
    return (vectors * np.polynomial.chebyshev.chebval(values, np.eye(k + 1)[k])) @ vectors.T


def dense_spatio_spherical(x: Tensor, laplacian: np.ndarray, weight: Tensor, size: int) -> Tensor:
    """Return Σ_k conv3d(T_k(L) x, W_k) for x (vertex, batch, x, y, z, channel), vertices as conv3d's batch."""
    total = None
    for k, kernel in enumerate(expanded_kernel(weight, size)):
        term = torch.einsum("vw,w...->v...", torch.from_numpy(spectral_operator(laplacian, k)).to(x), x)
        volumes = term.flatten(0, 1).movedim(-1, 1)
        part = torch.nn.functional.conv3d(volumes, kernel, padding=size // 2)
        total = part if total is None else total + part
    return total.movedim(1, -1).unflatten(0, x.shape[:2])


def looped_neighbour_sums(x: np.ndarray, size: int) -> list[np.ndarray]:
    """Return one array a distance, each value the sum of the voxels there, for x (vertex, batch, x, y, z, channel)."""
    reach, grid = size // 2, x.shape[2:5]
    classes = expanded_class_map(size)
    sums = [np.zeros_like(x) for _ in range(classes.max() + 1)]
    for voxel in np.ndindex(*grid):
        for offset in itertools.product(range(-reach, reach + 1), repeat=3):
            other = tuple(a + b for a, b in zip(voxel, offset, strict=True))
            if all(0 <= a < n for a, n in zip(other, grid, strict=True)):
                radius = classes[tuple(o + reach for o in offset)]
                sums[radius][(slice(None), slice(None), *voxel)] += x[(slice(None), slice(None), *other)]
    return sums
