"""Participants of a dataset as QSIPrep leaves it: which scans are asked for, and how their tables are read."""

import numpy as np
import pytest

from shd.errors import FormatError, ScanError, ShdWarning
from shd.io.bids_inputs import read_participants
from shd.simulation import crossing_phantom
from tests.support.affines import AFFINES
from tests.support.bids_data import SCANS, store_dataset
from tests.support.cohorts import PROTOCOL, SHAPE

SPACE = "_space-ACPC"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return store_dataset(tmp_path_factory.mktemp("study") / "qsiprep")


def names(subjects):
    return [subject.name.removesuffix(SPACE) for subject in subjects]


@pytest.mark.parametrize(
    ("participants", "sessions", "expected"),
    [((), (), SCANS), (("01",), (), SCANS[:1]), (("sub-02", "04"), (), (*SCANS[1:3], SCANS[4])),
     ((), ("ses-b",), SCANS[2:3]), (("02",), ("a", "b"), SCANS[1:3])],
)  # fmt: skip
def test_labels_choose(source, participants, sessions, expected):
    assert names(read_participants(source, participants, sessions)) == list(expected)


@pytest.mark.parametrize(
    ("participants", "sessions", "error", "says"),
    [(("0 1",), (), FormatError, "letters and digits"),
     (("01", "5"), (), ScanError, "no scan of sub-5 among 5 scans; there are sub-01"),
     ((), ("c",), ScanError, "no scan of ses-c among 5 scans; there are ses-a, ses-b"),
     (("01",), ("a",), ScanError, "0 scans of participants 01 in sessions a; each label is there, but not together")],
)  # fmt: skip
def test_labels_of_nothing(source, participants, sessions, error, says):
    with pytest.raises(error, match=says):
        read_participants(source, participants, sessions)


@pytest.mark.parametrize("table", ["mrtrix", "qsiprep"])
def test_directions_are_those_of_the_scanner(tmp_path, table):
    """MRtrix's table comes first; without it, QSIPrep's vectors are read as QSIPrep means them."""
    source = store_dataset(tmp_path, SCANS[:1])
    folder = source / "sub-01" / "dwi"
    if table == "qsiprep":
        (folder / f"sub-01{SPACE}_desc-preproc_dwi.b").unlink()
    else:
        (folder / f"sub-01{SPACE}_desc-preproc_dwi.bvec").write_text("not to be read")
    (subject,) = read_participants(source)
    if table == "qsiprep":
        with pytest.warns(ShdWarning, match="QSIPrep made it"):
            scan, responses = subject.read()
    else:
        scan, responses = subject.read()
    truth = crossing_phantom(60.0, shape=SHAPE, protocol=PROTOCOL, affine=AFFINES["LPS"], seed=0).scan
    np.testing.assert_allclose(scan.gradients.directions, truth.gradients.directions, atol=1e-6)
    np.testing.assert_array_equal(scan.mask, truth.mask)
    assert responses is None
