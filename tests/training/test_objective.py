"""The whole loss: which volumes and voxels count, in which units, and that it is the coherent estimate's energy."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import rice

from shd.graphs.hemisphere import vertex_directions
from shd.models.deconvolver import TissueFractions
from shd.scans.coherent_estimate import Coherence, direction_spread, noise_pull
from shd.scans.first_estimate import design
from shd.signal.forward_model import forward_model
from shd.signal.noise import rician_bias
from shd.simulation.protocols import CLINICAL, RESEARCH, protocol_gradients
from shd.simulation.tissues import tissue_responses
from shd.sphere.harmonics import coefficient_count, even_harmonics
from shd.training.losses.objective import LossWeights, Objective
from shd.training.losses.sparsity import cauchy_sparsity
from shd.training.losses.support import beside
from shd.training.losses.variation import total_variation
from tests.training.test_losses import ragged, values

VERTICES = vertex_directions(2)
NONE = dict.fromkeys(("support", "likeness", "negativity", "sparsity", "variation"), 0.0)
WEIGHTS = {"support": 16.0, "likeness": 2.0, "negativity": 0.3, "sparsity": 0.02, "variation": 0.1}
PULL = 0.01
FIRST = len(protocol_gradients(RESEARCH).b0_volumes)  # volumes of b=0 come first


def responses(protocol, tissues):
    shells = protocol_gradients(protocol).shells
    return tissue_responses(np.array([shell.bvalue for shell in shells]))[:tissues]


def objective(protocol=RESEARCH, tissues=3, coherence=Coherence(), pull=PULL, **weights):
    gradients = protocol_gradients(protocol)
    model = forward_model(responses(protocol, tissues), gradients, VERTICES)
    weighted = torch.from_numpy(np.concatenate([shell.volumes for shell in gradients.weighted_shells]))
    return Objective(model, VERTICES, weighted, LossWeights(**weights), 4, pull, coherence)


def answers(grid=(1, 2, 3, 2), seed=0, tissues=3, volumes=126):
    """Fractions of 0 to 3, a signal with nothing of theirs, a ragged mask, the voxels scored and their noise."""
    mask = ragged(grid, seed).float()
    mask[0, 0, 0, 0] = 1
    fractions = TissueFractions(
        values(24, *grid, dtype=torch.float32).abs() * mask,
        values(*grid, tissues - 1, seed=1, dtype=torch.float32).abs() * mask[..., None],
    )
    count = int(mask.sum())
    signal = values(count, volumes, seed=2, dtype=torch.float32).abs()
    noise = 0.03 + 0.1 * torch.rand(count, generator=torch.Generator().manual_seed(3))
    return fractions, signal, mask, torch.arange(count) % 3 != 0, noise


def predicted(whole, fractions, mask):
    """The noise-free signal (voxel, volume) of fractions."""
    inside = mask > 0
    return whole.predict(fractions.wm[:, inside], fractions.isotropic[inside]).T


def test_the_whole_loss_is_the_weighted_sum_of_its_terms_on_the_scored_voxels():
    whole = objective(**WEIGHTS)
    fractions, signal, mask, scored, noise = answers()
    terms = whole.terms(fractions, signal, mask, scored, noise)
    basis = torch.tensor(even_harmonics(VERTICES, 4), dtype=torch.float32)
    inside, noise = mask > 0, noise[scored]
    wm = fractions.wm[:, inside][:, scored]
    ours, theirs = predicted(whole, fractions, mask)[scored].T, signal[scored].T.clone()
    theirs[FIRST:] -= rician_bias(ours[FIRST:], noise)
    m, around = wm / math.sqrt(24), beside(fractions.wm, mask)[:, inside][:, scored] / math.sqrt(24)
    p = torch.tensor(direction_spread(VERTICES, 8.0), dtype=torch.float32) @ around
    expected = {
        "data": ((ours - theirs) / noise).square().mean(),
        "support": (2 * PULL / noise * (0.03 * m / (p + 0.03)).sum(0)).mean(),
        "likeness": (2 * PULL / noise * 0.5 * (m * (m - around)).sum(0)).mean(),
        "negativity": (basis @ basis.T @ wm / 24).clamp(max=0).square().mean(),
        "sparsity": cauchy_sparsity(wm / (4 * math.pi)),
        "variation": total_variation(torch.einsum("vc,v...->c...", basis / 24, fractions.wm), mask),
    }
    assert set(terms) == {"loss", *expected}
    for name, value in expected.items():
        assert float(value) > 0
        torch.testing.assert_close(terms[name], value, rtol=1e-4, atol=1e-8)
    total = terms["data"] + sum(weight * terms[name] for name, weight in WEIGHTS.items())
    torch.testing.assert_close(terms["loss"], total, rtol=1e-6, atol=0)


def test_by_default_the_terms_are_those_of_the_coherent_estimate_at_its_weights():
    weights, coherence = LossWeights(), Coherence()
    assert (weights.support, weights.likeness) == (coherence.sparsity, coherence.continuity)
    assert set(objective().terms(*answers())) == {"loss", "data", "support", "likeness"}


@pytest.mark.parametrize("term", WEIGHTS)
def test_terms_with_weight_zero_are_absent(term):
    terms = objective(**(WEIGHTS | {term: 0.0})).terms(*answers())
    assert set(terms) == {"loss", "data", *WEIGHTS} - {term}


@pytest.mark.parametrize(("protocol", "tissues"), [(RESEARCH, 3), (RESEARCH, 1), (CLINICAL, 1)])
def test_the_loss_is_the_energy_of_the_coherent_estimate(protocol, tissues):
    """In units of σ²/2, over all voxels, all of the same noise; written out from the docstring of that energy.

    With several tissues the data term is a mean over b=0 volumes as well, which the energy's misfit counts beside the
    weighted ones: there the two differ by that factor, and by nothing else.
    """
    gradients, coherence, deviation = protocol_gradients(protocol), Coherence(noise_floor=False), 0.05
    model = design(responses(protocol, tissues), gradients, VERTICES)
    unit = noise_pull(model, VERTICES, 1.0)
    fractions, signal, mask, scored, _ = answers(tissues=tissues, volumes=len(gradients.bvalues))
    everywhere, noise = torch.ones_like(scored), torch.full(scored.shape, deviation)
    whole = objective(protocol, tissues, coherence, unit)
    loss = whole.terms(fractions, signal, mask, everywhere, noise)["loss"]

    inside = mask > 0
    m = torch.cat([fractions.wm[:, inside], fractions.isotropic[inside].T]).double() / model.scale[:, None]
    misfit = 0.5 * ((model.columns @ m - signal.T.double()).square() * model.weight[:, None]).sum(0)
    wm = m[:24]
    around = beside(fractions.wm, mask)[:, inside].double() / math.sqrt(24)
    continuity = 0.5 * coherence.continuity * unit * deviation * (wm * (wm - around)).sum(0)
    p = torch.tensor(direction_spread(VERTICES, coherence.spread_degrees)) @ around
    sparsity = coherence.sparsity * unit * deviation * (0.03 * wm / (p + 0.03)).sum(0)
    counted = int((model.weight > 0).sum())
    assert counted == len(gradients.bvalues) - (len(gradients.b0_volumes) if tissues == 1 else 0)
    energy = misfit * len(model.volumes) / counted + continuity + sparsity
    assert float(loss) == pytest.approx(2 / deviation**2 * float(energy.mean()), rel=1e-4)


def test_b0_volumes_count_as_the_others_do():
    whole = objective(**NONE)
    fractions, _, mask, scored, noise = answers()
    signal = predicted(whole, fractions, mask)
    signal[:, FIRST:] += rician_bias(signal[:, FIRST:], noise[:, None])
    assert float(whole.terms(fractions, signal, mask, scored, noise)["data"]) < 1e-8
    signal[:, :FIRST] += 3 * noise[:, None]  # three deviations in 6 of 126 volumes
    assert float(whole.terms(fractions, signal, mask, scored, noise)["data"]) == pytest.approx(
        9 * FIRST / 126, rel=1e-4
    )


def test_b0_volumes_do_not_count_where_white_matter_is_alone():
    """One response cannot explain the b=0 signal of fluid: it would pull its amount towards one everywhere."""
    whole = objective(tissues=1)
    fractions, signal, mask, scored, noise = answers(tissues=1)
    disturbed = signal.clone()
    disturbed[:, :FIRST] += 10
    first, second = (whole.terms(fractions, s, mask, scored, noise)["loss"] for s in (signal, disturbed))
    assert torch.equal(first, second)
    disturbed[:, FIRST] += 10
    assert float(whole.terms(fractions, disturbed, mask, scored, noise)["loss"]) > float(first)


def test_true_fractions_and_the_mean_of_magnitude_noise_leave_no_residual():
    """The mean is SciPy's, from the top of the signal to its noise floor; b=0 signals have no floor to speak of."""
    fractions, _, mask, scored, noise = answers()
    fractions = TissueFractions(fractions.wm / 3, fractions.isotropic / 3)
    deviation = noise.double().numpy()[:, None]
    with_floor, without = objective(**NONE), objective(**NONE, coherence=Coherence(noise_floor=False))
    clean = predicted(with_floor, fractions, mask).double().numpy()
    assert (clean / deviation).min() < 1 and (clean / deviation).max() > 10
    signal = rice.mean(clean / deviation, scale=deviation)
    signal[:, :FIRST] = clean[:, :FIRST]
    residual = ((signal - clean) / deviation)[scored.numpy()]
    assert (residual**2).mean() > 0.01
    seen = torch.from_numpy(signal).float()
    assert float(with_floor.terms(fractions, seen, mask, scored, noise)["data"]) < 1e-7
    found = float(without.terms(fractions, seen, mask, scored, noise)["data"])
    assert found == pytest.approx((residual**2).mean(), rel=1e-3)


