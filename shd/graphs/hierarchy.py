"""All levels of the sphere or half-sphere a network works on, built once and never changed."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float

from shd.graphs.hemisphere import symmetry_permutations, vertex_count, vertex_directions
from shd.graphs.laplacian import DEFAULT_WIDTH, hemisphere_laplacian, rescaled, sphere_laplacian
from shd.graphs.symmetry import BlockBasis, block_basis

__all__ = ["Hierarchy", "Level", "sphere_hierarchy"]


@dataclass(frozen=True, eq=False)
class Level:
    """One resolution: vertices in nested order and the rescaled Laplacian (spectrum in [−1, 1])."""

    nside: int
    hemisphere: bool
    directions: Float[np.ndarray, "vertex 3"]
    laplacian: sparse.csr_array

    @property
    def vertices(self) -> int:
        """Number of vertices V."""
        return len(self.directions)

    @cached_property
    def basis(self) -> BlockBasis:
        """Eigenvalues and eigenvectors of the rescaled Laplacian, in symmetry blocks; computed at first use."""
        return block_basis(self.laplacian, symmetry_permutations(self.nside, self.hemisphere))


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Levels from fine to coarse; each has half the nside of the one before."""

    levels: tuple[Level, ...]

    @property
    def nsides(self) -> tuple[int, ...]:
        """The nside of every level, fine to coarse."""
        return tuple(level.nside for level in self.levels)


def _freeze(*arrays: np.ndarray) -> None:
    for array in arrays:
        array.setflags(write=False)


def _level(nside: int, hemisphere: bool, width: float) -> Level:
    laplacian = rescaled(hemisphere_laplacian(nside, width) if hemisphere else sphere_laplacian(nside, width))
    directions = vertex_directions(nside, hemisphere)
    assert len(directions) == vertex_count(nside, hemisphere)
    _freeze(directions, laplacian.data, laplacian.indices, laplacian.indptr)
    return Level(nside, hemisphere, directions, laplacian)


@lru_cache(maxsize=8)
def sphere_hierarchy(nside: int, levels: int, hemisphere: bool = True, width: float = DEFAULT_WIDTH) -> Hierarchy:
    """Return the hierarchy with `levels` levels from `nside` down; equal arguments give the same object.

    Raises ValueError where `levels` halvings do not fit into `nside` (nside 8 has at most 4 levels: 8, 4, 2, 1).
    """
    if levels < 1 or 2 ** (levels - 1) > nside:
        raise ValueError(f"{levels} levels below nside {nside}: at most {nside.bit_length()} fit")
    return Hierarchy(tuple(_level(nside >> depth, hemisphere, width) for depth in range(levels)))
