import copy

import pytest
import torch

from shd.engines import ENGINES, set_engine
from shd.models.unet import UNet
from tests.models.networks import CONFIGS, config, default_dtype, grid_for, some_features, some_mask
from tests.support.engines import engines, require, takes
from tests.support.equivariance import DTYPES


@pytest.mark.parametrize("name", CONFIGS)
def test_features_come_back_at_the_finest_level_zero_outside_the_mask(name):
    shape = CONFIGS[name]
    grid = grid_for(shape)
    mask = some_mask(grid, torch.float32)
    net = UNet(shape)
    y = net(some_features(shape, grid, torch.float32), mask)
    assert y.shape == (*some_features(shape, grid, torch.float32).shape[:-1], shape.width)
    assert net.output_channels == shape.width
    outside = mask[..., 0] == 0
    assert not y[:, outside].any() and y[:, ~outside].any()


def test_widths_double_and_stages_mirror_each_other():
    net = UNet(config(nside=8, levels=4, width=3, convolutions=2))
    down = [[block.convolution.weight.shape[-1] for block in stage] for stage in net.down]
    up = [[block.convolution.weight.shape[2:] for block in stage] for stage in net.up]
    assert down == [[3, 3], [6, 6], [12, 12], [24, 24]]
    assert [tuple(map(tuple, stage)) for stage in up] == [
        ((24 + 12, 12), (12, 12)),
        ((12 + 6, 6), (6, 6)),
        ((6 + 3, 3), (3, 3)),
    ]


def test_the_coarse_levels_carry_a_change_far():
    """Without pooling, ten 3×3×3 convolutions would carry a voxel's change ten voxels."""
    torch.manual_seed(0)
    shape = config(nside=4, levels=3, spatial_poolings=2)
    net, mask = UNet(shape).eval(), torch.ones(1, 16, 4, 4, 1)
    x = some_features(shape, (1, 16, 4, 4), torch.float32)
    other = x.clone()
    other[:, :, 0, 0, 0] += 1
    with torch.no_grad():
        reach = (net(x, mask) - net(other, mask)).abs().amax(dim=(0, 1, 3, 4, 5)) > 0
    assert reach[:12].all()


@pytest.mark.parametrize("seed", [0, 1])
def test_equal_seeds_give_equal_networks(seed):
    torch.manual_seed(seed)
    first = UNet(config())
    torch.manual_seed(seed)
    second = UNet(config())
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("engine", "name"), [(e, name) for e in ENGINES[2:] for name in CONFIGS if takes(e, CONFIGS[name].kernel)]
)
@pytest.mark.parametrize("training", [True, False])
def test_every_engine_gives_the_same_network(name, engine, dtype, training):
    """Values and gradients, whatever the configuration."""
    require(engine)
    shape = CONFIGS[name]
    grid = grid_for(shape)
    mask, x = some_mask(grid, dtype), some_features(shape, grid, dtype)
    results = []
    for used in ("reference", engine):
        torch.manual_seed(0)
        with default_dtype(dtype):
            net = UNet(shape).train(training)
        set_engine(net, used)
        y = net(x, mask)
        y.square().mean().backward()
        results.append([y.detach(), *(parameter.grad for parameter in net.parameters())])
    errors = [float((found - expected).norm() / expected.norm()) for expected, found in zip(*results, strict=True)]
    assert errors[0] < {torch.float32: 1e-4, torch.float64: 1e-10}[dtype]
    # One activation of ten thousand, within rounding of zero, may be cut off by one engine alone, on one processor and
    # not on another. Statistics of a batch this small, in training, multiply what that does: up to 0.04 was seen.
    single = 0.1 if training else 1e-4
    assert max(errors[1:]) < {torch.float32: single, torch.float64: 1e-10}[dtype]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_window_changes_nothing_at_a_distance_from_its_borders(name):
    """The last stage is computed there alone: voxels beyond the reach of its convolutions are as without it."""
    shape = CONFIGS[name]
    reach, grid = shape.convolutions * (shape.kernel // 2), (1, 16, 8, 8)
    mask, x = some_mask(grid, torch.float64), some_features(shape, grid, torch.float64)
    with default_dtype(torch.float64):
        net = UNet(shape).eval()
    window = (slice(0, 12), slice(0, 8), slice(0, 8))
    with torch.no_grad():
        whole, part = net(x, mask), net(x, mask, window)
    assert part.shape == (*x.shape[:2], 12, 8, 8, shape.width)
    inner = slice(0, 12 - reach)
    torch.testing.assert_close(part[:, :, inner], whole[:, :, inner], rtol=1e-12, atol=1e-12)


def test_a_window_that_cuts_through_pooled_voxels_is_refused():
    shape = CONFIGS["two tissues"]
    mask, x = some_mask((1, 4, 4, 4), torch.float32), some_features(shape, (1, 4, 4, 4), torch.float32)
    with pytest.raises(ValueError, match="its borders must be multiples of 2"):
        UNet(shape)(x, mask, (slice(1, 3), slice(0, 4), slice(0, 4)))


@engines
def test_half_precision_by_autocast_stays_near_single(engine):
    """Where an engine has no half precision it may keep to single; parameters and their gradients always do."""
    require(engine)
    shape = CONFIGS["voxel norm"]
    grid = grid_for(shape)
    mask, x = some_mask(grid, torch.float32), some_features(shape, grid, torch.float32)
    torch.manual_seed(0)
    net = UNet(shape)
    set_engine(net, "reference")
    with torch.no_grad():
        expected = net(x, mask)
    set_engine(net, engine)
    with torch.autocast("cpu", torch.bfloat16):
        found = net(x, mask)
    assert float((found.detach().float() - expected).norm() / expected.norm()) < 0.1
    found.float().square().mean().backward()
    assert all(p.grad.dtype == torch.float32 and torch.isfinite(p.grad).all() for p in net.parameters())


@pytest.mark.parametrize("normalisation", ["batch", "voxel"])
def test_recomputing_gives_the_same_gradients_and_running_means(normalisation):
    """Batches are counted once, although they are computed twice."""
    torch.manual_seed(0)
    shape = config(nside=4, levels=3, normalisation=normalisation)
    net, mask = UNet(shape), torch.ones(1, 4, 4, 4, 1)
    x, start = some_features(shape, (1, 4, 4, 4), torch.float32), copy.deepcopy(net.state_dict())
    found = []
    for recompute in (False, True):
        net.load_state_dict(start)
        net.recompute = recompute
        net.zero_grad()
        y = net(x, mask)
        y.square().sum().backward()
        found.append([y.detach(), *(p.grad.clone() for p in net.parameters()), *(b.clone() for b in net.buffers())])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
