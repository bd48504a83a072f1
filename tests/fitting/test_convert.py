"""Conversions: exact and both ways; what is not said is stated, guessed, or refused."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from shd.errors import FormatError, OutputError, ScanError, SettingsError, ShdWarning
from shd.fitting.convert import convert_harmonics, convert_peaks
from shd.fodf.peaks import Peaks, find_peaks
from shd.io.fodf import read_fod, write_fod
from shd.io.peak_layouts import LAYOUTS, read_laid_out, write_laid_out
from shd.simulation import crossing_phantom
from shd.simulation.protocols import Protocol
from shd.simulation.true_fods import true_fods
from shd.sphere.bases import DIPY_BASES
from shd.sphere.directions import normalised
from shd.sphere.harmonics import even_harmonics, gaussian_factors
from shd.sphere.rotations import grid_rotation
from tests.interop.known_fods import GRIDS, scattered_fibres

AFFINE = GRIDS["oblique LAS"]


@pytest.fixture(scope="module")
def bundles():
    """Fibres that turn with the place, as a bundle does, in many directions: fODFs of degree 8, scanner axes."""
    place = np.stack(np.indices((16, 16, 14)), axis=-1) - np.array([7.5, 7.5, 6.5])
    fields = np.zeros((16, 16, 14, 45))
    for normal, centre in (((1.0, -0.7, 2.2), (0, 0, 2)), ((2.0, 1.5, -0.6), (1, -1, -2))):
        axis = normalised(np.array([normal]))[0]
        radial = place - centre - ((place - centre) @ axis)[..., None] * axis
        radius = np.linalg.norm(radial, axis=-1)
        ring = (np.abs(radius - 5.5) < 1.5) & (np.abs((place - centre) @ axis) < 1.5)
        tangent = normalised(np.cross(axis, radial))[ring] @ grid_rotation(AFFINE).T
        fields[ring] += even_harmonics(tangent, 8) * gaussian_factors(8, 10.0)
    return fields.astype(np.float32)


@pytest.fixture
def fods(tmp_path, bundles):
    write_fod(tmp_path / "fod.nii.gz", bundles, AFFINE, metadata={"NonNegativity": "soft"})
    return tmp_path / "fod.nii.gz"


def bare(path):
    """The same image without its sidecar."""
    copy = path.with_name("bare_" + path.name)
    shutil.copy(path, copy)
    return copy


@pytest.mark.parametrize("basis", DIPY_BASES)
@pytest.mark.parametrize("axes", ["scanner", "voxel"])
@pytest.mark.parametrize("ending", [".nii.gz", ".mif"])
def test_there_and_back_by_sidecars(tmp_path, fods, bundles, basis, axes, ending):
    there = convert_harmonics(fods, tmp_path / f"there{ending}", to_basis=basis, to_axes=axes)
    assert [known.how.split(", ")[1] for known in there.known] == ["as its sidecar states"] * 2
    convert_harmonics(tmp_path / f"there{ending}", tmp_path / "back.nii")
    read, affine, sidecar = read_fod(tmp_path / "back.nii")
    np.testing.assert_allclose(read, bundles, atol=1e-6 * np.abs(bundles).max())
    np.testing.assert_allclose(affine, AFFINE, atol=1e-5)
    assert sidecar["NonNegativity"] == "soft"


@pytest.mark.parametrize("basis", DIPY_BASES)
@pytest.mark.parametrize("axes", ["scanner", "voxel"])
def test_there_and_back_by_guessing(tmp_path, fods, bundles, basis, axes):
    convert_harmonics(fods, tmp_path / "there.nii.gz", to_basis=basis, to_axes=axes)
    back = convert_harmonics(bare(tmp_path / "there.nii.gz"), tmp_path / "back.nii")
    assert [known.value for known in back.known] == [basis, axes]
    assert "guessed: single fibres are asymmetric by" in back.known[0].how
    assert "guessed: fibres lead into their like by" in back.known[1].how
    np.testing.assert_allclose(read_fod(tmp_path / "back.nii")[0], bundles, atol=1e-6 * np.abs(bundles).max())


def test_what_is_said_counts_before_the_sidecar(tmp_path, fods):
    said = convert_harmonics(fods, tmp_path / "a.nii", from_basis="descoteaux07", from_axes="voxel")
    assert said.known[0].how == "basis descoteaux07, as said" and said.old == "descoteaux07, voxel axes"


def test_by_default_axes_are_those_of_the_program(tmp_path, fods):
    assert convert_harmonics(fods, tmp_path / "a.nii", to_basis="tournier07").new == "tournier07, voxel axes"
    assert convert_harmonics(fods, tmp_path / "b.nii").new == "mrtrix3, scanner axes"


def test_a_lower_degree(tmp_path, fods, bundles):
    convert_harmonics(fods, tmp_path / "a.nii", degree=4)
    np.testing.assert_array_equal(read_fod(tmp_path / "a.nii")[0], bundles[..., :15])


def test_axes_that_cannot_be_told_are_refused_with_a_way_out(tmp_path):
    write_fod(tmp_path / "fod.nii.gz", scattered_fibres()[0], AFFINE)
    with pytest.raises(FormatError, match=r"bare_fod\.nii\.gz: its axes cannot be told: .* say --from-axes"):
        convert_harmonics(bare(tmp_path / "fod.nii.gz"), tmp_path / "a.nii")
    done = convert_harmonics(tmp_path / "bare_fod.nii.gz", tmp_path / "a.nii", from_axes="scanner")
    assert done.known[0].value == "tournier07"


def test_a_basis_that_cannot_be_told_is_refused_with_a_way_out(tmp_path):
    noise = np.random.default_rng(0).standard_normal((6, 6, 6, 45)).astype(np.float32)
    nib.save(nib.Nifti1Image(noise, AFFINE), tmp_path / "noise.nii.gz")
    with pytest.raises(FormatError, match=r"noise\.nii\.gz: its basis cannot be told: .* say --from-basis"):
        convert_harmonics(tmp_path / "noise.nii.gz", tmp_path / "a.nii")
    assert not (tmp_path / "a.nii").exists()


@pytest.mark.parametrize("wrong", [{"from_basis": "x"}, {"to_basis": "x"}, {"from_axes": "x"}, {"to_axes": "x"}])
def test_unknown_names_are_refused(tmp_path, fods, wrong):
    with pytest.raises(SettingsError, match=r"x: unknown; give one of"):
        convert_harmonics(fods, tmp_path / "a.nii", **wrong)
    with pytest.raises(SettingsError, match="layout x: unknown; give one of mrtrix, scilpy, tractseg"):
        convert_peaks(fods, tmp_path / "a.nii", to_layout="x")


def test_another_ending_is_refused(tmp_path, fods):
    with pytest.raises(OutputError, match="change the ending"):
        convert_harmonics(fods, tmp_path / "a.txt")


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mif"])
def test_an_existing_file_is_kept_unless_forced(tmp_path, fods, name):
    convert_harmonics(fods, tmp_path / name)
    before = (tmp_path / name).read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        convert_harmonics(fods, tmp_path / name, degree=2)
    assert (tmp_path / name).read_bytes() == before
    convert_harmonics(fods, tmp_path / name, degree=2, force=True)
    assert read_fod(tmp_path / name)[0].shape[-1] == 6


@pytest.fixture
def peaks(tmp_path, bundles):
    found = find_peaks(bundles.reshape(-1, 45)).on_grid(np.ones(bundles.shape[:3], bool))
    write_laid_out(tmp_path / "peaks.nii.gz", found, AFFINE, LAYOUTS["mrtrix"])
    return tmp_path / "peaks.nii.gz", found


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("ending", [".nii.gz", ".mif"])
def test_peaks_there_and_back(tmp_path, peaks, layout, ending):
    path, given = peaks
    convert_peaks(path, tmp_path / f"there{ending}", to_layout=layout)
    convert_peaks(tmp_path / f"there{ending}", tmp_path / "back.nii.gz")
    read, _, _ = read_laid_out(tmp_path / "back.nii.gz", LAYOUTS["mrtrix"])
    count = LAYOUTS[layout].count or 5
    np.testing.assert_allclose(read.amplitudes[..., :count], given.amplitudes[..., :count], rtol=1e-5)
    alike = np.abs(np.sum(read.directions * given.directions[..., : read.directions.shape[-2], :], axis=-1))
    np.testing.assert_allclose(alike[..., :count], given.amplitudes[..., :count] > 0, atol=1e-5)


@pytest.mark.parametrize("layout, guessed", [("mrtrix", "mrtrix"), ("scilpy", "scilpy"), ("tractseg", "mrtrix")])
def test_the_axes_of_peaks_are_guessed(tmp_path, peaks, layout, guessed):
    convert_peaks(peaks[0], tmp_path / "there.nii.gz", to_layout=layout)
    done = convert_peaks(bare(tmp_path / "there.nii.gz"), tmp_path / "back.nii.gz")
    assert done.known[0].value == guessed


def test_peaks_to_scilpy_write_values_too_and_keep_what_exists(tmp_path, peaks):
    done = convert_peaks(peaks[0], tmp_path / "a.nii.gz", to_layout="scilpy")
    assert sorted(path.name for path in done.files) == ["a.json", "a.nii.gz", "a_values.json", "a_values.nii.gz"]
    (tmp_path / "a.nii.gz").unlink()
    (tmp_path / "a.json").unlink()
    with pytest.raises(OutputError, match=r"a_values\.nii\.gz: exists already"):
        convert_peaks(peaks[0], tmp_path / "a.nii.gz", to_layout="scilpy")


def test_a_phantoms_fods_are_told_in_their_basis_and_axes(tmp_path):
    phantom = crossing_phantom(60.0, shape=(18, 18, 8), protocol=Protocol("m", 1, ((1000.0, 6),)), affine=AFFINE)
    write_fod(tmp_path / "fod.nii.gz", true_fods(phantom).astype(np.float32), AFFINE)
    convert_harmonics(tmp_path / "fod.nii.gz", tmp_path / "d.nii.gz", to_basis="descoteaux07_legacy")
    guessed = convert_harmonics(bare(tmp_path / "d.nii.gz"), tmp_path / "back.nii.gz")
    assert guessed.old == "descoteaux07_legacy, voxel axes"
    assert json.loads((tmp_path / "back.json").read_text())["OrientationEncoding"]["Reference"] == "xyz"


@pytest.mark.parametrize("layout", ["tractseg", "scilpy"])
def test_the_highest_peaks_are_kept_whatever_their_order(tmp_path, peaks, layout):
    _, given = peaks
    turned = Peaks(given.directions[..., ::-1, :].copy(), given.amplitudes[..., ::-1].copy())
    write_laid_out(tmp_path / "turned.nii", turned, AFFINE, LAYOUTS["mrtrix"])
    convert_peaks(tmp_path / "turned.nii", tmp_path / "few.nii", to_layout=layout)
    read, _, _ = read_laid_out(tmp_path / "few.nii", LAYOUTS[layout], ranked=False)
    count = LAYOUTS[layout].count
    np.testing.assert_allclose(read.amplitudes, given.amplitudes[..., :count], rtol=1e-5)


def test_unit_lengths_tell_scilpys_peaks_where_axes_cannot(tmp_path):
    """On a grid along the scanner's axes, and of scattered fibres on any; scilpy's longest peaks are 1 by default."""
    fods = scattered_fibres()[0]
    found = find_peaks(fods.reshape(-1, fods.shape[-1])).on_grid(np.ones(fods.shape[:3], bool))
    relative = Peaks(found.directions, found.amplitudes / found.amplitudes.max(axis=-1, keepdims=True))
    for affine in (np.diag([2.0, 2, 2, 1]), AFFINE):
        for name, peaks, layout in (("unit", found, "scilpy"), ("relative", relative, "mrtrix")):
            write_laid_out(tmp_path / f"{name}.nii.gz", peaks, affine, LAYOUTS[layout])
            done = convert_peaks(bare(tmp_path / f"{name}.nii.gz"), tmp_path / "back.nii.gz", force=True)
            assert done.known[0].value == "scilpy"
            assert "guessed: each voxel's longest peak has length 1" in done.known[0].how
    long = Peaks(found.directions, 0.7 * found.amplitudes)
    write_laid_out(tmp_path / "long.nii.gz", long, np.diag([2.0, 2, 2, 1]), LAYOUTS["mrtrix"])
    done = convert_peaks(bare(tmp_path / "long.nii.gz"), tmp_path / "back.nii.gz", force=True)
    assert done.known[0].value == "mrtrix"


def test_amplitudes_of_scilpys_peaks_are_found_beside_them(tmp_path, bundles):
    affine = np.diag([2.0, 2, 2, 1])
    found = find_peaks(bundles.reshape(-1, 45)).on_grid(np.ones(bundles.shape[:3], bool))
    write_laid_out(tmp_path / "there.nii.gz", found, affine, LAYOUTS["scilpy"])
    (tmp_path / "there.json").unlink()
    convert_peaks(tmp_path / "there.nii.gz", tmp_path / "back.nii.gz")
    back, _, _ = read_laid_out(tmp_path / "back.nii.gz", LAYOUTS["mrtrix"])
    np.testing.assert_allclose(back.amplitudes, found.amplitudes, rtol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_that_are_not_finite_become_zero_with_a_warning(tmp_path, bundles, value):
    spoilt = bundles.copy()
    spoilt[3, 4, 5, 7] = spoilt[0, 0, 0, 0] = value
    nib.save(nib.Nifti1Image(spoilt, AFFINE), tmp_path / "spoilt.nii.gz")
    with pytest.warns(ShdWarning, match=r"spoilt\.nii\.gz: 2 of 3584 voxels hold values that are not finite; zeros"):
        convert_harmonics(tmp_path / "spoilt.nii.gz", tmp_path / "a.nii")
    expected = bundles.copy()
    expected[3, 4, 5] = 0
    np.testing.assert_allclose(read_fod(tmp_path / "a.nii")[0], expected, atol=1e-6)


def test_of_a_folder_an_image_is_asked_for(tmp_path):
    with pytest.raises(ScanError, match=r"fit: is a folder; give one image, as .*fit/wm_fod\.nii\.gz"):
        convert_harmonics(folder(tmp_path / "fit"), tmp_path / "a.nii")
    with pytest.raises(ScanError, match=r"fit: is a folder; give one image, as .*fit/peaks\.nii\.gz"):
        convert_peaks(tmp_path / "fit", tmp_path / "a.nii")


def folder(path):
    path.mkdir()
    return path
