"""The estimators against known truth, the parts against oracles, and the bad inputs."""

import numpy as np
import pytest
from dipy.core.gradients import gradient_table
from dipy.reconst.dti import TensorModel
from scipy.optimize import minimize

from shd.errors import ResponseError, ShdWarning
from shd.signal.response_estimation import b0_coefficient, estimate_responses, multi_tissue, tensor
from shd.signal.response_estimation.bimodal import upper_group
from shd.signal.response_estimation.deconvolution import nonnegative_fit
from shd.signal.response_estimation.estimate import eroded
from shd.signal.response_estimation.fibre_peaks import largest_axis, refined_largest_peak, two_largest_peaks
from shd.signal.response_estimation.multi_tissue import estimate_multi_tissue, segment, signal_decay
from shd.signal.response_estimation.tensor import anisotropy_and_direction
from shd.signal.response_estimation.zonal_fit import fit_zonal, zonal_harmonics
from shd.simulation.tissues import CSF, tissue_responses
from shd.sphere.directions import axial_angle, half_sphere, normalised
from shd.sphere.harmonics import even_harmonics
from tests.signal.simulated_tissues import CROSSINGS, FIBRES, GREY, shells_gradients, tissue_block

SEVERAL = shells_gradients({1000.0: 24, 2500.0: 40})
ONE = shells_gradients({2000.0: 45})
TISSUES_OF_ROWS = np.repeat([0, 1, 2, 3], [FIBRES, CROSSINGS, GREY, 600 - FIBRES - CROSSINGS - GREY])


def bvalues_of(gradients):
    return np.array([shell.bvalue for shell in gradients.shells])


# --- whole estimates -----------------------------------------------------------------------------------------------


def test_three_tissues_are_recovered_to_a_few_percent():
    block = tissue_block(SEVERAL, snr=60)
    responses, voxels = estimate_responses(*block)
    truth = tissue_responses(bvalues_of(SEVERAL), degree=8)
    assert [response.tissue for response in responses] == ["wm", "gm", "csf"]
    assert set(TISSUES_OF_ROWS[voxels["wm"]]) == {0}
    assert set(TISSUES_OF_ROWS[voxels["gm"]]) == {2}
    assert set(TISSUES_OF_ROWS[voxels["csf"]]) == {3}
    np.testing.assert_allclose(responses[0].coefficients[:, 0], truth[0].coefficients[:, 0], rtol=0.03)
    np.testing.assert_allclose(responses[0].coefficients[1:, 1], truth[0].coefficients[1:, 1], rtol=0.05)
    np.testing.assert_allclose(responses[1].coefficients, truth[1].coefficients, rtol=0.03)
    # b=2500 has only the Rician floor left of free water, which is part of the measured response.
    np.testing.assert_allclose(responses[2].coefficients[:2], truth[2].coefficients[:2], rtol=0.05)


def test_voxels_are_taken_some_at_a_time_and_it_does_not_show(monkeypatch):
    block = tissue_block(SEVERAL, snr=60)
    expected, voxels = estimate_responses(*block)
    monkeypatch.setattr(multi_tissue, "_BLOCK", 70)
    monkeypatch.setattr(tensor, "_BLOCK", 50)
    found, again = estimate_responses(*block)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.coefficients, theirs.coefficients, rtol=1e-12)
    assert all((again[tissue] == voxels[tissue]).all() for tissue in voxels)


def test_white_matter_is_recovered_from_one_shell():
    block = tissue_block(ONE, snr=60)
    (response,), voxels = estimate_responses(*block)
    truth = tissue_responses(bvalues_of(ONE), degree=8)[0]
    assert voxels["wm"].sum() == 180  # 30 % of the block
    assert np.mean(TISSUES_OF_ROWS[voxels["wm"]] == 0) > 0.99
    np.testing.assert_allclose(response.coefficients[:, 0], truth.coefficients[:, 0], rtol=0.02)
    np.testing.assert_allclose(response.coefficients[1, 1:3], truth.coefficients[1, 1:3], rtol=0.05)
    assert np.all(response.coefficients[0, 1:] == 0)


