import json

import nibabel as nib
import numpy as np
import pytest

from shd._version import __version__
from shd.errors import OutputError, ScanError, ShdWarning
from shd.fodf.frames import to_scanner_axes
from shd.fodf.peaks import Peaks
from shd.io.fodf import read_fod, read_fod_for_dipy, write_fod, write_scalar
from shd.io.peaks import write_peaks

LAS = np.diag([-2.0, 2.0, 2.0, 1.0])


def random_fods(shape=(3, 4, 5, 45), seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("count, degree", [(1, 0), (45, 8), (91, 12)])
def test_round_trip_with_sidecar(tmp_path, count, degree):
    fods = random_fods((3, 4, 5, count))
    response = np.array([[600.0, 0.0], [296.3, -115.2]])
    metadata = {"Model": {"Description": "x"}, "ResponseFunction": {"Type": "zsh", "Coefficients": response}}
    write_fod(tmp_path / "wm.nii.gz", fods, LAS, metadata=metadata)
    read, affine, sidecar = read_fod(tmp_path / "wm.nii.gz")
    np.testing.assert_array_equal(read, fods)
    np.testing.assert_array_equal(affine, LAS)
    assert sidecar["OrientationEncoding"] == {
        "EncodingAxis": 3,
        "Reference": "xyz",
        "SphericalHarmonicBasis": "mrtrix3",
        "SphericalHarmonicDegree": degree,
        "Type": "sh",
    }
    assert sidecar["Model"] == {"Description": "x"}
    assert sidecar["ResponseFunction"]["Coefficients"] == response.tolist()
    assert sidecar["GeneratedBy"] == [{"Name": "shd", "Version": __version__}]


def test_metadata_cannot_misstate_the_basis(tmp_path):
    write_fod(tmp_path / "wm.nii", random_fods(), LAS, metadata={"OrientationEncoding": {"Reference": "ijk"}})
    assert json.loads((tmp_path / "wm.json").read_text())["OrientationEncoding"]["Reference"] == "xyz"


def test_outside_the_mask_is_zero_even_where_not_finite(tmp_path):
    fods, mask = random_fods(), np.ones((3, 4, 5), bool)
    mask[0, 1, 2], fods[0, 1, 2] = False, np.nan
    write_fod(tmp_path / "wm.nii", fods, LAS, mask)
    read = read_fod(tmp_path / "wm.nii")[0]
    assert not read[0, 1, 2].any()
    np.testing.assert_array_equal(read[mask], fods[mask])


def test_values_that_are_not_finite_become_zero_and_are_counted(tmp_path):
    fods = random_fods()
    fods[0, 0, 0, 3], fods[1, 2, 3] = np.nan, np.inf
    with pytest.warns(ShdWarning, match="2 of 60 voxels"):
        write_fod(tmp_path / "wm.nii", fods, LAS)
    assert np.isfinite(read_fod(tmp_path / "wm.nii")[0]).all()


def test_float64_and_memory_maps_are_taken(tmp_path):
    np.save(tmp_path / "fods.npy", random_fods().astype(np.float64))
    write_fod(tmp_path / "wm.nii", np.load(tmp_path / "fods.npy", mmap_mode="r"), LAS)
    np.testing.assert_array_equal(read_fod(tmp_path / "wm.nii")[0], random_fods())


def test_an_isotropic_tissue_is_an_fod_of_degree_0(tmp_path):
    volume = random_fods()[..., 0]
    write_scalar(tmp_path / "gm.nii.gz", volume, LAS, {"Description": "Grey matter"})
    assert nib.load(tmp_path / "gm.nii.gz").shape == (3, 4, 5, 1)
    read, _, sidecar = read_fod(tmp_path / "gm.nii.gz")
    np.testing.assert_array_equal(read[..., 0], volume)
    assert sidecar["OrientationEncoding"]["SphericalHarmonicDegree"] == 0


def test_44_volumes_are_refused_on_both_sides(tmp_path):
    with pytest.raises(ValueError, match="44 coefficients"):
        write_fod(tmp_path / "wm.nii", random_fods((2, 2, 2, 44)), LAS)
    nib.save(nib.Nifti1Image(random_fods((2, 2, 2, 44)), LAS), tmp_path / "other.nii")
    with pytest.raises(ScanError, match=r"44 coefficients.*is it an fODF image"):
        read_fod(tmp_path / "other.nii")


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(OutputError, match="cannot write in"):
        write_fod(tmp_path / "none" / "wm.nii", random_fods(), LAS)


def test_a_file_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(ScanError, match=r"wm\.nii: no such file"):
        read_fod(tmp_path / "wm.nii")


@pytest.mark.parametrize("key, value", [("SphericalHarmonicBasis", "descoteaux"), ("Reference", "ijk")])
def test_another_basis_or_frame_is_refused(tmp_path, key, value):
    write_fod(tmp_path / "wm.nii", random_fods(), LAS)
    sidecar = json.loads((tmp_path / "wm.json").read_text())
    sidecar["OrientationEncoding"][key] = value
    (tmp_path / "wm.json").write_text(json.dumps(sidecar))
    with pytest.raises(ScanError, match=f"{value}.*convert it"):
        read_fod(tmp_path / "wm.nii")


def test_reading_for_dipy_turns_the_functions(tmp_path):
    write_fod(tmp_path / "wm.nii", random_fods(), LAS)
    turned, affine = read_fod_for_dipy(tmp_path / "wm.nii")
    assert turned.dtype == np.float32 and not np.allclose(turned, random_fods(), atol=0.1)
    np.testing.assert_allclose(to_scanner_axes(turned, affine), random_fods(), atol=1e-5)


def test_peaks_are_no_fods(tmp_path):
    """Five peaks have 15 volumes, as many as a degree of 4."""
    peaks = Peaks(np.zeros((2, 2, 2, 5, 3)), np.zeros((2, 2, 2, 5)))
    write_peaks(tmp_path / "peaks.nii.gz", peaks, np.eye(4))
    with pytest.raises(ScanError, match="states Type 3vector, but fODFs are of type sh; give the image of fODFs"):
        read_fod(tmp_path / "peaks.nii.gz")
