"""Streamlines go in and come out in scanner millimetres, whatever the file's own frame."""

import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest
from nibabel.streamlines import Field, Tractogram

from shd.errors import OutputError, ScanError
from shd.evaluation.tractogram_scores import Streamlines
from shd.io.tractograms import TRACTOGRAM_ENDINGS, read_streamlines, write_streamlines
from tests.support.affines import AFFINES

LINES = [np.array([[1.0, 2.0, 3.0], [4.0, 5.5, 6.0], [7.0, 7.0, 7.0]]), np.array([[0.0, -3.0, 2.0], [1.0, 1.0, 1.0]])]


def saved(path, lines, affine):
    header = {
        Field.VOXEL_TO_RASMM: affine,
        Field.VOXEL_SIZES: np.linalg.norm(affine[:3, :3], axis=0),
        Field.DIMENSIONS: (20, 20, 20),
        Field.VOXEL_ORDER: "".join(nib.aff2axcodes(affine)),
    }
    nib.streamlines.save(Tractogram(lines, affine_to_rasmm=np.eye(4)), str(path), header=header)
    return path


@pytest.mark.parametrize("name", AFFINES)
@pytest.mark.parametrize("ending", ["tck", "trk"])
def test_points_are_scanner_millimetres(tmp_path, ending, name):
    streamlines = read_streamlines(saved(tmp_path / f"a.{ending}", LINES, AFFINES[name]))
    assert streamlines.lengths.tolist() == [3, 2] and streamlines.offsets.tolist() == [0, 3, 5]
    np.testing.assert_allclose(streamlines.points, np.concatenate(LINES), atol=1e-5)


def test_files_that_are_no_tractograms_are_refused(tmp_path):
    with pytest.raises(ScanError, match="no such file"):
        read_streamlines(tmp_path / "a.tck")
    (tmp_path / "a.txt").write_text("1 2 3")
    with pytest.raises(ScanError, match=r"a\.txt: not a readable tractogram"):
        read_streamlines(tmp_path / "a.txt")


def test_a_tractogram_without_streamlines_is_refused(tmp_path):
    with pytest.raises(ScanError, match="0 streamlines"):
        read_streamlines(saved(tmp_path / "a.tck", [], AFFINES["RAS"]))


GIVEN = Streamlines(np.concatenate(LINES).astype(np.float32), np.array([3, 2]))
SHAPE = (20, 21, 22)
endings = pytest.mark.parametrize("ending", TRACTOGRAM_ENDINGS)


@endings
@pytest.mark.parametrize("name", AFFINES)
def test_what_is_written_is_read(tmp_path, name, ending):
    path = tmp_path / f"a{ending}"
    write_streamlines(path, GIVEN, AFFINES[name], SHAPE)
    read = read_streamlines(path)
    assert read.lengths.tolist() == [3, 2]
    np.testing.assert_allclose(read.points, GIVEN.points, atol=1e-4)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", AFFINES)
@pytest.mark.parametrize("ending", [".tck", ".trk"])
def test_nibabel_reads_ours(tmp_path, name, ending):
    path = tmp_path / f"a{ending}"
    write_streamlines(path, GIVEN, AFFINES[name], SHAPE)
    theirs = nib.streamlines.load(path)
    for line, given in zip(theirs.streamlines, LINES, strict=True):
        np.testing.assert_allclose(line, given, atol=1e-4)
    if ending == ".trk":
        np.testing.assert_allclose(theirs.header[Field.VOXEL_TO_RASMM], AFFINES[name], atol=1e-5)
        assert theirs.header[Field.DIMENSIONS].tolist() == list(SHAPE)


@pytest.mark.mrtrix
@pytest.mark.skipif(shutil.which("tckinfo") is None, reason="MRtrix3 programs are not installed")
def test_tckinfo_reads_ours(tmp_path):
    write_streamlines(tmp_path / "a.tck", GIVEN, AFFINES["oblique"], SHAPE, {"step_size": "0.75"})
    told = subprocess.run(["tckinfo", "-count", tmp_path / "a.tck"], capture_output=True, text=True, check=True).stdout
    assert "actual count in file: 2" in told and "step_size:" in told and "0.75" in told and "generator:" in told
    converted = ["tckconvert", tmp_path / "a.tck", tmp_path / "a[].txt", "-quiet"]
    subprocess.run(converted, check=True, capture_output=True)
    np.testing.assert_allclose(np.loadtxt(tmp_path / "a0000000.txt"), LINES[0], atol=1e-4)


@endings
def test_equal_streamlines_are_equal_bytes(tmp_path, ending):
    for name in ("a", "b"):
        write_streamlines(tmp_path / f"{name}{ending}", GIVEN, AFFINES["LAS"], SHAPE)
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(OutputError, match=r"a\.vtk: ends in \.vtk; give \.trx, \.tck, \.trk"):
        write_streamlines(tmp_path / "a.vtk", GIVEN, AFFINES["RAS"], SHAPE)
    with pytest.raises(OutputError, match=r"40000 voxels along an axis, but \.trk holds 32767"):
        write_streamlines(tmp_path / "a.trk", GIVEN, AFFINES["RAS"], (40000, 2, 2))
    with pytest.raises(OutputError, match="cannot write in"):
        write_streamlines(tmp_path / "none" / "a.tck", GIVEN, AFFINES["RAS"], SHAPE)
    assert list(tmp_path.iterdir()) == []


@endings
@pytest.mark.parametrize("lost", [1, 5, 12, 30, 31, 150])
def test_a_file_cut_short_is_refused_with_its_bytes(tmp_path, ending, lost):
    """By any number of them: in a point, between points, and (30, .trk) between streamlines."""
    path = tmp_path / f"a{ending}"
    write_streamlines(path, GIVEN, AFFINES["RAS"], SHAPE)
    whole = path.read_bytes()
    lost = 28 if (ending, lost) == (".trk", 30) else lost
    if ending != ".trx" and lost == 150:
        pytest.skip("in the header")
    path.write_bytes(whole[:-lost])
    size = f"{len(whole) - lost:,} bytes"
    says = f": {size} there, more than" if ending == ".trx" else f" or damaged: its {size} hold . of 2 streamlines"
    with pytest.raises(ScanError, match=rf"a\{ending}: cut short{says}") as error:
        read_streamlines(path)
    if ending == ".tck":
        assert f"hold {2 if lost <= 24 else 1} of 2" in str(error.value)


def test_a_trx_says_how_many_bytes_are_expected(tmp_path):
    write_streamlines(tmp_path / "a.trx", GIVEN, AFFINES["RAS"], SHAPE)
    (tmp_path / "a.trx").write_bytes((tmp_path / "a.trx").read_bytes()[:400])
    with pytest.raises(ScanError, match=r"a\.trx: cut short: 400 bytes there, more than \d+ expected; copy it again"):
        read_streamlines(tmp_path / "a.trx")


def test_a_trx_that_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.trx").write_bytes(b"no archive")
    with pytest.raises(ScanError, match=r"a\.trx: not a readable tractogram"):
        read_streamlines(tmp_path / "a.trx")
