"""How rotations and reflections of the cube act on fields over p-q-space: on voxels, q-space samples and components."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from shd.models.pq.coupling import harmonics
from shd.models.pq.fields import FieldType
from tests.support.symmetries import voxel_symmetries

ROTATIONS = [symmetry for symmetry in voxel_symmetries() if symmetry.turns]
REFLECTIONS = [symmetry for symmetry in voxel_symmetries() if not symmetry.turns]
A_TURN, A_REFLECTION = ROTATIONS[4], REFLECTIONS[7]


def order_matrix(order, matrix):
    """Return D with Y(Mv) = D Y(v) for the harmonics of an order, by solving it; the tensors' parity is (−1)^order."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(40, 3, dtype=torch.float64, generator=generator)
    matrix = torch.as_tensor(matrix, dtype=torch.float64)
    here, there = (harmonics(order, v)[:, order**2 :] for v in (vectors, vectors @ matrix.T))
    return torch.linalg.lstsq(here, there).solution.T


def component_matrix(channels, matrix):
    """Return how a whole field's components turn: block by block."""
    channels = FieldType.of(channels)
    blocks = [order_matrix(order, matrix) for order, count in enumerate(channels.channels) for _ in range(count)]
    return torch.block_diag(*blocks)


def acting_on_field(symmetry, channels, q=None):
    """Return the symmetry of (batch, q, component, x, y, z); q: the samples, which the symmetry must permute."""
    turn = component_matrix(channels, symmetry.matrix)
    places = [0] if q is None else sample_permutation(q, symmetry.matrix)

    def act(x):
        moved = symmetry.acting_on(3)(x)[:, places]
        return torch.einsum("ij,nqjxyz->nqixyz", turn.to(x.dtype), moved)

    return act


def sample_permutation(q, matrix):
    """Return for every sample which one comes to its place."""
    moved = q @ torch.as_tensor(np.asarray(matrix), dtype=q.dtype).T
    distances = torch.cdist(q, moved).numpy()
    places = linear_sum_assignment(distances)[1]
    assert distances[range(len(q)), places].max() < 1e-6, "the symmetry does not permute these samples"
    return places.tolist()


def random_field(channels, q_count, sides, dtype, seed=0, batch=2):
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, q_count, FieldType.of(channels).dimension, *sides)
    return torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype)