def test_rows_follow_the_mask_when_it_has_holes():
    block = tissue_block(ONE, snr=60)
    mask = np.zeros((12, 10, 6), dtype=bool)
    mask[[0, 1, 2, 3, 4, 6, 7, 8, 9, 11]] = True
    _, voxels = estimate_responses(block.signal, block.gradients, mask)
    assert np.mean(TISSUES_OF_ROWS[voxels["wm"]] == 0) > 0.99


def test_the_estimate_does_not_depend_on_the_unit_of_intensity():
    block = tissue_block(SEVERAL, snr=60)
    first = estimate_responses(*block)[0]
    second = estimate_responses(block.signal * np.float32(2.0**-20), block.gradients, block.mask)[0]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(other.coefficients, one.coefficients * 2.0**-20, rtol=1e-4, atol=1e-6)


def test_negative_and_zero_signals_are_survived():
    block = tissue_block(SEVERAL, snr=60)
    signal = block.signal.copy()
    signal[3], signal[FIBRES + 3, ::2] = 0.0, -5.0
    responses, voxels = estimate_responses(signal, block.gradients, block.mask)
    assert not voxels["wm"][3]
    assert np.all(np.isfinite(responses[0].coefficients))


def test_b0_of_a_response_without_one_comes_from_single_fibres():
    block = tissue_block(ONE, snr=60)
    truth = tissue_responses(bvalues_of(ONE), degree=8)[0]
    found = b0_coefficient(block.signal, block.gradients, truth.coefficients[1])
    assert found == pytest.approx(truth.coefficients[0, 0], rel=0.01)


# --- refusals ------------------------------------------------------------------------------------------------------


# Of 8 directions no half makes a tensor: FA alone is left, and at SNR 15 noise has it too.
@pytest.mark.parametrize(
    ("gradients", "snr"),
    [(ONE, 15.0), (ONE, 50.0), (SEVERAL, 15.0), (SEVERAL, 50.0), (shells_gradients({1000.0: 8}), 50.0)],
)
def test_water_has_no_response(gradients, snr):
    generator = np.random.default_rng(1)
    clean = np.tile(CSF.signal(gradients.bvalues * 0.6), (600, 1))
    noise = generator.standard_normal((2, *clean.shape)) * 1000 / snr
    signal = np.hypot(clean + noise[0], noise[1]).astype(np.float32)
    with pytest.raises(ResponseError, match=r"no white matter found: .* % of 600 voxels .* median FA 0\.\d\d"):
        estimate_responses(signal, gradients, np.ones((10, 10, 6), dtype=bool))


def test_white_matter_alone_in_several_shells_lacks_the_other_tissues():
    block = tissue_block(SEVERAL, snr=60)
    mask = np.ones((20, 11, 1), dtype=bool)
    with pytest.raises(ResponseError, match="220 voxels only"):
        estimate_responses(block.signal[:FIBRES], SEVERAL, mask)


def test_without_csf_the_response_is_doubted():
    block = tissue_block(SEVERAL, snr=60)
    rows = TISSUES_OF_ROWS < 3
    with pytest.warns(ShdWarning, match="free water"):
        estimate_responses(block.signal[rows], SEVERAL, np.ones((16, 30, 1), dtype=bool))


def test_five_directions_are_too_few():
    gradients = shells_gradients({1000.0: 5})
    with pytest.raises(ResponseError, match="at most 5 directions"):
        estimate_responses(np.ones((4, 9), dtype=np.float32), gradients, np.ones((2, 2, 1), dtype=bool))


def test_signal_of_another_mask_is_refused():
    block = tissue_block(ONE, snr=60)
    with pytest.raises(ResponseError, match="600 voxels and 49 volumes, but 500 voxels"):
        estimate_responses(block.signal, ONE, np.ones((10, 10, 5), dtype=bool))


