import json
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest

from shd.errors import GradientError
from shd.io.gradients import qsiprep_evidence, read_fsl, read_mrtrix, read_qsiprep, write_fsl
from shd.sphere.directions import half_sphere
from tests.support.affines import AFFINES, write_table

DIRECTIONS = half_sphere(9) * np.where(np.arange(9) % 2, 1.0, -1.0)[:, None]
BVALUES = np.array([0.0] + [1000.0] * 8)


@pytest.mark.parametrize("name", AFFINES)
def test_each_convention_gives_the_scanner_directions_back(tmp_path, name):
    affine = AFFINES[name]
    for convention, reader in (("fsl", read_fsl), ("qsiprep", read_qsiprep)):
        files = write_table(convention, tmp_path / "dwi.nii.gz", BVALUES, DIRECTIONS, affine)
        values, vectors = reader(files["bval"], files["bvec"], affine)
        np.testing.assert_array_equal(values, BVALUES)
        np.testing.assert_allclose(vectors, DIRECTIONS, atol=1e-8)
    values, vectors = read_mrtrix(write_table("mrtrix", tmp_path / "dwi.nii", BVALUES, DIRECTIONS, affine)["grad"])
    np.testing.assert_allclose(vectors, DIRECTIONS, atol=1e-8)


@pytest.mark.mrtrix
@pytest.mark.skipif(shutil.which("mrinfo") is None, reason="MRtrix3's mrinfo is not installed")
@pytest.mark.parametrize("name", AFFINES)
def test_fsl_files_mean_what_mrtrix_reads(tmp_path, name):
    """The oracle: MRtrix3 turns the same pair, with the same image, into its scanner-axes table."""
    image, grad = tmp_path / "dwi.nii", tmp_path / "read.b"
    nib.save(nib.Nifti1Image(np.ones((3, 4, 5, 9), np.float32), AFFINES[name]), image)
    np.savetxt(tmp_path / "bval", BVALUES[None])
    np.savetxt(tmp_path / "bvec", DIRECTIONS.T)
    pair = [str(tmp_path / "bvec"), str(tmp_path / "bval")]
    subprocess.run(["mrinfo", str(image), "-fslgrad", *pair, "-export_grad_mrtrix", str(grad), "-quiet"], check=True)
    values, vectors = read_fsl(tmp_path / "bval", tmp_path / "bvec", AFFINES[name])
    expected_values, expected = read_mrtrix(grad)
    np.testing.assert_allclose(vectors[1:], expected[1:], atol=2e-6)
    np.testing.assert_allclose(values, expected_values, atol=1e-3)


def test_transposed_and_comma_separated_files(tmp_path):
    np.savetxt(tmp_path / "bval", BVALUES)
    np.savetxt(tmp_path / "bvec", DIRECTIONS, delimiter=", ")
    vectors = read_fsl(tmp_path / "bval", tmp_path / "bvec", AFFINES["LPS"])[1]
    np.testing.assert_allclose(vectors, DIRECTIONS * [1, -1, 1])


def test_three_volumes_are_read_in_rows(tmp_path):
    """A 3 × 3 file has no other clue: FSL's layout, one row an axis."""
    (tmp_path / "bval").write_text("0 1000 1000\n")
    (tmp_path / "bvec").write_text("0 1 0\n0 0 0.6\n0 0 0.8\n")
    np.testing.assert_allclose(
        read_fsl(tmp_path / "bval", tmp_path / "bvec", AFFINES["LAS"])[1], [[0, 0, 0], [-1, 0, 0], [0, 0.6, 0.8]]
    )


def test_header_lines_and_byte_order_mark_are_skipped(tmp_path):
    text = "\ufeff# command_history: mrconvert\n0 0 0 0\n0 nan 1 1000\n"
    (tmp_path / "dwi.b").write_text(text, encoding="utf-8")
    values, vectors = read_mrtrix(tmp_path / "dwi.b")
    assert values.tolist() == [0, 1000] and np.isnan(vectors[1, 1])


@pytest.mark.parametrize(
    ("bval", "bvec", "message"),
    [
        ("0 1000", "0 1 0\n0 0 1\n0 0 0", r"2 b-values \(bval\) but 3 directions \(bvec\)"),
        ("0 1000\n0 1000\n0 1", "0 1\n0 0\n0 0", "3 rows of 2 b-values"),
        ("0 1000", "0 1\n0 0", "2 rows of 2 numbers; FSL has 3 rows"),
        ("0 1000", "0 1\n0 0 0\n0 0", r"rows of \[2, 3\] numbers"),
        ("0 many", "0 1\n0 0\n0 0", "not a table of numbers"),
        ("", "0 1\n0 0\n0 0", "rows of no numbers"),
    ],
)
def test_broken_files_are_named(tmp_path, bval, bvec, message):
    (tmp_path / "bval").write_text(bval)
    (tmp_path / "bvec").write_text(bvec)
    with pytest.raises(GradientError, match=message):
        read_fsl(tmp_path / "bval", tmp_path / "bvec", np.eye(4))


def test_missing_file_and_wrong_columns(tmp_path):
    with pytest.raises(GradientError, match="no such file"):
        read_mrtrix(tmp_path / "none.b")
    (tmp_path / "dwi.b").write_text("0 0 0\n")
    with pytest.raises(GradientError, match="3 numbers a row but 4"):
        read_mrtrix(tmp_path / "dwi.b")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"GeneratedBy": [{"Name": "fMRIPrep"}, {"Name": "QSIPrep"}]}, True),
        ({"GeneratedBy": [{"Name": "qsiprep"}]}, True),
        ({"PipelineDescription": {"Name": "qsiprep"}}, True),
        ({"GeneratedBy": [{"Name": "dcm2niix"}], "Note": "for qsiprep"}, False),
        (["qsiprep"], False),
    ],
)
@pytest.mark.parametrize("place", ["dwi.json", "../../dataset_description.json"])
def test_qsiprep_is_recognised_by_generated_by(tmp_path, content, found, place):
    image = tmp_path / "sub-01" / "dwi" / "dwi.nii.gz"
    image.parent.mkdir(parents=True)
    (image.parent / place).write_text(json.dumps(content))
    assert (qsiprep_evidence(image) is not None) is found


def test_only_the_nearest_dataset_counts(tmp_path):
    """A raw data set inside a QSIPrep folder is not QSIPrep's."""
    (tmp_path / "dataset_description.json").write_text('{"GeneratedBy": [{"Name": "QSIPrep"}]}')
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "dataset_description.json").write_text('{"Name": "raw"}')
    (raw / "dwi.json").write_text("not json")
    assert qsiprep_evidence(raw / "dwi.nii") is None


def test_exchanged_files_are_said(tmp_path):
    write_fsl(tmp_path / "a.bval", tmp_path / "a.bvec", np.array([0.0, 1000, 1000, 1000]), np.eye(4, 3), np.eye(4))
    with pytest.raises(GradientError, match=r"a\.bvec: 3 rows of 4 numbers, and .*a\.bval: 1 of 4; bval and bvec seem"):
        read_fsl(tmp_path / "a.bvec", tmp_path / "a.bval", np.eye(4))
