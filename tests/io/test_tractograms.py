"""Streamlines come out in scanner millimetres, whatever the file's own frame."""

import nibabel as nib
import numpy as np
import pytest
from nibabel.streamlines import Field, Tractogram

from shd.errors import ScanError
from shd.io.tractograms import read_streamlines
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


@pytest.mark.parametrize("name", ["oblique", "LAS"])
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
    whole = saved(tmp_path / "b.tck", LINES, AFFINES["RAS"])
    whole.write_bytes(whole.read_bytes()[:-30])
    with pytest.raises(ScanError, match=r"b\.tck"):
        read_streamlines(whole)


def test_a_tractogram_without_streamlines_is_refused(tmp_path):
    with pytest.raises(ScanError, match="0 streamlines"):
        read_streamlines(saved(tmp_path / "a.tck", [], AFFINES["RAS"]))
