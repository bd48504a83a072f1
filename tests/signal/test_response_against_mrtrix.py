"""The responses of MRtrix3's own programs on the same simulated scan."""

import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from shd.io.responses import read_response, write_response
from shd.signal.response_estimation import estimate_responses
from shd.signal.response_estimation.estimate import eroded
from shd.signal.response_estimation.zonal_fit import fit_response
from shd.sphere.directions import normalised
from tests.signal.simulated_tissues import CROSSINGS, FIBRES, SHAPE, shells_gradients, tissue_block

pytestmark = [
    pytest.mark.mrtrix,
    pytest.mark.skipif(shutil.which("dwi2response") is None, reason="MRtrix3 (dwi2response) is not installed"),
]

# Rotated and mirrored, so that a frame mixed up anywhere would show.
AFFINE = np.array([[0, -2, 0, 5], [1.9, 0, -0.6, -3], [0.6, 0, 1.9, 8], [0, 0, 0, 1]], dtype=float)


def mrtrix(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True)


def save(folder: Path, name: str, values: np.ndarray) -> Path:
    path = folder / f"{name}.nii"
    nib.save(nib.Nifti1Image(values.reshape(*SHAPE, *values.shape[1:]).astype(np.float32), AFFINE), path)
    return path


def save_scan(folder: Path, block) -> tuple[Path, Path, Path]:
    grad = folder / "grad.b"
    np.savetxt(grad, np.column_stack([block.gradients.directions, block.gradients.bvalues]))
    return save(folder, "dwi", block.signal), grad, save(folder, "mask", np.ones(len(block.signal)))


def test_the_constrained_fit_equals_amp2response(tmp_path):
    block = tissue_block(shells_gradients({1000.0: 24, 2500.0: 40}), snr=20)
    dwi, grad, _ = save_scan(tmp_path, block)
    axes = normalised(np.random.default_rng(0).standard_normal((FIBRES + CROSSINGS, 3)))
    chosen = np.arange(len(block.signal)) < 5
    directions = np.zeros((len(block.signal), 3))
    directions[: len(axes)] = axes
    peaks, mask = save(tmp_path, "peaks", directions), save(tmp_path, "chosen", chosen)
    scan, out = tmp_path / "dwi.mif", tmp_path / "out.txt"
    mrtrix("mrconvert", dwi, "-grad", grad, scan)
    mrtrix("amp2response", scan, mask, peaks, out, "-lmax", "0,8,8")
    ours = fit_response("wm", block.signal[chosen], block.gradients, axes[:5])
    theirs = read_response(out, "wm", block.gradients)
    np.testing.assert_allclose(ours.coefficients, theirs.coefficients, rtol=1e-4, atol=0.05)


def test_three_tissues_agree_with_dhollander(tmp_path):
    block = tissue_block(shells_gradients({1000.0: 24, 2500.0: 40}), snr=40)
    dwi, grad, mask = save_scan(tmp_path, block)
    assert eroded(block.mask).all()
    files = [tmp_path / f"{tissue}.txt" for tissue in ("wm", "gm", "csf")]
    # 1.2 % of white matter: 0.5 % of this block would be one voxel to MRtrix, where we take no fewer than three.
    options = ["-grad", grad, "-mask", mask, "-erode", 0, "-sfwm", 1.2, "-scratch", tmp_path]
    mrtrix("dwi2response", "dhollander", dwi, *files, *options)
    ours, _ = estimate_responses(*block)
    for response, file in zip(ours, files, strict=True):
        theirs = read_response(file, response.tissue, block.gradients).coefficients
        np.testing.assert_allclose(response.coefficients[:, 0], theirs[:, 0], rtol=0.02)
        np.testing.assert_allclose(response.coefficients[1:, 1:2], theirs[1:, 1:2], rtol=0.03)


@pytest.mark.slow
def test_white_matter_agrees_with_tournier(tmp_path):
    block = tissue_block(shells_gradients({2000.0: 45}), snr=40)
    dwi, grad, mask = save_scan(tmp_path, block)
    out = tmp_path / "wm.txt"
    mrtrix("dwi2response", "tournier", dwi, out, "-grad", grad, "-mask", mask, "-number", 180, "-scratch", tmp_path)
    (ours,), _ = estimate_responses(*block)
    theirs = read_response(out, "wm", block.gradients, block.signal).coefficients
    np.testing.assert_allclose(ours.coefficients[0, 0], theirs[0, 0], rtol=0.01)
    np.testing.assert_allclose(ours.coefficients[1, :3], theirs[1, :3], rtol=0.03)


def test_what_we_write_serves_dwi2fod(tmp_path):
    block = tissue_block(shells_gradients({1000.0: 24, 2500.0: 40}), snr=40)
    dwi, grad, _ = save_scan(tmp_path, block)
    few = save(tmp_path, "few", np.arange(len(block.signal)) < 40)
    outputs: list[Path] = []
    for response in estimate_responses(*block)[0]:
        write_response(tmp_path / f"{response.tissue}.txt", response)
        outputs += [tmp_path / f"{response.tissue}.txt", tmp_path / f"{response.tissue}.nii"]
    mrtrix("dwi2fod", "msmt_csd", dwi, *outputs, "-grad", grad, "-mask", few)
    l0 = nib.load(tmp_path / "wm.nii").get_fdata()[..., 0].reshape(-1)
    # "Per response": a voxel of one fibre has unit volume, which is an l=0 coefficient of 1/√4π.
    assert np.median(l0[:40]) == pytest.approx(1 / np.sqrt(4 * np.pi), rel=0.05)
