"""The methods without training: in the right frame and unit, and the programs' own answer."""

from dataclasses import replace

import numpy as np
import pytest
from dipy.core.gradients import gradient_table as dipy_table
from dipy.data import get_sphere
from dipy.reconst.rumba import RumbaSDModel

from benchmarks.deconvolvers.methods import METHODS, MethodError, chosen_methods, separable
from benchmarks.deconvolvers.mrtrix import RivalError, multi_tissue_deconvolution
from benchmarks.deconvolvers.multi_tissue import dipy_multi_tissue_deconvolution
from benchmarks.deconvolvers.richardson_lucy import richardson_lucy
from benchmarks.deconvolvers.training import Budget
from shd.errors import ResponseError
from shd.fodf.peaks import find_peaks
from shd.signal.compartments import ball, zeppelin, zonal_coefficients
from shd.signal.response import Response
from shd.simulation import crossing_phantom, single_bundle
from shd.simulation.protocols import CLINICAL, HARDI, RESEARCH
from shd.sphere.directions import axial_angle
from shd.sphere.harmonics import even_harmonics
from tests.support.affines import AFFINES

AXIS = np.array([0.6, -0.48, 0.64])
CLASSICAL = [key for key, method in METHODS.items() if method.rival]


def runnable(key):
    reason = METHODS[key].missing()
    if reason is not None:
        pytest.skip(reason)
    return METHODS[key]


@pytest.mark.parametrize("key", CLASSICAL)
@pytest.mark.parametrize("affine", ["oblique", "permuted"])
def test_peak_and_amount_of_a_bundle_whatever_the_affine(key, affine):
    """The second affine has a negative determinant."""
    phantom = single_bundle(AXIS, AFFINES[affine], shape=(2, 2, 2))
    field = runnable(key).run(phantom.scan, phantom.responses, Budget(steps=1))
    peaks = find_peaks(field.wm[1, 1], count=1)
    assert axial_angle(peaks.directions[0].astype(np.float64), AXIS) < 1.0
    assert field.wm[1, 1, 1, 0] * np.sqrt(4 * np.pi) == pytest.approx(1.0, abs=0.05)
    assert field.wm.dtype == np.float32
    assert np.array_equal(field.affine, AFFINES[affine])


@pytest.mark.parametrize("key", ["dipy-csd", "mrtrix-csd", "mrtrix-msmt", "dipy-msmt", "rumba-sd"])
@pytest.mark.parametrize("protocol", [HARDI, CLINICAL], ids=lambda protocol: protocol.name)
def test_single_shells(key, protocol):
    phantom = single_bundle(AXIS, AFFINES["LAS"], shape=(2, 2, 2), protocol=protocol)
    responses = separable(phantom.responses, phantom.scan.gradients)
    field = runnable(key).run(phantom.scan, responses, Budget(steps=1))
    assert axial_angle(find_peaks(field.wm[0, 0], count=1).directions[0].astype(np.float64), AXIS) < 1.0


@pytest.mark.parametrize("key", ["dipy-msmt", "mrtrix-msmt", "rumba-sd", "rumba-tv"])
def test_amounts_of_the_isotropic_tissues(key):
    """Where a voxel is one tissue, its amount is one over √4π and the other's nothing."""
    phantom = crossing_phantom(90.0, shape=(10, 10, 4), snr=None)
    expected = phantom.tissue_fractions[..., 1:]
    pure = np.zeros(phantom.scan.shape, dtype=bool)
    for tissue in range(3):
        voxels = np.argwhere(phantom.tissue_fractions[..., tissue] > 0.999)[:3]
        assert len(voxels) == 3
        pure[tuple(voxels.T)] = True
    field = runnable(key).run(replace(phantom.scan, mask=pure), phantom.responses, Budget(steps=1))
    found = np.stack([field.isotropic["gm"], field.isotropic["csf"]], axis=-1) * np.sqrt(4 * np.pi)
    # RUMBA's iterations have not quite come to their end after 600
    np.testing.assert_allclose(found[pure], expected[pure], atol=0.08)


def test_outside_the_mask_is_zero():
    phantom = crossing_phantom(60.0, shape=(4, 4, 2))
    mask = np.zeros((4, 4, 2), dtype=bool)
    mask[1:3, 1:3] = True
    scan = replace(phantom.scan, mask=mask)
    for key in ("dipy-csd", "dipy-msmt", "rumba-tv"):
        if METHODS[key].missing() is None:
            field = METHODS[key].run(scan, phantom.responses, Budget(steps=1))
            assert field.wm[mask].any(axis=-1).all()
            assert not field.wm[~mask].any()