def test_the_noise_floor_is_data_and_has_no_gradient():
    whole = objective(**NONE)
    fractions, signal, mask, scored, noise = answers()
    wm = fractions.wm.clone().requires_grad_()
    whole.terms(TissueFractions(wm, fractions.isotropic), signal, mask, scored, noise)["data"].backward()
    ours = predicted(whole, fractions, mask)
    theirs = signal.clone()
    theirs[:, FIRST:] -= rician_bias(ours[:, FIRST:], noise[:, None])
    weight = scored[:, None] / noise[:, None].square() / (126 * int(scored.sum()))
    slope = (2 * weight * (ours - theirs)) @ whole.predict.wm
    torch.testing.assert_close(wm.grad[:, mask > 0].T, slope, rtol=1e-4, atol=1e-4)


def test_the_data_counts_in_units_of_the_voxels_own_noise():
    whole = objective(**NONE, coherence=Coherence(noise_floor=False))
    fractions, signal, mask, scored, noise = answers()
    first, half = (whole.terms(fractions, signal, mask, scored, n)["data"] for n in (noise, 2 * noise))
    assert float(half) == pytest.approx(float(first) / 4, rel=1e-5)


def test_what_neighbours_believe_is_held_fixed():
    """The slope of the structured sparsity is a voxel's own cost, as if its neighbours' support were a number."""
    whole = objective(**(NONE | {"support": 1.0}))
    fractions, signal, mask, scored, noise = answers()
    wm = fractions.wm.clone().requires_grad_()
    whole.terms(TissueFractions(wm, fractions.isotropic), signal, mask, scored, noise)["support"].backward()
    around = beside(fractions.wm, mask)[:, mask > 0] / math.sqrt(24)
    p = torch.tensor(direction_spread(VERTICES, 8.0), dtype=torch.float32) @ around
    slope = scored * 2 * PULL / noise * 0.03 / (p + 0.03) / math.sqrt(24) / int(scored.sum())
    torch.testing.assert_close(wm.grad[:, mask > 0], slope, rtol=1e-4, atol=1e-8)


