"""Largest and second peak of fODFs, quickly: enough to choose voxels, not to report peaks."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

from shd.sphere.directions import half_sphere, normalised
from shd.sphere.harmonics import degree_of_count, even_harmonics

__all__ = ["largest_axis", "refined_largest_peak", "two_largest_peaks"]

_DIRECTIONS = 1000  # 4.5° apart
_NEIGHBOURS = 8
_CHUNK = 256


@lru_cache(maxsize=1)
def _grid() -> tuple[Float[np.ndarray, "direction 3"], Int[np.ndarray, "direction neighbour"]]:
    """Return directions of the half sphere, and the nearest axes of each."""
    directions = half_sphere(_DIRECTIONS)
    closeness = np.abs(directions @ directions.T)
    return directions, np.argsort(-closeness, axis=1)[:, 1 : _NEIGHBOURS + 1]


def two_largest_peaks(
    coefficients: Float[np.ndarray, "voxel coeff"],
) -> tuple[Float[np.ndarray, "voxel 2"], Float[np.ndarray, "voxel 3"]]:
    """Return the amplitudes of the two largest positive local maxima (zero where absent) and the largest one's axis.

    Maxima are taken among 1000 directions 4.5° apart, unrefined.
    """
    directions, neighbours = _grid()
    basis = even_harmonics(directions, degree_of_count(coefficients.shape[1]))
    amplitudes = np.empty((len(coefficients), 2))
    axes = np.empty((len(coefficients), 3))
    for start in range(0, len(coefficients), _CHUNK):
        part = slice(start, start + _CHUNK)
        values = coefficients[part] @ basis.T
        is_peak = (values > 0) & np.all(values[:, :, None] >= values[:, neighbours], axis=2)
        peaks = np.where(is_peak, values, 0.0)
        amplitudes[part] = np.sort(peaks, axis=1)[:, :-3:-1]
        axes[part] = directions[np.argmax(values, axis=1)]
    return amplitudes, axes


def largest_axis(coefficients: Float[np.ndarray, "voxel coeff"]) -> Float[np.ndarray, "voxel 3"]:
    """Return the axis among 1000 directions 4.5° apart along which each fODF is largest."""
    directions, _ = _grid()
    basis = even_harmonics(directions, degree_of_count(coefficients.shape[1]))
    parts = (coefficients[start : start + _CHUNK] for start in range(0, len(coefficients), _CHUNK))
    return np.concatenate([directions[np.argmax(part @ basis.T, axis=1)] for part in parts] or [np.empty((0, 3))])


def refined_largest_peak(
    coefficients: Float[np.ndarray, "voxel coeff"], near: Float[np.ndarray, "voxel 3"]
) -> tuple[Float[np.ndarray, " voxel"], Float[np.ndarray, "voxel 3"]]:
    """Return amplitude and axis of the maximum within 4° of the axis `near`, to a degree.

    Brute force over a cap of 61 directions turned to each axis: dearer than a Newton step, but it cannot run away.
    """
    degree = degree_of_count(coefficients.shape[1])
    rings = [np.array([[0.0, 0.0]])]
    rings += [np.stack([np.full(6 * i, i), np.arange(6 * i) * np.pi / (3 * i)], axis=-1) for i in range(1, 5)]
    tilt, turn = np.concatenate(rings).T
    tilt = np.radians(tilt)
    cap = np.stack([np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), np.cos(tilt)], axis=-1)
    amplitudes, axes = np.empty(len(near)), np.empty((len(near), 3))
    for start in range(0, len(near), _CHUNK):
        part = slice(start, start + _CHUNK)
        pole = near[part]
        first = normalised(np.cross(pole, np.eye(3)[np.argmin(np.abs(pole), axis=1)]))
        candidates = cap @ np.stack([first, np.cross(pole, first), pole], axis=1)
        basis = even_harmonics(candidates.reshape(-1, 3), degree).reshape(len(pole), len(cap), -1)
        values = np.einsum("vdc,vc->vd", basis, coefficients[part])
        best = np.argmax(values, axis=1)
        every = np.arange(len(pole))
        amplitudes[part], axes[part] = values[every, best], candidates[every, best]
    return amplitudes, axes
