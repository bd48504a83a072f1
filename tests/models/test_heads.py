import math

import pytest
import torch

from shd.models.heads import EquivariantHead, InvariantHead
from tests.models.networks import default_dtype, settled
from tests.support.equivariance import DTYPES, assert_equivariant, unchanged
from tests.support.symmetries import permuting_vertices, voxel_symmetries

dtypes = pytest.mark.parametrize("dtype", DTYPES)
CHANNELS = 4
FLOOR = 0.02  # ε of the formula
# Heads look at one vertex, or at all alike: every permutation of the vertices is a symmetry of theirs.
TURN = permuting_vertices(torch.randperm(24, generator=torch.Generator().manual_seed(0)).numpy())


def packed(dtype, extra):
    x = torch.randn(24, 1, 2, 3, 2, CHANNELS + extra, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x.abs().to(dtype)


def head(build, dtype):
    with default_dtype(dtype):
        return settled(build(), lambda: None, count=1)


def correcting(correction):
    """The answer of a head whose correction is the given one, for an estimate."""
    module = EquivariantHead(1).double()
    with torch.no_grad():
        module.linear.weight.fill_(1.0)
    return lambda estimate: module(correction.unsqueeze(-1), estimate)


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
        return module(v[..., :CHANNELS], v[..., CHANNELS:].mean(0))

    assert_equivariant(answer, TURN, unchanged, packed(dtype, 2))
    for symmetry in voxel_symmetries()[::7]:
        assert_equivariant(answer, symmetry.acting_on(2), symmetry.acting_on(1), packed(dtype, 2))


@dtypes
def test_before_training_the_heads_answer_with_the_estimate_to_the_last_bit(dtype):
    """Where the estimate is zero as well."""
    x = packed(dtype, 2)
    estimate = x[..., CHANNELS] * (x[..., CHANNELS] > 0.3)
    assert 0.1 < float((estimate == 0).double().mean()) < 0.9
    with default_dtype(dtype):
        wm, others = EquivariantHead(CHANNELS), InvariantHead(CHANNELS, 2)
    assert torch.equal(wm(x[..., :CHANNELS], estimate), estimate)
    isotropic = x[0, ..., CHANNELS:] * (x[0, ..., CHANNELS:] > 0.3)
    assert torch.equal(others(x[..., :CHANNELS], isotropic), isotropic)


def test_the_correction_is_the_formula_voxel_by_voxel():
    x = packed(torch.float64, 2)
    features, estimate, isotropic = x[..., :CHANNELS], x[..., CHANNELS], x[..., CHANNELS:].mean(0)
    wm, others = (
        head(build, torch.float64) for build in (lambda: EquivariantHead(CHANNELS), lambda: InvariantHead(CHANNELS, 2))
    )

    def corrected(m, c):
        return m * math.exp(c) + FLOOR * max(math.exp(c) - 1, 0)

    with torch.no_grad():
        found, amounts = wm(features, estimate), others(features, isotropic)
        c, d = wm.linear(features)[..., 0], others.linear(features.mean(0))
    assert float(c.min()) < 0 < float(c.max())  # both branches
    for place in [(0, 0, 0, 0, 0), (5, 0, 1, 2, 1), (23, 0, 1, 0, 1), *map(tuple, torch.argwhere(c > 0)[:3].tolist())]:
        assert float(found[place]) == pytest.approx(corrected(float(estimate[place]), float(c[place])), rel=1e-12)
    for place in [(0, 0, 0, 0, 0), (0, 1, 2, 1, 1)]:
        assert float(amounts[place]) == pytest.approx(corrected(float(isotropic[place]), float(d[place])), rel=1e-12)


def test_a_moderate_correction_makes_a_fibre_or_removes_one():
    c = torch.linspace(-5, 5, 101, dtype=torch.float64)
    none, fibre = (correcting(c)(torch.full_like(c, value)).detach() for value in (0.0, 10.0))
    assert not none[c <= 0].any() and (none[c > 0] > 0).all() and float(none[-1]) > 1  # the mean of a density is 1
    assert float(fibre[0]) < 0.1 and (fibre.diff() > 0).all()
    assert float(none.diff().max()) < 0.4  # no jump, at c = 0 neither


@pytest.mark.parametrize(
    ("estimate", "correction", "slope"),
    [
        (0.0, 0.0, FLOOR),  # at the start a fibre can be wanted where the estimate has none
        (0.0, 1.0, FLOOR * math.e),
        (0.0, -1.0, 0.0),
        (3.0, 0.0, 3 + FLOOR),
        (3.0, -1.0, 3 / math.e),
    ],
)
def test_the_gradient_by_the_correction(estimate, correction, slope):
    c = torch.tensor([correction], dtype=torch.float64, requires_grad=True)
    correcting(c)(torch.tensor([estimate], dtype=torch.float64)).sum().backward()
    assert float(c.grad) == pytest.approx(slope, rel=1e-12)


def test_an_untrained_network_learns_where_the_estimate_is_zero_everywhere():
    x, nothing = packed(torch.float32, 0), torch.zeros(24, 1, 2, 3, 2)
    wm, others = EquivariantHead(CHANNELS), InvariantHead(CHANNELS, 2)
    (wm(x, nothing).sum() + others(x, torch.zeros(1, 2, 3, 2, 2)).sum()).backward()
    for module in (wm, others):
        assert module.linear.weight.grad.all() and module.linear.bias.grad.all()


def test_a_wild_correction_stays_finite_and_so_does_its_gradient():
    c = torch.tensor([1e4, -1e4, 11.0], dtype=torch.float64, requires_grad=True)
    found = correcting(c)(torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64))
    found.sum().backward()
    assert torch.isfinite(found).all() and torch.isfinite(c.grad).all() and float(found.detach().max()) > 1e4


def test_in_half_precision_the_estimate_keeps_its_own():
    x = packed(torch.float32, 2)
    with torch.autocast("cpu", torch.bfloat16):
        wm = EquivariantHead(CHANNELS)(x[..., :CHANNELS], x[..., CHANNELS])
        isotropic = InvariantHead(CHANNELS, 2)(x[..., :CHANNELS].bfloat16(), x[0, ..., CHANNELS:])
    assert torch.equal(wm, x[..., CHANNELS]) and torch.equal(isotropic, x[0, ..., CHANNELS:])


def test_in_half_precision_only_the_correction_is_rounded():
    x = packed(torch.float32, 1)
    module = head(lambda: EquivariantHead(CHANNELS), torch.float32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        c, found = module.linear(x[..., :CHANNELS])[..., 0], module(x[..., :CHANNELS], x[..., CHANNELS])
    assert c.dtype == torch.bfloat16 and found.dtype == torch.float32
    factor = c.double().exp()
    expected = x[..., CHANNELS] * factor + FLOOR * (factor - 1).clamp(min=0)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
