import numpy as np
import pytest
import torch

from shd.engines.choice import choose_engine
from shd.engines.neighbourhood import unpool_voxels
from shd.graphs.hierarchy import sphere_hierarchy
from shd.models.blocks import ConvolutionBlock, coarser, pool_mask, pool_voxels
from shd.models.functional import pool_vertices, unpool_vertices
from tests.models.networks import config, normalised
from tests.support.engines import engines, require


def field(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ragged(*shape, seed=0):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.4).double()


def test_pooling_averages_the_masked_voxels_of_each_block():
    mask = ragged(2, 4, 6, 2, 1)
    x = field(3, 2, 4, 6, 2, 2) * mask
    pooled, coarse = pool_voxels(x, mask), pool_mask(mask)
    for batch, i, j, k in np.ndindex(2, 2, 3, 1):
        box = (slice(2 * i, 2 * i + 2), slice(2 * j, 2 * j + 2), slice(2 * k, 2 * k + 2))
        inside = mask[batch][box][..., 0] > 0
        values = x[:, batch][(slice(None), *box)][:, inside]
        expected = values.mean(1) if inside.any() else torch.zeros(3, 2, dtype=torch.float64)
        torch.testing.assert_close(pooled[:, batch, i, j, k], expected)
        assert float(coarse[batch, i, j, k, 0]) == float(inside.any())


def test_a_constant_field_stays_constant_whatever_the_mask():
    mask = ragged(1, 4, 4, 4, 1)
    pooled = pool_voxels(torch.full((2, 1, 4, 4, 4, 1), 3.0).double() * mask, mask)
    assert torch.equal(pooled, 3.0 * pool_mask(mask).expand(2, -1, -1, -1, -1, -1))


def test_without_a_mask_unpooling_is_eight_times_the_adjoint_of_pooling():
    fine, coarse = field(2, 1, 4, 2, 6, 2), field(2, 1, 2, 1, 3, 2, seed=1)
    pooled = torch.vdot(pool_voxels(fine, torch.ones(1, 4, 2, 6, 1).double()).ravel(), coarse.ravel())
    assert float(8 * pooled) == pytest.approx(float(torch.vdot(fine.ravel(), unpool_voxels(coarse).ravel())))


@pytest.mark.parametrize("spatial", [True, False])
def test_changing_the_level_pools_vertices_and_voxels(spatial):
    mask = ragged(1, 4, 2, 2, 1)
    x = field(24, 1, 4, 2, 2, 3) * mask
    down = coarser(x, mask, spatial)
    assert down.shape == ((6, 1, 2, 1, 1, 3) if spatial else (6, 1, 4, 2, 2, 3))
    torch.testing.assert_close(down, pool_vertices(pool_voxels(x, mask) if spatial else x))
    finer = unpool_vertices(unpool_voxels(down) if spatial else down)
    assert finer.shape == x.shape
    torch.testing.assert_close(coarser(finer, torch.ones_like(mask), spatial), down)


@engines
@pytest.mark.parametrize("normalisation", ["batch", "voxel", "none"])
@pytest.mark.parametrize("training", [True, False])
def test_a_block_is_convolution_norm_and_relu_inside_the_mask(engine, normalisation, training):
    require(engine)
    level = sphere_hierarchy(2, 1).levels[0]
    block = ConvolutionBlock(level, 2, 5, config(nside=2, normalisation=normalisation)).train(training)
    mask = ragged(1, 4, 3, 2, 1).float()
    x = field(24, 1, 4, 3, 2, 2).float() * mask
    chosen = choose_engine(engine, x, 4)
    y = block([chosen.enter(x, level)], mask, chosen)
    expected = torch.relu(normalised(block.normalisation, block.convolution(x), mask)) * mask
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-6)
    assert not y[:, mask[..., 0] == 0].any()
    assert (y > 0).any() and float(y.detach().min()) == 0
