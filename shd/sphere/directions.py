"""Unit vectors on the sphere: sets of them, and the angles between axes."""

import numpy as np
from jaxtyping import Float

__all__ = ["axial_angle", "half_sphere", "normalised"]


def normalised(vectors: Float[np.ndarray, "*grid 3"]) -> Float[np.ndarray, "*grid 3"]:
    """Return the vectors at length one; zero vectors stay zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


def axial_angle(
    first: Float[np.ndarray, "*#grid 3"], second: Float[np.ndarray, "*#grid 3"]
) -> Float[np.ndarray, "*grid"]:
    """Return the angle in degrees, 0 to 90, between axes given as unit vectors of either sign.

    By the arc tangent of cross and dot product, which is exact for small angles where the arc cosine is not.
    """
    sine = np.linalg.norm(np.cross(first, second), axis=-1)
    cosine = np.abs(np.sum(first * second, axis=-1))
    return np.degrees(np.arctan2(sine, cosine))


def half_sphere(count: int) -> Float[np.ndarray, "count 3"]:
    """Return `count` near-uniform unit vectors with z > 0 (a Fibonacci spiral; any basis, no symmetry)."""
    index = np.arange(count) + 0.5
    z = 1.0 - index / count
    azimuth = np.pi * (1.0 + np.sqrt(5.0)) * index
    radius = np.sqrt(1.0 - z**2)
    return np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], axis=-1)
