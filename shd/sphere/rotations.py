"""Rotations and reflections, of directions and of harmonic coefficients."""

import numpy as np
from jaxtyping import Float

from shd.sphere.directions import half_sphere
from shd.sphere.harmonics import coefficient_count, even_harmonics

__all__ = ["grid_rotation", "harmonic_rotation", "random_rotation", "rotate_harmonics"]


def random_rotation(generator: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """Return a rotation matrix drawn uniformly from SO(3) (QR of a Gaussian matrix, signs fixed)."""
    q, r = np.linalg.qr(generator.standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def grid_rotation(affine: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "3 3"]:
    """Return the orthogonal matrix that turns image-axes directions into scanner axes.

    The affine's columns at length one; where those are sheared, the nearest orthogonal matrix (polar decomposition),
    which keeps the sign of the determinant.
    """
    columns = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(columns)
    return left @ right


def harmonic_rotation(rotation: Float[np.ndarray, "3 3"], degree: int) -> Float[np.ndarray, "coeff coeff"]:
    """Return D with (Dc) the coefficients of f(R⁻¹u) where c are those of f(u); R may contain a reflection.

    Built by evaluating the basis at more directions than it has coefficients and solving: exact to rounding for
    band-limited functions, and free of Euler angle conventions.
    """
    rotation = np.asarray(rotation, dtype=np.float64)
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-6):
        raise ValueError("rotation: the matrix is not orthogonal")
    directions = half_sphere(max(60, 3 * coefficient_count(degree)))
    return np.linalg.lstsq(
        even_harmonics(directions, degree), even_harmonics(directions @ rotation, degree), rcond=None
    )[0]


def rotate_harmonics(
    coefficients: Float[np.ndarray, "*grid coeff"], rotation: Float[np.ndarray, "3 3"], degree: int
) -> Float[np.ndarray, "*grid coeff"]:
    """Return the coefficients of the functions turned by `rotation` (u → Ru), in the dtype given."""
    matrix = harmonic_rotation(rotation, degree).astype(coefficients.dtype)
    return coefficients @ matrix.T