@pytest.mark.mrtrix
@pytest.mark.parametrize("degree", [8, 12])
def test_both_programs_solve_the_same_multi_tissue_problem(degree):
    """DIPY's solver ends earlier and its constraints lie elsewhere: equal to a few percent of the largest value."""
    for key in ("dipy-msmt", "mrtrix-msmt"):
        runnable(key)
    phantom = crossing_phantom(75.0, shape=(2, 2, 2), snr=50.0)
    ours = dipy_multi_tissue_deconvolution(phantom.scan, phantom.responses, degree=degree)
    theirs = multi_tissue_deconvolution(phantom.scan, phantom.responses, degree=degree)
    assert np.abs(ours.wm - theirs.wm).mean() < 0.02 * np.abs(theirs.wm).max()
    for tissue in ("gm", "csf"):
        np.testing.assert_allclose(ours.isotropic[tissue], theirs.isotropic[tissue], atol=0.02)


def test_white_matter_alone_is_no_multi_tissue_problem():
    phantom = single_bundle(AXIS, AFFINES["RAS"], shape=(1, 1, 1))
    with pytest.raises(ResponseError, match="1 response"):
        dipy_multi_tissue_deconvolution(phantom.scan, phantom.responses[:1])


def tensor_responses(bvalues, parallel, perpendicular):
    """Return the responses of DIPY's own kernel: a tensor, and two free diffusivities."""
    rows = [
        zonal_coefficients(lambda c, b=b: zeppelin(np.full_like(c, b), c, parallel, perpendicular), 20) for b in bvalues
    ]
    balls = [np.sqrt(4 * np.pi) * ball(bvalues, d)[:, None] for d in (0.8e-3, 3.0e-3)]
    return (
        Response("wm", bvalues, np.stack(rows)),
        Response("gm", bvalues, balls[0]),
        Response("csf", bvalues, balls[1]),
    )


@pytest.mark.parametrize("variation", [False, True])
def test_richardson_lucy_is_dipys_own_where_the_responses_are_tensors(variation):
    phantom = crossing_phantom(60.0, shape=(4, 4, 2), protocol=RESEARCH, snr=30.0)
    scan = phantom.scan
    bvalues = np.array([shell.bvalue for shell in scan.gradients.shells])
    responses = tensor_responses(bvalues, 1.7e-3, 0.3e-3)
    table = dipy_table(scan.gradients.bvalues, bvecs=scan.gradients.directions, b0_threshold=50)
    model = RumbaSDModel(
        table, wm_response=np.array([1.7e-3, 0.3e-3, 0.3e-3]), gm_response=0.8e-3, csf_response=3.0e-3,
        n_iter=100, voxelwise=False, use_tv=variation,
    )  # fmt: skip
    theirs = model.fit(np.asarray(scan.data, dtype=np.float64), mask=scan.mask)
    ours = richardson_lucy(scan, responses, variation=variation, degree=12, smoothing_degrees=0.0, iterations=100)
    b0 = scan.data[..., scan.gradients.b0_volumes].mean(axis=-1)
    expected = theirs.odf() @ even_harmonics(get_sphere(name="repulsion724").vertices, 12) * b0[..., None]
    # half the vertices: the start gives the isotropic tissues a larger share, which the iterations forget
    assert np.abs(ours.wm - expected).max() < 0.03 * np.abs(expected).max()
    amount = ours.isotropic["gm"] * np.sqrt(4 * np.pi)
    np.testing.assert_allclose(amount, theirs.f_gm * b0, atol=0.05 * b0.max())


def test_tissues_that_the_shells_can_tell_apart():
    for protocol, tissues in ((RESEARCH, ["wm", "gm", "csf"]), (HARDI, ["wm", "csf"])):
        phantom = single_bundle(AXIS, AFFINES["RAS"], shape=(1, 1, 1), protocol=protocol)
        assert [r.tissue for r in separable(phantom.responses, phantom.scan.gradients)] == tissues


def test_unknown_methods_are_refused_and_missing_ones_explained(monkeypatch):
    with pytest.raises(MethodError, match="no method nonsense; there are: dipy-csd"):
        chosen_methods(["dipy-csd", "nonsense"])
    monkeypatch.setenv("PATH", "")
    present, missing = chosen_methods(["mrtrix-msmt", "dipy-csd"])
    assert list(present) == ["dipy-csd"]
    assert "dwi2fod is not on the PATH" in missing["mrtrix-msmt"]


@pytest.mark.mrtrix
def test_what_mrtrix_says_when_it_fails_is_told():
    runnable("mrtrix-msmt")
    phantom = single_bundle(AXIS, AFFINES["RAS"], shape=(1, 1, 1))
    with pytest.raises(RivalError, match=r"dwi2fod msmt_csd .* exit 1"):
        multi_tissue_deconvolution(phantom.scan, phantom.responses, degree=7)
