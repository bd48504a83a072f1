"""Every loss term against loops that write its definition out."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shd.graphs.hemisphere import vertex_directions
from shd.models.deconvolver import TissueFractions
from shd.signal.forward_model import forward_model
from shd.simulation.protocols import CLINICAL, RESEARCH, protocol_gradients
from shd.simulation.tissues import tissue_responses
from shd.sphere.harmonics import coefficient_count, even_harmonics
from shd.training.losses.negativity import negativity
from shd.training.losses.objective import LossWeights, Objective
from shd.training.losses.reconstruction import reconstruction
from shd.training.losses.sparsity import CAUCHY_VARIANCE, cauchy_sparsity
from shd.training.losses.variation import total_variation

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


def test_gradients():
    mask = ragged((1, 2, 3, 2))
    field = values(3, 1, 2, 3, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda c: total_variation(c, mask), field)
    flat = values(5, 3, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(negativity, flat)
    assert torch.autograd.gradcheck(lambda f: cauchy_sparsity(f, variance=0.5), flat)
    assert torch.autograd.gradcheck(lambda p: reconstruction(p, values(5, 3)), flat)


def objective(protocol=RESEARCH, degree=4, **weights):
    gradients, vertices = protocol_gradients(protocol), vertex_directions(2)
    model = forward_model(tissue_responses(np.array([s.bvalue for s in gradients.shells])), gradients, vertices)
    weighted = torch.from_numpy(np.concatenate([shell.volumes for shell in gradients.weighted_shells]))
    return Objective(model, vertices, weighted, LossWeights(**weights), degree), vertices


def answers(grid=(1, 2, 3, 2), seed=0):
    mask = ragged(grid, seed).float()
    mask[0, 0, 0, 0] = 1
    fractions = TissueFractions(
        values(24, *grid, dtype=torch.float32).abs() * mask,
        values(*grid, 2, seed=1, dtype=torch.float32).abs() * mask[..., None],
    )
    count = int(mask.sum())
    signal = values(count, 126, seed=2, dtype=torch.float32).abs()
    return fractions, signal, mask, torch.arange(count) % 3 != 0


def test_the_whole_loss_is_the_weighted_sum_of_its_terms_on_the_scored_voxels():
    whole, vertices = objective(negativity=0.3, sparsity=0.02, variation=0.1)
    fractions, signal, mask, scored = answers()
    terms = whole.terms(fractions, signal, mask, scored)
    basis = torch.tensor(even_harmonics(vertices, 4), dtype=torch.float32)
    inside = mask > 0
    wm, isotropic = fractions.wm[:, inside][:, scored], fractions.isotropic[inside][scored]
    expected = {
        "data": (whole.predict(wm, isotropic) - signal[scored].T[6:]).square().mean(),
        "negativity": (basis @ basis.T @ wm / 24).clamp(max=0).square().mean(),
        "sparsity": cauchy_sparsity(wm / (4 * math.pi)),
        "variation": total_variation(torch.einsum("vc,v...->c...", basis / 24, fractions.wm), mask),
    }
    assert set(terms) == {"loss", *expected}
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, rtol=1e-5, atol=1e-8)
    total = sum(w * terms[n] for n, w in (("data", 1), ("negativity", 0.3), ("sparsity", 0.02), ("variation", 0.1)))
    torch.testing.assert_close(terms["loss"], total, rtol=1e-6, atol=0)


def test_b0_volumes_do_not_count_towards_the_reconstruction():
    whole, _ = objective(negativity=0.0, sparsity=0.0, variation=0.0)
    fractions, signal, mask, scored = answers()
    disturbed = signal.clone()
    disturbed[:, protocol_gradients(RESEARCH).b0_volumes] += 10
    first, second = (whole.terms(fractions, s, mask, scored)["loss"] for s in (signal, disturbed))
    assert torch.equal(first, second)


def test_held_out_voxels_have_no_influence():
    whole, _ = objective(variation=0.0)
    fractions, signal, mask, scored = answers()
    disturbed = signal.clone()
    disturbed[~scored] += 10
    first, second = (whole.terms(fractions, s, mask, scored)["loss"] for s in (signal, disturbed))
    assert torch.equal(first, second)


@pytest.mark.parametrize("term", ["negativity", "sparsity", "variation"])
def test_terms_with_weight_zero_are_absent(term):
    whole, _ = objective(**{term: 0.0})
    terms = whole.terms(*answers())
    assert term not in terms
    assert set(terms) == {"loss", "data", "negativity", "sparsity", "variation"} - {term}


def test_the_true_fractions_have_no_reconstruction_error():
    whole, _ = objective()
    fractions, _, mask, scored = answers()
    inside = mask > 0
    predicted = whole.predict(fractions.wm[:, inside], fractions.isotropic[inside]).T
    signal = torch.cat([torch.rand(len(predicted), 6), predicted], dim=1)  # b=0 volumes first
    assert float(whole.terms(fractions, signal, mask, scored)["data"]) < 1e-12


def test_one_shell_and_white_matter_alone():
    gradients, vertices = protocol_gradients(CLINICAL), vertex_directions(2)
    model = forward_model(tissue_responses(np.array([0.0, 1000.0]))[:1], gradients, vertices)
    whole = Objective(model, vertices, torch.arange(3, 33), LossWeights(), 4)
    wm = values(24, 1, 2, 2, 2, dtype=torch.float32).abs().requires_grad_()
    terms = whole.terms(
        TissueFractions(wm, torch.zeros(1, 2, 2, 2, 0)),
        torch.rand(8, 33),
        torch.ones(1, 2, 2, 2),
        torch.ones(8, dtype=torch.bool),
    )
    terms["loss"].backward()
    assert torch.isfinite(wm.grad).all() and wm.grad.any()


def test_the_regularised_fodf_is_the_projection_onto_harmonics():
    """Project then evaluate leaves a band-limited fODF as it is, to the quadrature error of the HEALPix grid."""
    whole, vertices = objective()
    assert whole.project.shape == (coefficient_count(4), 24)
    smooth = torch.tensor(even_harmonics(vertices, 2)[:, 3:4], dtype=torch.float32)
    again = whole.evaluate @ (4 * math.pi * whole.project @ smooth)
    assert float((again - smooth).norm() / smooth.norm()) < 0.15