# --- parts against oracles -----------------------------------------------------------------------------------------


def test_upper_group_maximises_the_correlation_by_brute_force():
    values = np.random.default_rng(2).gamma(2.0, size=80)
    correlations = [np.corrcoef(values, values >= t)[0, 1] for t in np.sort(values)[1:]]
    assert upper_group(values).sum() == 79 - np.argmax(correlations)


@pytest.mark.parametrize("values", [[], [3.0], [2.0, 2.0, 2.0]])
def test_what_cannot_be_split_has_no_upper_group(values):
    assert upper_group(np.array(values)).sum() == 0


def test_nonnegative_fit_minimises_its_objective():
    generator = np.random.default_rng(3)
    axes = normalised(generator.standard_normal((20, 3)))
    design, constraints = even_harmonics(axes, 4), even_harmonics(half_sphere(60), 4)
    signal = generator.standard_normal((5, 20))
    penalty, damping = 3.0, 0.01

    def objective(f, s):
        broken = np.minimum(constraints @ f, 0)
        return np.sum((design @ f - s) ** 2) + damping * f @ f + penalty * broken @ broken

    for fitted, s in zip(nonnegative_fit(signal, design, constraints, penalty, damping), signal, strict=True):
        best = minimize(objective, np.zeros(15), args=(s,), method="BFGS", options={"gtol": 1e-9}).fun
        assert objective(fitted, s) == pytest.approx(best, rel=1e-7)


def test_zonal_fit_returns_a_response_that_already_obeys():
    truth = tissue_responses(np.array([0.0, 2000.0]), degree=8)[0].coefficients[1]
    cosines = np.linspace(-1, 1, 301)
    np.testing.assert_allclose(fit_zonal(zonal_harmonics(cosines, 8) @ truth, cosines, 8), truth, rtol=1e-4, atol=0.05)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e6])
def test_zonal_fit_never_falls_off_axis_nor_below_zero(scale):
    generator = np.random.default_rng(4)
    cosines = generator.uniform(-1, 1, 200)
    noisy = scale * (0.3 - cosines**2 + 0.5 * generator.standard_normal(200))
    response = fit_zonal(noisy, cosines, 8)
    course = zonal_harmonics(np.cos(np.radians(np.arange(91.0))), 8) @ response
    assert course.min() > -1e-9 * scale
    # Between two degrees the slope condition leaves room for a rounding-sized fall.
    assert np.diff(course).min() > -1e-4 * scale
    unconstrained = np.linalg.lstsq(zonal_harmonics(cosines, 8), noisy, rcond=None)[0]
    assert np.any(zonal_harmonics(np.cos(np.radians(np.arange(91.0))), 8) @ unconstrained < 0)


def test_zonal_fit_of_degree_zero_is_the_mean():
    assert fit_zonal(np.array([1.0, 3.0]), np.array([0.1, 0.2]), 0) == pytest.approx([2 * np.sqrt(4 * np.pi)])


def test_tensor_finds_the_axis_of_a_bundle_in_scanner_axes():
    block = tissue_block(SEVERAL, snr=1e6)
    fa, axes = anisotropy_and_direction(block.signal[:FIBRES], SEVERAL)
    truth = normalised(np.random.default_rng(0).standard_normal((FIBRES + CROSSINGS, 3)))[:FIBRES]
    assert axial_angle(axes, truth).max() < 1.0
    assert fa.min() > 0.6


