"""Images of harmonics in any basis: what the sidecar says is what the numbers are."""

import json

import nibabel as nib
import numpy as np
import pytest
from dipy.reconst.shm import sh_to_sf

from shd.errors import FormatError
from shd.fodf.encoding import AXES, OURS, Encoding
from shd.io.harmonics import read_harmonics, stated_encoding, write_harmonics
from shd.io.samples import write_samples
from shd.io.spheres import named_directions, named_sphere
from shd.sphere.bases import BASES, DIPY_BASES, dipy_arguments
from shd.sphere.harmonics import even_harmonics
from shd.sphere.rotations import grid_rotation
from tests.interop.known_fods import GRIDS

SHAPE = (3, 2, 2)


def fods(degree=8):
    count = (degree + 1) * (degree + 2) // 2
    return np.random.default_rng(0).standard_normal((*SHAPE, count)).astype(np.float32)


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("name", ["a.nii.gz", "a.mif"])
def test_what_was_written_is_stated_and_comes_back(tmp_path, basis, axes, name):
    told = Encoding(basis, axes)
    write_harmonics(tmp_path / name, fods(), GRIDS["oblique LAS"], told, metadata={"Note": "kept"})
    read, affine, sidecar = read_harmonics(tmp_path / name)
    assert Encoding(*stated_encoding(sidecar, name)) == told and sidecar["Note"] == "kept"
    write_harmonics(tmp_path / "back.nii", read, affine, OURS, told)
    np.testing.assert_allclose(read_harmonics(tmp_path / "back.nii")[0], fods(), atol=3e-6)


@pytest.mark.parametrize("basis", DIPY_BASES)
@pytest.mark.filterwarnings("ignore:The legacy:PendingDeprecationWarning")
def test_dipy_evaluates_the_function_in_voxel_axes(tmp_path, basis):
    write_harmonics(tmp_path / "a.nii", fods(), GRIDS["oblique LAS"], Encoding(basis, "voxel"))
    read, affine, _ = read_harmonics(tmp_path / "a.nii")
    sphere, (name, legacy) = named_sphere("repulsion100"), dipy_arguments(basis)
    theirs = sh_to_sf(read, sphere, sh_order_max=8, basis_type=name, legacy=legacy)
    ours = fods() @ even_harmonics(sphere.vertices @ grid_rotation(affine).T, 8).T
    np.testing.assert_allclose(theirs, ours, atol=1e-6 * np.abs(ours).max())


def test_samples_are_the_function_at_the_vertices_listed(tmp_path):
    mask = np.ones(SHAPE, bool)
    mask[0, 0] = False
    directions = named_directions("repulsion100")
    write_samples(tmp_path / "o.nii", tmp_path / "v.txt", fods(), directions, GRIDS["oblique LAS"], mask)
    listed = np.loadtxt(tmp_path / "v.txt")
    np.testing.assert_allclose(listed, directions, atol=1e-8)
    values = np.asarray(nib.load(tmp_path / "o.nii").dataobj)
    expected = fods() @ even_harmonics(listed @ grid_rotation(GRIDS["oblique LAS"]).T, 8).T * mask[..., None]
    np.testing.assert_allclose(values, expected, atol=1e-6 * np.abs(expected).max())
    assert "rows of v.txt" in json.loads((tmp_path / "o.json").read_text())["Directions"]


def test_a_lower_degree_is_the_beginning(tmp_path):
    write_harmonics(tmp_path / "a.nii", fods(), np.eye(4), OURS)
    np.testing.assert_array_equal(read_harmonics(tmp_path / "a.nii", 4)[0], fods()[..., :15])


@pytest.mark.parametrize("degree", [3, 10, -2])
def test_a_degree_that_is_not_held_is_refused(tmp_path, degree):
    write_harmonics(tmp_path / "a.nii", fods(), np.eye(4), OURS)
    with pytest.raises(FormatError, match=f"degree {degree} is asked for but a.nii has degree 8"):
        read_harmonics(tmp_path / "a.nii", degree)


@pytest.mark.parametrize("shape, message", [((2, 2, 2, 44), "44 coefficients"), ((2, 2, 2, 3, 6), "5 axes")])
def test_what_fits_no_even_degree_is_refused(tmp_path, shape, message):
    nib.save(nib.Nifti1Image(np.ones(shape, np.float32), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(FormatError, match=f"{message}.*is it an image of even harmonics"):
        read_harmonics(tmp_path / "a.nii")


def test_what_a_sidecar_states():
    def of(**keys):
        return stated_encoding({"OrientationEncoding": keys}, "a.nii")

    assert stated_encoding({}, "a.nii") == (None, None)
    assert stated_encoding({"OrientationEncoding": "none"}, "a.nii") == (None, None)
    assert of(SphericalHarmonicBasis="MRtrix3") == ("mrtrix3", None)
    assert of(SphericalHarmonicBasis="descoteaux", Reference="ijk") == ("descoteaux07_legacy", "voxel")
    with pytest.raises(FormatError, match=r"basis legendre.*--from-basis"):
        of(SphericalHarmonicBasis="Legendre")
    with pytest.raises(FormatError, match=r"axes bvec.*--from-axes"):
        of(Reference="bvec")
