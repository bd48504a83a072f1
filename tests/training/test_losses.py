"""Every loss term against loops that write its definition out."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shd.scans.neighbourhood import neighbourhood
from shd.scans.normalisation import NormalisedScan
from shd.simulation.protocols import CLINICAL, protocol_gradients
from shd.training.losses.negativity import negativity
from shd.training.losses.reconstruction import reconstruction
from shd.training.losses.sparsity import CAUCHY_VARIANCE, cauchy_sparsity
from shd.training.losses.support import beside, structured_sparsity, unlikeness
from shd.training.losses.variation import total_variation

FACES = [step * side for step in np.eye(3, dtype=int) for side in (-1, 1)]
shapes = st.tuples(st.integers(1, 2), *[st.integers(1, 4)] * 3)


def values(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def ragged(shape, seed=0):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.7).double()


def test_reconstruction_is_the_mean_square_difference():
    predicted, measured = values(5, 7), values(5, 7, seed=1)
    expected = sum((float(p) - float(m)) ** 2 for p, m in zip(predicted.ravel(), measured.ravel(), strict=True)) / 35
    assert float(reconstruction(predicted, measured)) == pytest.approx(expected, rel=1e-12)
    assert float(reconstruction(measured, measured)) == 0


def test_negativity_is_the_mean_square_of_what_is_below_zero():
    amplitudes = values(6, 4)
    expected = sum(float(a) ** 2 for a in amplitudes.ravel() if a < 0) / 24
    assert expected > 0
    assert float(negativity(amplitudes)) == pytest.approx(expected, rel=1e-12)
    assert float(negativity(amplitudes.abs())) == 0


def test_sparsity_is_the_published_cauchy_prior():
    density = values(6, 4) * 0.01
    expected = sum(2 * math.log(1 + float(f) ** 2 / (2 * 1e-5)) for f in density.ravel()) / 24
    assert CAUCHY_VARIANCE == 1e-5
    assert float(cauchy_sparsity(density)) == pytest.approx(expected, rel=1e-12)
    assert float(cauchy_sparsity(torch.zeros(6, 4))) == 0


def test_sparsity_prefers_one_fibre_to_the_same_amount_spread_out():
    spread, peaked = torch.full((96, 1), 1 / (4 * math.pi)), torch.zeros(96, 1)
    peaked[5] = spread.sum()
    assert float(cauchy_sparsity(peaked)) < 0.1 * float(cauchy_sparsity(spread))


def looped_variation(coefficients, mask):
    """√(½ Σ ‖difference to each of six neighbours‖²) averaged over voxels, counted where both voxels are inside."""
    c, m = coefficients.numpy(), mask.numpy()
    total = 0.0
    for batch, *voxel in np.argwhere(m > 0):
        squared = 0.0
        for axis, side in product(range(3), (-1, 1)):
            other = list(voxel)
            other[axis] += side
            if 0 <= other[axis] < m.shape[axis + 1] and m[(batch, *other)] > 0:
                squared += 0.5 * np.sum((c[(slice(None), batch, *other)] - c[(slice(None), batch, *voxel)]) ** 2)
        total += np.sqrt(squared)
    return total / max(m.sum(), 1)


@settings(deadline=None, max_examples=40)
@given(shape=shapes, seed=st.integers(0, 100))
def test_variation_equals_loops(shape, seed):
    coefficients, mask = values(6, *shape, seed=seed), ragged(shape, seed)
    expected = looped_variation(coefficients, mask)
    # the root's 1e-6, which keeps its gradient finite, is all that may differ
    assert float(total_variation(coefficients, mask)) == pytest.approx(expected, abs=2e-6)


@settings(deadline=None, max_examples=25)
@given(shape=shapes, seed=st.integers(0, 100), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_variation_of_a_constant_field_is_zero_whatever_the_mask(shape, seed, dtype):
    constant = values(6, 1, 1, 1, 1, dtype=dtype).expand(6, *shape)
    assert float(total_variation(constant, ragged(shape, seed).to(dtype))) == pytest.approx(0, abs=1e-12)


@settings(deadline=None, max_examples=25)
@given(shape=shapes, seed=st.integers(0, 100))
def test_variation_does_not_see_what_lies_outside_the_mask(shape, seed):
    coefficients, mask = values(6, *shape, seed=seed), ragged(shape, seed)
    disturbed = coefficients + 100 * values(6, *shape, seed=seed + 1) * (1 - mask)
    assert torch.equal(total_variation(coefficients, mask), total_variation(disturbed, mask))


@pytest.mark.parametrize("axis", [2, 3, 4])
def test_variation_of_a_reflected_volume_is_the_same(axis):
    coefficients, mask = values(6, 1, 4, 3, 5), ragged((1, 4, 3, 5), 0).double()
    reflected = total_variation(coefficients.flip(axis), mask.flip(axis - 1))
    assert float(reflected) == pytest.approx(float(total_variation(coefficients, mask)), rel=1e-12)


@pytest.mark.parametrize("field", ["constant", "zero"])
def test_the_gradient_of_variation_is_finite_where_neighbours_are_equal(field):
    start = torch.ones(6, 1, 3, 3, 3) if field == "constant" else torch.zeros(6, 1, 3, 3, 3)
    start.requires_grad_()
    total_variation(start, torch.ones(1, 3, 3, 3)).backward()
    assert torch.equal(start.grad, torch.zeros_like(start))


def test_variation_of_an_empty_mask_and_of_one_voxel_is_zero():
    assert float(total_variation(values(6, 1, 2, 2, 2), torch.zeros(1, 2, 2, 2).double())) == 0
    assert float(total_variation(values(6, 1, 1, 1, 1), torch.ones(1, 1, 1, 1).double())) == 0


def looped_mean(field, mask, place):
    """The mean over the six neighbours of a place (batch, x, y, z); the place stands for one outside."""
    total = np.zeros(len(field))
    for step in FACES:
        other = (place[0], *(np.array(place[1:]) + step))
        within = all(0 <= i < n for i, n in zip(other[1:], mask.shape[1:], strict=True)) and mask[other] > 0
        total += field[(slice(None), *(other if within else place))].numpy()
    return total / 6


@settings(deadline=None, max_examples=40)
@given(shape=shapes, seed=st.integers(0, 100))
def test_the_mean_beside_equals_loops_and_does_not_see_what_lies_outside(shape, seed):
    field, mask = values(6, *shape, seed=seed), ragged(shape, seed)
    found = beside(field, mask)
    for place in map(tuple, np.argwhere(mask.numpy() > 0)):
        np.testing.assert_allclose(
            found[(slice(None), *place)], looped_mean(field, mask, place), rtol=1e-12, atol=1e-12
        )
    disturbed = field + 100 * values(6, *shape, seed=seed + 1) * (1 - mask)
    assert torch.equal(found[:, mask > 0], beside(disturbed, mask)[:, mask > 0])


@pytest.mark.parametrize("shape", [(2, 4, 5, 3), (1, 1, 1, 1), (1, 6, 1, 2)])
def test_the_mean_beside_on_a_tile_is_the_neighbourhood_of_the_estimate(shape):
    """Each of the batch is a scan of its own; the tile's edge is a border of the mask like any other."""
    field, mask = values(7, *shape).abs(), ragged(shape)
    mask[0, 0, 0, 0] = 1
    found, gradients = beside(field, mask), protocol_gradients(CLINICAL)
    for batch, inside in enumerate(mask.numpy() > 0):
        rows, count = np.full(inside.shape, -1), int(inside.sum())
        rows[inside] = np.arange(count)
        ones = np.ones((count, 33), np.float32)
        mean = neighbourhood(NormalisedScan(ones, ones[:, 0].copy(), rows, gradients, np.eye(4)))
        own = field[:, batch][:, torch.from_numpy(inside)].T.contiguous()
        torch.testing.assert_close(found[:, batch][:, torch.from_numpy(inside)].T, mean(own), rtol=1e-12, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(shape=shapes, seed=st.integers(0, 100))
def test_unlikeness_is_half_the_energy_summed_over_pairs_of_neighbours(shape, seed):
    """⟨m, m − N m⟩ over all voxels is a sixth of Σ‖m(x) − m(y)‖² over faces, each counted once."""
    field, mask = values(5, *shape, seed=seed), ragged(shape, seed)
    inside = mask > 0
    count = int(inside.sum())
    if not count:
        return
    total = 0.0
    for place in map(tuple, np.argwhere(mask.numpy() > 0)):
        for step in np.eye(3, dtype=int):
            other = (place[0], *(np.array(place[1:]) + step))
            if all(i < n for i, n in zip(other, mask.shape, strict=True)) and mask[other] > 0:
                total += float((field[(slice(None), *place)] - field[(slice(None), *other)]).square().sum())
    found = unlikeness(field[:, inside], beside(field, mask)[:, inside])
    assert float(found) == pytest.approx(0.5 * total / 6 / count, rel=1e-9, abs=1e-12)


def test_structured_sparsity_equals_loops():
    state, around, spread = values(6, 4).abs(), values(6, 4, seed=1).abs(), values(6, 6, seed=2).abs()
    total = 0.0
    for voxel, u in product(range(4), range(6)):
        p = sum(float(spread[u, v]) * float(around[v, voxel]) for v in range(6))
        total += 0.3 * float(state[u, voxel]) / (p + 0.3)
    assert float(structured_sparsity(state, around, spread, 0.3)) == pytest.approx(total / 4, rel=1e-12)


def test_structured_sparsity_lifts_the_cost_of_what_neighbours_have():
    """Alone a direction pays in full, with neighbours of ε half, and beside much more of it next to nothing."""
    state, spread = torch.ones(1, 1), torch.eye(1)
    costs = [float(structured_sparsity(state, torch.full((1, 1), p), spread, 0.03)) for p in (0.0, 0.03, 3.0)]
    assert costs == pytest.approx([1, 0.5, 0.03 / 3.03], rel=1e-6)


def test_structured_sparsity_has_no_gradient_through_the_neighbours():
    state, around = values(6, 4).abs().requires_grad_(), values(6, 4, seed=1).abs().requires_grad_()
    spread = values(6, 6, seed=2).abs()
    found = structured_sparsity(state, around, spread, 0.3)
    (slope, through) = torch.autograd.grad(found, (state, around), allow_unused=True)
    assert through is None
    torch.testing.assert_close(slope, (0.3 / (spread @ around + 0.3)).detach() / 4)


def test_gradients():
    mask = ragged((1, 2, 3, 2))
    field = values(3, 1, 2, 3, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda c: total_variation(c, mask), field)
    flat = values(5, 3, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(negativity, flat)
    assert torch.autograd.gradcheck(lambda f: cauchy_sparsity(f, variance=0.5), flat)
    assert torch.autograd.gradcheck(lambda p: reconstruction(p, values(5, 3)), flat)
    assert torch.autograd.gradcheck(lambda f: beside(f, mask), field)
    around = values(5, 3, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(unlikeness, (flat, around))
    fixed, spread = around.detach().abs(), values(5, 5).abs()
    assert torch.autograd.gradcheck(lambda m: structured_sparsity(m, fixed, spread, 0.3), flat)
