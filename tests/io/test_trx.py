"""TRX files: trx-python opens ours and we open its own, plain and packed; what is none is refused."""

import json
import stat
import zipfile

import nibabel as nib
import numpy as np
import pytest
from nibabel.streamlines import Tractogram
from trx import trx_file_memmap

from shd.evaluation.tractogram_scores import Streamlines
from shd.io.trx import read_trx, write_trx
from tests.support.affines import AFFINES

SHAPE = (11, 12, 13)
LENGTHS = np.array([3, 2, 1, 4])
POINTS = np.random.default_rng(0).uniform(-60, 90, (10, 3)).astype(np.float32)
LINES = Streamlines(POINTS, LENGTHS)


@pytest.mark.parametrize("name", AFFINES)
def test_trx_python_reads_ours(tmp_path, name):
    write_trx(tmp_path / "a.trx", LINES, AFFINES[name], SHAPE)
    theirs = trx_file_memmap.load(str(tmp_path / "a.trx"))
    np.testing.assert_array_equal(theirs.streamlines._data, POINTS)
    assert [len(line) for line in theirs.streamlines] == LENGTHS.tolist()
    np.testing.assert_allclose(theirs.header["VOXEL_TO_RASMM"], AFFINES[name], atol=1e-6)
    assert tuple(theirs.header["DIMENSIONS"]) == SHAPE
    tractogram = theirs.to_sft()
    tractogram.to_rasmm()
    np.testing.assert_allclose(np.concatenate(list(tractogram.streamlines)), POINTS, atol=1e-4)
    theirs.close()


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("positions", ["float16", "float32", "float64"])
def test_ours_reads_trx_python(tmp_path, packing, positions):
    lines = np.split(POINTS, np.cumsum(LENGTHS)[:-1])
    image = nib.Nifti1Image(np.zeros(SHAPE, np.uint8), AFFINES["oblique"])
    types = {"positions": np.dtype(positions), "offsets": np.dtype("uint32"), "dpv": {}, "dps": {}, "dpg": {}}
    theirs = trx_file_memmap.TrxFile.from_tractogram(
        Tractogram(lines, affine_to_rasmm=np.eye(4)), reference=image, dtype_dict=types
    )
    trx_file_memmap.save(theirs, str(tmp_path / "a.trx"), packing)
    theirs.close()
    read = read_trx(tmp_path / "a.trx")
    assert read.lengths.tolist() == LENGTHS.tolist() and read.points.dtype == np.float32
    np.testing.assert_allclose(read.points, POINTS, atol=0.05 if positions == "float16" else 1e-5)


def test_a_file_that_may_not_be_written_is_read(tmp_path):
    path = tmp_path / "a.trx"
    write_trx(path, LINES, AFFINES["RAS"], SHAPE)
    path.chmod(stat.S_IRUSR)
    np.testing.assert_array_equal(read_trx(path).points, POINTS)


def test_equal_streamlines_are_equal_bytes(tmp_path):
    for name in ("a.trx", "b.trx"):
        write_trx(tmp_path / name, LINES, AFFINES["RAS"], SHAPE)
    assert (tmp_path / "a.trx").read_bytes() == (tmp_path / "b.trx").read_bytes()


def rewritten(path, **changes):
    """A copy with members replaced, or left out where None."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()} | changes
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(name, content)
    return path


@pytest.fixture
def written(tmp_path):
    write_trx(tmp_path / "a.trx", LINES, AFFINES["RAS"], SHAPE)
    return tmp_path / "a.trx"


def test_early_versions_without_the_last_offset_are_read(written):
    offsets = LINES.offsets[:-1].astype("<u8").tobytes()
    assert read_trx(rewritten(written, **{"offsets.uint64": offsets})).lengths.tolist() == LENGTHS.tolist()


def test_no_streamlines_are_none(written):
    header = json.dumps({"NB_VERTICES": 0, "NB_STREAMLINES": 0})
    empty = {"header.json": header, "positions.3.float32": None, "offsets.uint64": None}
    assert len(read_trx(rewritten(written, **empty)).lengths) == 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"header.json": None}, "no header.json"),
        ({"positions.3.float32": None}, "no positions"),
        ({"positions.3.float32": POINTS[:-1].tobytes()}, "9 points in 4 lines, but its header says 10 in 4"),
        ({"offsets.uint64": LINES.offsets[1:-1].astype("<u8").tobytes()}, "10 points in 2 lines"),
        ({"offsets.uint64": np.array([0, 5, 2, 7, 10], "<u8").tobytes()}, "10 points in 4 lines"),
    ],
)
def test_what_is_no_trx(written, changes, says):
    with pytest.raises(ValueError, match=says):
        read_trx(rewritten(written, **changes))