def test_what_was_measured_in_held_out_voxels_has_no_influence():
    whole = objective(**(WEIGHTS | {"variation": 0.0}))
    fractions, signal, mask, scored, noise = answers()
    disturbed, noisier = signal.clone(), noise.clone()
    disturbed[~scored] += 10
    noisier[~scored] *= 2
    first, second = (
        whole.terms(fractions, *m)["loss"] for m in ((signal, mask, scored, noise), (disturbed, mask, scored, noisier))
    )
    assert torch.equal(first, second)


def test_one_shell_and_white_matter_alone():
    whole = objective(CLINICAL, tissues=1, **WEIGHTS)
    wm = values(24, 1, 2, 2, 2, dtype=torch.float32).abs().requires_grad_()
    terms = whole.terms(
        TissueFractions(wm, torch.zeros(1, 2, 2, 2, 0)),
        torch.rand(8, 33),
        torch.ones(1, 2, 2, 2),
        torch.ones(8, dtype=torch.bool),
        torch.full((8,), 0.05),
    )
    terms["loss"].backward()
    assert torch.isfinite(wm.grad).all() and wm.grad.any()


def test_the_regularised_fodf_is_the_projection_onto_harmonics():
    """Project then evaluate leaves a band-limited fODF as it is, to the quadrature error of the HEALPix grid."""
    whole = objective()
    assert whole.project.shape == (coefficient_count(4), 24)
    smooth = torch.tensor(even_harmonics(VERTICES, 2)[:, 3:4], dtype=torch.float32)
    again = whole.evaluate @ (4 * math.pi * whole.project @ smooth)
    assert float((again - smooth).norm() / smooth.norm()) < 0.15
