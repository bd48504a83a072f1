"""The acceptance matrix once more, through every export and back: the direction stays within one degree."""

import gzip
import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from dipy.data import get_sphere
from dipy.io.peaks import load_pam
from dipy.tracking.local_tracking import LocalTracking
from dipy.tracking.stopping_criterion import BinaryStoppingCriterion
from scipy.io import loadmat

from shd.fodf.encoding import Encoding, conversion_matrix
from shd.fodf.peaks import find_peaks
from shd.io.fib import read_fib
from shd.io.fixel_folder import read_fixels
from shd.io.fodf import read_fod
from shd.io.harmonics import read_harmonics, stated_encoding
from shd.io.peak_layouts import LAYOUTS, read_laid_out
from shd.sphere.directions import normalised
from tests.interop.matrix import SHAPE, TRUTH, WITHIN, cells, farthest, farthest_tangent, run_mrtrix, to_truth

installed = pytest.mark.skipif(shutil.which("mrconvert") is None, reason="MRtrix3 programs are not installed")


def highest(coefficients):
    return find_peaks(coefficients.reshape(-1, coefficients.shape[-1]), count=1).directions


def in_scanner_axes(directions, affine):
    return directions @ normalised(affine[:3, :3].T)


@cells
def test_fods_in_nifti_and_mif(exports, affine, convention):
    folder = exports(affine, convention)
    nifti, mif = (read_fod(folder / name) for name in ("wm_fod.nii.gz", "wm_fod.mif"))
    np.testing.assert_array_equal(mif[0], nifti[0])
    np.testing.assert_allclose(mif[1], nifti[1], atol=1e-5)
    assert farthest(highest(mif[0])) < WITHIN


@cells
@pytest.mark.mrtrix
@installed
def test_mrtrix_reads_the_mif_as_it_reads_the_nifti(exports, tmp_path, affine, convention):
    folder = exports(affine, convention)
    run_mrtrix("mrconvert", folder / "wm_fod.mif", tmp_path / "back.nii")
    ours, theirs = nib.load(folder / "wm_fod.nii.gz"), nib.load(tmp_path / "back.nii")
    np.testing.assert_allclose(theirs.affine, ours.affine, atol=1e-4)
    np.testing.assert_array_equal(np.asarray(theirs.dataobj), np.asarray(ours.dataobj))


@cells
def test_fixels(exports, affine, convention):
    fixels, inside, _ = read_fixels(exports(affine, convention) / "fixels")
    assert inside.all()
    assert farthest(fixels.table(fixels.directions, 1)) < WITHIN


@cells
@pytest.mark.mrtrix
@installed
def test_mrtrix_reads_the_fixels(exports, tmp_path, affine, convention):
    folder = exports(affine, convention) / "fixels"
    run_mrtrix("fixel2peaks", "-number", 1, folder, tmp_path / "peaks.nii")
    found = np.asarray(nib.load(tmp_path / "peaks.nii").dataobj)
    assert farthest(normalised(found)) < WITHIN


@cells
@pytest.mark.parametrize("layout", LAYOUTS)
def test_peak_images(exports, layout, affine, convention):
    path = exports(affine, convention) / f"peaks_{layout}.nii.gz"
    peaks, _, _ = read_laid_out(path, LAYOUTS[layout])
    assert farthest(peaks.directions[..., 0, :]) < WITHIN
    image = nib.load(path)  # and by hand, as a program of that convention does
    vectors = normalised(np.nan_to_num(np.asarray(image.dataobj)[..., :3].astype(float)))
    assert farthest(in_scanner_axes(vectors, image.affine) if layout == "scilpy" else vectors) < WITHIN


