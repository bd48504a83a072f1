"""HEALPix vertices in nested order, and the half of them that antipodal symmetry leaves.

Of the 12 base pixels, 0-3 (north) and 4-5 (half of the equator) hold exactly one pixel of every antipodal pair, at
every resolution. So the hemisphere at nside n is simply the nested pixels 0 … 6n² − 1, and pooling four children into
their parent stays a reshape.
"""

import healpy
import numpy as np
from jaxtyping import Float, Int

__all__ = ["antipodes", "check_nside", "fold", "symmetry_permutations", "vertex_count", "vertex_directions"]


def check_nside(nside: int) -> None:
    """Raise ValueError unless `nside` is a power of two from 1 to 32."""
    if nside not in (1, 2, 4, 8, 16, 32):
        raise ValueError(f"nside {nside}: use 1, 2, 4, 8, 16 or 32")


def vertex_count(nside: int, hemisphere: bool = True) -> int:
    """Return 6n² vertices for the hemisphere, 12n² for the sphere."""
    check_nside(nside)
    return (6 if hemisphere else 12) * nside**2


def vertex_directions(nside: int, hemisphere: bool = True) -> Float[np.ndarray, "vertex 3"]:
    """Return the unit vectors of the vertices (Górski et al., ApJ 622 (2005)), nested order."""
    count = vertex_count(nside, hemisphere)
    return np.stack(healpy.pix2vec(nside, np.arange(count), nest=True), axis=-1)


def antipodes(nside: int) -> Int[np.ndarray, " vertex"]:
    """Return, for each of the 12n² vertices, the index of the vertex at −u."""
    directions = vertex_directions(nside, hemisphere=False)
    return healpy.vec2pix(nside, *(-directions).T, nest=True)


def fold(nside: int) -> Int[np.ndarray, " vertex"]:
    """Return, for each of the 12n² vertices, the hemisphere vertex that stands for it (itself or its antipode)."""
    every = np.arange(vertex_count(nside, hemisphere=False))
    return np.where(every < vertex_count(nside), every, antipodes(nside))


def symmetry_permutations(
    nside: int, hemisphere: bool = True
) -> list[tuple[Float[np.ndarray, "3 3"], Int[np.ndarray, " vertex"]]]:
    """Return 8 symmetries that map the grid onto itself, as (matrix, permutation).

    They are the quarter turns about the polar axis and the reflections: the square's group. On the half-sphere
    inversion acts as the identity, so there are no others. For a function f on the vertices, f[permutation] is
    v ↦ f(R⁻¹v).
    """
    directions = vertex_directions(nside, hemisphere)
    quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    mirror = np.diag([1.0, -1.0, 1.0])
    symmetries = []
    for reflection in (np.eye(3), mirror):
        for turns in range(4):
            matrix = np.linalg.matrix_power(quarter, turns) @ reflection
            source = healpy.vec2pix(nside, *(directions @ matrix).T, nest=True)
            symmetries.append((matrix, fold(nside)[source] if hemisphere else source))
    return symmetries
