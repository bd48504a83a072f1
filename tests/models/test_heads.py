import pytest
import torch

from shd.models.heads import EquivariantHead, InvariantHead
from tests.models.networks import default_dtype, settled
from tests.support.equivariance import DTYPES, assert_equivariant, unchanged
from tests.support.symmetries import permuting_vertices, voxel_symmetries

dtypes = pytest.mark.parametrize("dtype", DTYPES)
CHANNELS = 4
# Heads look at one vertex, or at all alike: every permutation of the vertices is a symmetry of theirs.
TURN = permuting_vertices(torch.randperm(24, generator=torch.Generator().manual_seed(0)).numpy())


def packed(dtype, extra):
    x = torch.randn(24, 1, 2, 3, 2, CHANNELS + extra, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x.abs().to(dtype)


def head(build, dtype):
    with default_dtype(dtype):
        return settled(build(), lambda: None, count=1)


@dtypes
def test_the_white_matter_head_is_equivariant(dtype):
    module = head(lambda: EquivariantHead(CHANNELS), dtype)

    def answer(v):
        return module(v[..., :CHANNELS], v[..., CHANNELS])

    assert_equivariant(answer, TURN, TURN, packed(dtype, 1))
    for symmetry in voxel_symmetries()[::7]:
        assert_equivariant(answer, symmetry.acting_on(2), symmetry.acting_on(2), packed(dtype, 1))


@dtypes
def test_the_isotropic_head_is_invariant(dtype):
    module = head(lambda: InvariantHead(CHANNELS, 2), dtype)

    def answer(v):
        return module.correct(v[..., :CHANNELS].mean(0), v[..., CHANNELS:].mean(0))

    assert_equivariant(answer, TURN, unchanged, packed(dtype, 2))
    for symmetry in voxel_symmetries()[::7]:
        assert_equivariant(answer, symmetry.acting_on(2), symmetry.acting_on(1), packed(dtype, 2))


def test_before_training_the_heads_rank_as_the_estimate_does():
    x = packed(torch.float32, 1)
    value = EquivariantHead(CHANNELS)(x[..., :CHANNELS], x[..., CHANNELS])
    assert torch.equal(value.flatten(1).argsort(0), x[..., CHANNELS].flatten(1).argsort(0))
