"""The folder of a phantom: what is written is what is read, in the frames that other programs expect."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest

from shd.errors import ScanError, SimulationError
from shd.evaluation.truth import Truth
from shd.io.geometry import geometry_of
from shd.io.phantoms import read_truth, write_phantom
from shd.io.responses import read_response
from shd.io.scans import read_scan
from shd.simulation import crossing_phantom, single_bundle, tangle_phantom
from shd.simulation.phantoms import Measurement, simulate
from shd.simulation.protocols import CLINICAL
from tests.support.affines import AFFINES

FILES = {"dwi.nii.gz", "dwi.bval", "dwi.bvec", "mask.nii.gz", "wm.txt", "gm.txt", "csf.txt", "simulation.json"}
TRUTH = {
    "fod.nii.gz", "peaks.nii.gz", "bundle_index.nii.gz", "tissues.nii.gz", "noise_free.nii.gz", "bundles.nii.gz",
    "endpoints.nii.gz", "connections.csv",
}  # fmt: skip


@pytest.fixture(scope="module")
def phantom():
    return tangle_phantom(4, extent_mm=24.0, voxel_mm=3.0, protocol=CLINICAL, seed=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, phantom):
    place = tmp_path_factory.mktemp("phantom")
    write_phantom(place, phantom, {"what": "tangle"})
    return place


def test_every_file_is_there(folder):
    assert {path.name for path in folder.iterdir() if path.suffix != ".json"} == FILES - {"simulation.json"} | {"truth"}
    assert {path.name for path in (folder / "truth").iterdir() if path.suffix != ".json"} == TRUTH
    assert (folder / "simulation.json").exists()


def test_truth_read_is_the_truth_written(folder, phantom):
    expected = Truth.of(phantom)
    for given in (folder, folder / "truth"):
        found = read_truth(given)
        np.testing.assert_allclose(found.directions, expected.directions, atol=1e-6)
        np.testing.assert_allclose(found.fractions, expected.fractions, atol=1e-6)
        np.testing.assert_allclose(found.tissue_fractions, expected.tissue_fractions, atol=1e-6)
        for name in ("bundles", "fods", "endpoints", "affine", "mask"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("name", AFFINES)
def test_scan_read_is_the_scan_written_whatever_the_affine(tmp_path, name):
    phantom = crossing_phantom(60.0, shape=(6, 5, 4), protocol=CLINICAL, affine=AFFINES[name])
    write_phantom(tmp_path, phantom)
    scan = read_scan(
        tmp_path / "dwi.nii.gz", tmp_path / "dwi.bval", tmp_path / "dwi.bvec", mask=tmp_path / "mask.nii.gz"
    )
    np.testing.assert_array_equal(scan.data, phantom.scan.data)
    np.testing.assert_allclose(scan.affine, phantom.scan.affine, atol=1e-5)
    np.testing.assert_allclose(scan.gradients.directions, phantom.scan.gradients.directions, atol=1e-6)
    for response in phantom.responses:
        read = read_response(tmp_path / f"{response.tissue}.txt", response.tissue, scan.gradients)
        np.testing.assert_allclose(read.coefficients, response.coefficients, rtol=1e-6)


def test_labels_are_whole_numbers_and_masks_are_fractions(folder, phantom):
    for name in ("bundle_index", "endpoints"):
        assert nib.load(folder / "truth" / f"{name}.nii.gz").get_data_dtype() == np.int16
    masks = nib.load(folder / "truth" / "bundles.nii.gz").get_fdata()
    assert masks.shape[-1] == 4
    np.testing.assert_allclose(masks.sum(axis=-1), phantom.tissue_fractions[..., 0], atol=1e-6)
    third = (phantom.bundles == 2).any(axis=-1)
    np.testing.assert_array_equal(masks[..., 2] > 0, third)


def test_connections_name_the_ends_and_the_volume_of_each_bundle(folder, phantom):
    with (folder / "truth" / "connections.csv").open() as file:
        rows = list(csv.DictReader(file))
    labels = nib.load(folder / "truth" / "endpoints.nii.gz").get_fdata()
    assert [row["bundle"] for row in rows] == [bundle.name for bundle in phantom.geometry.bundles]
    for row in rows:
        assert (labels == int(row["start_label"])).any()
        assert (labels == int(row["end_label"])).any()
    volume = phantom.tissue_fractions[..., 0].sum() * 27
    assert sum(float(row["volume_mm3"]) for row in rows) == pytest.approx(volume, abs=1)


def test_record_is_enough_to_make_the_phantom_again(folder, phantom):
    record = json.loads((folder / "simulation.json").read_text())
    assert record["choices"] == {"what": "tangle"}
    geometry = geometry_of(record["geometry"], record["name"])
    noise = {key: record["noise"][key] for key in ("snr", "coils", "seed", "subsamples")}
    again = simulate(
        geometry, phantom.scan.gradients, tuple(record["shape"]), np.array(record["affine"]), Measurement(**noise)
    )
    np.testing.assert_array_equal(again.scan.data, phantom.scan.data)


def test_one_bundle_is_read_with_its_fibre_axis(tmp_path):
    phantom = single_bundle(np.array([0.6, -0.48, 0.64]), np.eye(4), shape=(3, 2, 2), protocol=CLINICAL)
    write_phantom(tmp_path, phantom)
    assert read_truth(tmp_path).bundles.shape == (3, 2, 2, 1)


def test_folder_that_is_no_phantoms_is_an_error_that_names_it(tmp_path, folder):
    with pytest.raises(SimulationError, match="holds no folder truth"):
        read_truth(tmp_path)
    (tmp_path / "truth").mkdir()
    with pytest.raises(ScanError, match=r"fod\.nii\.gz: no such file"):
        read_truth(tmp_path)


def test_files_of_two_phantoms_are_an_error_with_both_shapes(tmp_path, phantom):
    write_phantom(tmp_path, phantom)
    other = np.zeros((4, 4, 4), np.int16)
    nib.save(nib.Nifti1Image(other, np.eye(4)), tmp_path / "truth" / "endpoints.nii.gz")
    with pytest.raises(
        SimulationError, match=r"endpoints\.nii\.gz has a grid of \(4, 4, 4\) but fod\.nii\.gz of \(8, 8, 8\)"
    ):
        read_truth(tmp_path)