@cells
@pytest.mark.filterwarnings("ignore:Using EuDXDirectionGetter:DeprecationWarning")  # DIPY 1.11 knows no other
def test_pam5_by_dipys_loader_and_its_eudx_tracking(exports, affine, convention):
    """EuDX steps along vertices of the sphere, so that its tangents are as near as the nearest vertex is."""
    folder = exports(affine, convention)
    pam = load_pam(str(folder / "wm.pam5"))
    assert farthest(in_scanner_axes(pam.peak_dirs[..., 0, :], pam.affine)) < WITHIN
    told = Encoding(*stated_encoding(json.loads((folder / "wm_pam5.json").read_text()), "wm_pam5.json"))
    matrix = conversion_matrix(12, told, Encoding("mrtrix3", "scanner"), pam.affine)
    assert farthest(highest((pam.shm_coeff @ matrix.T).astype(np.float32))) < WITHIN
    seeds = np.array([[1.6, 1.7, 1.5]]) @ pam.affine[:3, :3].T + pam.affine[:3, 3]
    lines = LocalTracking(pam, BinaryStoppingCriterion(np.ones(SHAPE, bool)), seeds, pam.affine, step_size=0.5)
    nearest = to_truth(in_scanner_axes(get_sphere(name="repulsion724").vertices, pam.affine)).min()
    assert farthest_tangent(list(lines), least=1) < nearest + WITHIN


@cells
def test_harmonics_for_dipy(exports, affine, convention):
    path = exports(affine, convention) / "wm_fod_descoteaux07_legacy.nii.gz"
    coefficients, grid, sidecar = read_harmonics(path)
    told = Encoding(*stated_encoding(sidecar, path.name))
    assert told == Encoding("descoteaux07_legacy", "voxel")
    matrix = conversion_matrix(12, told, Encoding("mrtrix3", "scanner"), grid)
    assert farthest(highest((coefficients @ matrix.T).astype(np.float32))) < WITHIN


@cells
def test_samples_are_highest_beside_the_direction(exports, affine, convention):
    folder = exports(affine, convention)
    image = nib.load(folder / "wm_odf_repulsion724.nii.gz")
    vertices = in_scanner_axes(np.loadtxt(folder / "wm_odf_repulsion724_vertices.txt"), image.affine)
    found = np.asarray(image.dataobj).argmax(axis=-1)
    assert to_truth(vertices[found]).max() < to_truth(vertices).min() + WITHIN


@cells
def test_fib_by_matlabs_reader(exports, affine, convention):
    """As DSI Studio reads it: voxels in LPS order, directions along them; `dir0` exact, `index0` on the vertices."""
    folder = exports(affine, convention)
    grid = np.array(json.loads((folder / "wm_fib.json").read_text())["Affine"])
    assert "".join(nib.aff2axcodes(grid)) == "LPS"
    assert farthest(read_fib(folder / "wm.fib.gz", grid).directions[..., 0, :]) < WITHIN
    with gzip.open(folder / "wm.fib.gz") as file:
        held = loadmat(file)
    assert held["dimension"].tolist() == [list(SHAPE)]
    vertices = held["odf_vertices"].T.astype(float)
    half = len(vertices) // 2
    np.testing.assert_array_equal(vertices[half:], -vertices[:half])
    along = in_scanner_axes(vertices[held["index0"].ravel()], grid)
    assert to_truth(along).max() < to_truth(in_scanner_axes(vertices, grid)).min() + WITHIN
    assert np.abs(TRUTH).min() > 0.3  # so that no flipped axis could pass


@pytest.mark.mrtrix
@installed
@pytest.mark.parametrize("affine", ["oblique", "permuted"])
def test_samples_are_the_amplitudes_of_sh2amp(exports, tmp_path, affine):
    folder = exports(affine, "fsl")
    image = nib.load(folder / "wm_odf_repulsion724.nii.gz")
    some = np.arange(0, 724, 24)
    vertices = np.loadtxt(folder / "wm_odf_repulsion724_vertices.txt")[some]
    np.savetxt(tmp_path / "directions.txt", in_scanner_axes(vertices, image.affine))
    run_mrtrix("sh2amp", folder / "wm_fod.mif", tmp_path / "directions.txt", tmp_path / "amp.nii")
    ours, theirs = np.asarray(image.dataobj)[..., some], np.asarray(nib.load(tmp_path / "amp.nii").dataobj)
    np.testing.assert_allclose(ours, theirs, atol=1e-6 * np.asarray(image.dataobj).max())
