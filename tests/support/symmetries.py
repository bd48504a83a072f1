"""The symmetries that hold exactly: 48 of the voxel lattice, 8 of the HEALPix half-sphere, 16 of the sphere."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import healpy
import numpy as np
import torch
from torch import Tensor

from shd.graphs.hemisphere import symmetry_permutations, vertex_directions


@dataclass(frozen=True)
class VoxelSymmetry:
    """One of the cube's 48 rotations and reflections: a permutation of the voxel axes, then flips."""

    order: tuple[int, int, int]
    flips: tuple[int, ...]

    def acting_on(self, first_axis: int) -> Callable[[Tensor], Tensor]:
        """Return the symmetry of tensors whose x axis is number `first_axis`."""

        def act(x: Tensor) -> Tensor:
            axes = list(range(x.ndim))
            axes[first_axis : first_axis + 3] = [first_axis + axis for axis in self.order]
            return x.permute(axes).flip([first_axis + axis for axis in self.flips])

        return act

    @property
    def matrix(self) -> np.ndarray:
        """R such that the image f becomes f(R⁻¹v): v counted in voxels from the centre of the grid."""
        matrix = np.eye(3)[list(self.order)]
        matrix[list(self.flips)] *= -1
        return matrix

    @property
    def turns(self) -> bool:
        """Whether this is a rotation; if not, it reflects."""
        return bool(np.linalg.det(self.matrix) > 0)


def voxel_symmetries(identity: bool = False) -> list[VoxelSymmetry]:
    every = [
        VoxelSymmetry(order, flips)
        for order in itertools.permutations(range(3))
        for count in range(4)
        for flips in itertools.combinations(range(3), count)
    ]
    return every if identity else [s for s in every if s != VoxelSymmetry((0, 1, 2), ())]


def sphere_permutations(nside: int, hemisphere: bool) -> list[np.ndarray]:
    """Return the vertex permutations of the grid's own symmetries, the identity left out."""
    if hemisphere:
        return [permutation for _, permutation in symmetry_permutations(nside)][1:]
    directions = vertex_directions(nside, hemisphere=False)
    matrices = [s * matrix for s in (1.0, -1.0) for matrix, _ in symmetry_permutations(nside)]
    return [healpy.vec2pix(nside, *(directions @ matrix).T, nest=True) for matrix in matrices[1:]]


def permuting_vertices(permutation: np.ndarray) -> Callable[[Tensor], Tensor]:
    index = torch.from_numpy(np.array(permutation))
    return lambda x: x[index]