def test_tensor_is_that_of_dipy():
    """Its weighted fit, of voxels with and without signal, chosen rows and volumes."""
    signal = tissue_block(SEVERAL, snr=20.0).signal.copy()
    signal[0], signal[1, ::3] = 0.0, -1.0
    volumes = np.sort(np.random.default_rng(0).permutation(signal.shape[1])[:40])
    volumes = np.union1d(SEVERAL.b0_volumes, volumes)
    rows = np.arange(0, len(signal), 3)
    fa, axes = anisotropy_and_direction(signal, SEVERAL, rows, volumes)
    chosen, part = signal[rows][:, volumes].astype(float), SEVERAL.select(volumes)
    weighted = np.isin(np.arange(len(volumes)), part.shells[0].volumes, invert=True)
    table = gradient_table(
        part.bvalues * weighted, bvecs=part.directions * weighted[:, None], b0_threshold=0
    )
    theirs = TensorModel(table, fit_method="WLS", min_signal=chosen[chosen > 0].min()).fit(chosen)
    np.testing.assert_allclose(fa, np.nan_to_num(theirs.fa), atol=1e-6)
    clear = fa > 0.05
    assert axial_angle(axes[clear], theirs.evecs[clear][:, :, 0]).max() < 1e-3


def test_the_largest_axis_is_that_of_the_largest_peak():
    coefficients = np.random.default_rng(0).standard_normal((300, 28)) + np.eye(28)[0]
    np.testing.assert_array_equal(largest_axis(coefficients), two_largest_peaks(coefficients)[1])
    assert largest_axis(coefficients[:0]).shape == (0, 3)


def test_peaks_of_two_lobes():
    first, second = normalised(np.array([[1.0, 2.0, 3.0]])), normalised(np.array([[3.0, 0.0, -1.0]]))
    fodf = even_harmonics(first, 8) + 0.5 * even_harmonics(second, 8)
    amplitudes, axes = two_largest_peaks(fodf)
    assert amplitudes[0, 1] / amplitudes[0, 0] == pytest.approx(0.5, abs=0.03)
    assert axial_angle(axes, first)[0] < 4.0
    refined, axes = refined_largest_peak(fodf, axes)
    assert axial_angle(axes, first)[0] < 1.0
    assert refined[0] >= amplitudes[0, 0]


def test_an_fodf_without_positive_lobe_has_no_peak():
    assert two_largest_peaks(np.array([[-1.0, 0, 0, 0, 0, 0]]))[0].tolist() == [[0.0, 0.0]]


def test_decay_is_the_mean_log_ratio_and_nan_without_signal():
    signal = np.concatenate([np.full((2, 4), 1000.0), np.full((2, 64), 1000.0 * np.exp(-1.5))], axis=1)
    signal[1, 4:] = -1.0
    decay = signal_decay(signal, SEVERAL)
    assert decay[0] == pytest.approx(1.5)
    assert np.isnan(decay[1])


def test_segmentation_of_a_clear_case():
    decay = np.concatenate([np.full(50, 0.9), np.linspace(0.95, 1.05, 40), np.linspace(3.8, 4.2, 20)])
    anisotropy = np.repeat([0.7, 0.1], [50, 60])
    tissues = segment(decay, anisotropy)
    assert set(tissues.wm) == set(range(50))
    assert tissues.gm.size and set(tissues.gm) <= set(range(50, 90))
    assert tissues.csf.size and set(tissues.csf) <= set(range(90, 110))


def test_a_voxel_without_signal_is_in_no_tissue():
    block = tissue_block(SEVERAL, snr=60)
    block.signal[0, SEVERAL.b0_volumes] = 0.0
    _, voxels = estimate_multi_tissue(block.signal, SEVERAL)
    assert all(0 not in rows for rows in voxels)


def test_erosion_spares_the_border_of_the_volume_and_small_masks():
    assert eroded(np.ones((5, 5, 5), dtype=bool)).all()
    ball = np.sum((np.indices((25, 25, 25)) - 12) ** 2, axis=0) < 11.5**2
    assert 0.25 * ball.sum() <= eroded(ball).sum() < 0.6 * ball.sum()
    line = np.zeros((9, 9, 9), dtype=bool)
    line[4, 4] = True
    assert np.array_equal(eroded(line), line)
