import pytest
import torch

from shd.models.config import NORMALISATIONS
from shd.models.normalisation import MaskedBatchNorm, VoxelNorm, make_normalisation
from tests.models.networks import default_dtype, normalised
from tests.support.equivariance import DTYPES, assert_equivariant, unchanged
from tests.support.symmetries import permuting_vertices, voxel_symmetries

dtypes = pytest.mark.parametrize("dtype", DTYPES)
kinds = pytest.mark.parametrize("kind", NORMALISATIONS)


def field(dtype=torch.float64, shape=(6, 2, 3, 4, 5, 3), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (2 + 3 * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)


def ragged(dtype=torch.float64, shape=(2, 3, 4, 5, 1), seed=0):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.6).to(dtype)


def module(kind, dtype):
    with default_dtype(dtype):
        norm = make_normalisation(kind, 3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 2.0, -1.0]))
        norm.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
    return norm


def test_batch_norm_equals_torchs_on_the_masked_voxels():
    x, mask = field(), ragged()
    ours, theirs = module("batch", torch.float64), torch.nn.BatchNorm1d(3, dtype=torch.float64)
    theirs.load_state_dict(
        {"weight": ours.weight, "bias": ours.bias, "running_mean": torch.zeros(3), "running_var": torch.ones(3)},
        strict=False,
    )
    inside = mask[..., 0] > 0
    chosen = x[:, inside].flatten(0, 1)
    found = normalised(ours, x, mask)[:, inside].flatten(0, 1)
    torch.testing.assert_close(found, theirs(chosen), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    # torch keeps the unbiased variance, which a wide mask hardly changes
    torch.testing.assert_close(ours.running_variance, theirs.running_var, rtol=0.01, atol=0)


def test_batch_norm_does_not_count_voxels_outside_the_mask():
    x, mask = field(), ragged()
    x = x * mask
    padded, wide = (torch.nn.functional.pad(t, (0, 0, 2, 2, 1, 3, 0, 4)) for t in (x, mask))
    first, second = module("batch", torch.float64), module("batch", torch.float64)
    small, large = normalised(first, x, mask), normalised(second, padded, wide)
    torch.testing.assert_close(large[:, :, :3, 1:5, 2:7], small)
    torch.testing.assert_close(first.running_variance, second.running_variance)


def test_batch_norm_of_an_empty_mask_is_finite():
    x = torch.zeros(6, 2, 3, 4, 5, 3)
    assert torch.isfinite(normalised(MaskedBatchNorm(3), x, torch.zeros(2, 3, 4, 5, 1))).all()


def test_batch_norm_survives_half_precision_sums():
    """bfloat16 has 8 bits: a sum of thousands of values must be kept in float32."""
    x, mask = field(torch.float32, (48, 1, 8, 8, 8, 3)).bfloat16(), torch.ones(1, 8, 8, 8, 1)
    norm = MaskedBatchNorm(3)
    normalised(norm, x, mask)
    torch.testing.assert_close(norm.running_mean, 0.1 * x.float().mean(dim=(0, 1, 2, 3, 4)), rtol=1e-3, atol=1e-3)


def test_voxel_norm_gives_unit_power_and_looks_at_one_voxel_alone():
    x, mask = field(), ragged()
    norm = VoxelNorm(3).double()
    found = normalised(norm, x, mask)
    power = found[:, mask[..., 0] > 0].square().mean(dim=(0, -1))
    torch.testing.assert_close(power, torch.ones_like(power), rtol=1e-5, atol=0)
    changed = x.clone()
    changed[:, 0, 0, 0, 0] *= 5
    others = torch.ones(2, 3, 4, 5, dtype=torch.bool)
    others[0, 0, 0, 0] = False
    assert torch.equal(found[:, others], normalised(norm, changed, mask)[:, others])


@kinds
def test_gradients(kind):
    norm, mask = module(kind, torch.float64), ragged(shape=(1, 2, 2, 2, 1), seed=1)
    x = field(shape=(2, 1, 2, 2, 2, 3)).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: normalised(norm, v, mask), x)


@dtypes
@kinds
def test_every_kind_commutes_with_all_symmetries_even_in_training(kind, dtype):
    x, mask = field(dtype), ragged(dtype)
    packed = torch.cat([x, mask.expand(6, *mask.shape)], dim=-1)

    def trained(v):
        return normalised(module(kind, dtype), v[..., :-1], v[0, ..., -1:])

    for symmetry in voxel_symmetries()[::5]:
        act = symmetry.acting_on(2)
        assert_equivariant(trained, act, act, packed)
    act = permuting_vertices([3, 1, 0, 2, 5, 4])
    assert_equivariant(trained, act, act, packed)


def test_batch_statistics_are_invariant():
    x, mask = field(), ragged()

    def variance(v):
        norm = module("batch", torch.float64)
        normalised(norm, v, mask)
        return norm.running_variance

    assert_equivariant(variance, permuting_vertices([3, 1, 0, 2, 5, 4]), unchanged, x)


@kinds
@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_left_outside_the_mask(kind, training):
    x, mask = field(), ragged()
    found = normalised(module(kind, torch.float64).train(training), x, mask)
    outside = mask[..., 0] == 0
    assert not found[:, outside].any() and found[:, ~outside].all()


@kinds
def test_a_normalisation_asks_for_the_sums_that_it_uses(kind):
    """Sums that nobody uses would be computed in every layer."""
    norm = module(kind, torch.float64)
    assert norm.train().needs == {"batch": "channel", "voxel": "voxel", "none": None}[kind]
    assert norm.eval().needs == {"batch": None, "voxel": "voxel", "none": None}[kind]
