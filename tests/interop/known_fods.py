"""fODFs with known directions on grids of every orientation, for the programs that read our files."""

import numpy as np

from shd.sphere.directions import normalised
from shd.sphere.harmonics import even_harmonics
from shd.sphere.rotations import rotate_harmonics
from tests.support.affines import AFFINES

SHAPE = (9, 8, 7)
TRUTH = normalised(np.array([[0.80, -0.36, 0.48]]))[0]  # scanner axes; no symmetry with any axis or diagonal

# Besides the five: reflected and oblique at once, with unequal edges.
_LEFT_HANDED = AFFINES["oblique"] @ np.diag([-1.0, 0.7, 1.3, 1.0])
GRIDS = {**AFFINES, "oblique LAS": _LEFT_HANDED}


def single_fibre(axis, degree=8):
    """A band-limited fibre of amplitude 1 along `axis`."""
    coefficients = even_harmonics(np.asarray(axis, dtype=float)[None], degree)[0]
    return coefficients / (len(coefficients) / (4 * np.pi))


def straight_bundle(degree=8):
    """The same fibre along TRUTH in every voxel: coefficients (x, y, z, coeff), float32."""
    return np.broadcast_to(single_fibre(TRUTH, degree), (*SHAPE, (degree + 1) * (degree + 2) // 2)).astype(np.float32)


def scattered_fibres(degree=8, seed=0):
    """A different fibre in every voxel: coefficients (x, y, z, coeff) and axes (x, y, z, 3)."""
    axes = normalised(np.random.default_rng(seed).standard_normal((*SHAPE, 3)))
    coefficients = even_harmonics(axes.reshape(-1, 3), degree).reshape(*SHAPE, -1)
    return (coefficients * 4 * np.pi / coefficients.shape[-1]).astype(np.float32), axes


def inside(points, affine):
    """Whether scanner points (mm) lie in the grid or its rim; the last step of a streamline may end outside."""
    index = (points - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    return ((index > -1.2) & (index < np.array(SHAPE) + 0.2)).all()


def wrong_by_reflection(coefficients):
    """The same functions mirrored in x: what forgetting the scanner frame on a LAS grid would give."""
    return rotate_harmonics(coefficients, np.diag([-1.0, 1.0, 1.0]), 8)
