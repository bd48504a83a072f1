import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shd.engines.neighbourhood import kernel_side, neighbour_spread, neighbour_sums, on_grid, pool_voxels, unpool_voxels
from shd.graphs.spatial import distance_classes
from tests.models.dense_convolution import looped_neighbour_sums
from tests.support.equivariance import assert_equivariant
from tests.support.symmetries import voxel_symmetries

sizes = pytest.mark.parametrize("size", [1, 3, 5])
# (vertex, batch, x, y, z, channel); sides of 1 and 2 are smaller than the kernels
shapes = st.tuples(*[st.integers(1, 3)] * 2, *[st.integers(1, 6)] * 3, st.integers(1, 2))


def field(shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@sizes
@settings(deadline=None, max_examples=30)
@given(shape=shapes)
def test_sums_equal_loops_over_the_neighbours(size, shape):
    x = field(shape)
    expected = looped_neighbour_sums(x.numpy(), size)
    found = neighbour_sums(x, size)
    assert len(found) == len(distance_classes(size))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-12)


@sizes
@settings(deadline=None, max_examples=40)
@given(shape=shapes)
def test_spread_is_the_adjoint_of_the_sums(size, shape):
    """⟨S x, z⟩ = ⟨x, S* z⟩ for every radius at once."""
    x = field(shape)
    z = tuple(field(shape, seed=r + 1) for r in range(len(distance_classes(size))))
    through_sums = sum(torch.vdot(s.ravel(), part.ravel()) for s, part in zip(neighbour_sums(x, size), z, strict=True))
    through_spread = torch.vdot(x.ravel(), neighbour_spread(z, size).ravel())
    scale = float(x.norm() * max(part.norm() for part in z)) * len(z)
    assert abs(float(through_sums - through_spread)) < 1e-12 * max(scale, 1.0)


@sizes
def test_inputs_are_left_as_they_were(size):
    x = field((2, 1, 4, 3, 5, 2))
    z = tuple(field(x.shape, seed=r) for r in range(len(distance_classes(size))))
    before = x.clone(), tuple(part.clone() for part in z)
    neighbour_sums(x, size)
    neighbour_spread(z, size)
    assert torch.equal(x, before[0])
    assert all(torch.equal(a, b) for a, b in zip(z, before[1], strict=True))


@sizes
def test_inputs_in_another_memory_order_give_the_same(size):
    x = field((5, 3, 4, 2, 1, 2)).permute(3, 4, 2, 1, 0, 5)
    for ours, theirs in zip(neighbour_sums(x, size), neighbour_sums(x.contiguous(), size), strict=True):
        assert torch.equal(ours, theirs)


@sizes
def test_gradients_of_sums_and_spread(size):
    x = field((1, 1, 3, 1, 2, 1)).requires_grad_()
    z = tuple(field(x.shape, seed=r).requires_grad_() for r in range(len(distance_classes(size))))
    assert torch.autograd.gradcheck(lambda v: neighbour_sums(v, size), x)
    assert torch.autograd.gradcheck(lambda *v: neighbour_spread(v, size), z)
    assert torch.autograd.gradgradcheck(lambda v: neighbour_sums(v, size), x)


@sizes
def test_one_voxel_has_no_neighbours(size):
    x = field((3, 2, 1, 1, 1, 2))
    own, *others = neighbour_sums(x, size)
    assert torch.equal(own, x)
    assert all(not other.any() for other in others)


@pytest.mark.parametrize("size", [3, 5])
def test_sums_commute_with_the_cubes_symmetries(size):
    x = field((2, 1, 4, 5, 3, 2))
    for symmetry in voxel_symmetries():
        act = symmetry.acting_on(2)
        assert_equivariant(lambda v: torch.cat(neighbour_sums(v, size), dim=-1), act, act, x)


@sizes
def test_the_number_of_distances_tells_the_kernels_side(size):
    assert kernel_side(len(distance_classes(size))) == size


def test_unpooling_copies_each_value_to_its_block():
    x = field((2, 1, 2, 3, 1, 2))
    lifted = unpool_voxels(x)
    for i, j, k in np.ndindex(4, 6, 2):
        assert torch.equal(lifted[:, :, i, j, k], x[:, :, i // 2, j // 2, k // 2])


def test_sources_come_together_on_the_masks_grid_in_their_order():
    mask, half, whole = torch.ones(2, 2, 4, 2, 1), field((3, 2, 1, 2, 1, 2)), field((3, 2, 2, 4, 2, 1), seed=1)
    assert torch.equal(on_grid([half, whole], mask), torch.cat([unpool_voxels(half), whole], dim=-1))
    assert on_grid([whole], mask) is whole


def test_pooling_sums_every_block_and_weighs_it():
    x, weight = field((2, 1, 4, 6, 2, 3)), field((1, 2, 3, 1), seed=1)
    pooled = pool_voxels(x, weight)
    for i, j, k in np.ndindex(2, 3, 1):
        block = x[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, 2 * k : 2 * k + 2]
        torch.testing.assert_close(pooled[:, :, i, j, k], block.sum((2, 3, 4)) * weight[:, i, j, k, None])
    alone = field((1, 4, 6, 2), seed=2)
    torch.testing.assert_close(pool_voxels(x, alone), x * alone[..., None])
    torch.testing.assert_close(pool_voxels(unpool_voxels(pooled), torch.full_like(weight, 1 / 8)), pooled)
