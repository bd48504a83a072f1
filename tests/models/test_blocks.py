import numpy as np
import pytest
import torch

from shd.engines.choice import choose_engine
from shd.engines.neighbourhood import unpool_voxels
from shd.engines.reference import pool_vertices, unpool_vertices
from shd.graphs.hierarchy import sphere_hierarchy
from shd.models.blocks import ConvolutionBlock, pool_mask, pooling_weight
from tests.models.networks import config, normalised
from tests.support.engines import engines, require


def field(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ragged(*shape, seed=0):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.4).double()


def coarser(x, mask, spatial, name):
    """A field one level down, by way of an engine's representation."""
    fine, coarse = sphere_hierarchy(2, 2).levels
    engine = choose_engine(name, x, 4)
    return engine.leave(engine.pool(engine.enter(x, fine), pooling_weight(mask, spatial), fine, coarse), coarse)


@engines
def test_pooling_averages_the_masked_voxels_of_each_block_and_four_vertices(engine):
    require(engine)
    mask = ragged(2, 4, 6, 2, 1)
    x = field(24, 2, 4, 6, 2, 3) * mask
    pooled, coarse = coarser(x, mask, True, engine), pool_mask(mask)
    assert pooled.shape == (6, 2, 2, 3, 1, 3)
    for batch, i, j, k in np.ndindex(2, 2, 3, 1):
        box = (slice(2 * i, 2 * i + 2), slice(2 * j, 2 * j + 2), slice(2 * k, 2 * k + 2))
        inside = mask[batch][box][..., 0] > 0
        values = pool_vertices(x[:, batch][(slice(None), *box)][:, inside])
        expected = values.mean(1) if inside.any() else torch.zeros(6, 3, dtype=torch.float64)
        torch.testing.assert_close(pooled[:, batch, i, j, k], expected)
        assert float(coarse[batch, i, j, k, 0]) == float(inside.any())


@engines
@pytest.mark.parametrize("spatial", [True, False])
def test_a_constant_field_stays_constant_whatever_the_mask(engine, spatial):
    require(engine)
    mask = ragged(1, 4, 4, 4, 1)
    x = torch.full((24, 1, 4, 4, 4, 1), 3.0).double() * mask
    pooled = coarser(x, mask, spatial, engine)
    expected = 3.0 * (pool_mask(mask) if spatial else mask).expand(6, -1, -1, -1, -1, -1)
    torch.testing.assert_close(pooled, expected, rtol=1e-14, atol=1e-14)


@engines
@pytest.mark.parametrize("spatial", [True, False])
def test_without_a_mask_unpooling_is_a_multiple_of_the_adjoint_of_pooling(engine, spatial):
    require(engine)
    fine, coarse = field(24, 1, 4, 2, 6, 2), field(6, 1, *((2, 1, 3) if spatial else (4, 2, 6)), 2, seed=1)
    down = coarser(fine, torch.ones(1, 4, 2, 6, 1).double(), spatial, engine)
    up = unpool_vertices(unpool_voxels(coarse) if spatial else coarse)
    copies = 32 if spatial else 4
    assert float(copies * torch.vdot(down.ravel(), coarse.ravel())) == pytest.approx(
        float(torch.vdot(fine.ravel(), up.ravel()))
    )


@engines
@pytest.mark.parametrize("spatial", [True, False])
def test_what_was_copied_to_a_finer_level_is_pooled_back(engine, spatial):
    require(engine)
    mask, x = torch.ones(1, 4, 2, 2, 1).double(), field(6, 1, *((2, 1, 1) if spatial else (4, 2, 2)), 3)
    finer = unpool_vertices(unpool_voxels(x) if spatial else x)
    assert finer.shape == (24, 1, 4, 2, 2, 3)
    torch.testing.assert_close(coarser(finer, mask, spatial, engine), x)


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
    y = block([chosen.enter(x, level)], mask, chosen, leave=True)
    expected = torch.relu(normalised(block.normalisation, block.convolution(x), mask)) * mask
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-6)
    assert not y[:, mask[..., 0] == 0].any()
    assert (y > 0).any() and float(y.detach().min()) == 0


@engines
def test_a_block_that_does_not_leave_gives_the_representation_of_the_same(engine):
    require(engine)
    level = sphere_hierarchy(2, 1).levels[0]
    block = ConvolutionBlock(level, 2, 5, config(nside=2)).eval()
    mask, x = ragged(1, 4, 3, 2, 1).float(), field(24, 1, 4, 3, 2, 2).float()
    chosen = choose_engine(engine, x, 4)
    left, kept = (block([chosen.enter(x, level)], mask, chosen, leave=leave) for leave in (True, False))
    torch.testing.assert_close(kept, chosen.enter(left, level), rtol=1e-5, atol=1e-6)
