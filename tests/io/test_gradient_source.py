"""Which files a gradient table is read from, and in which convention: what `read_scan` uses, and what is recorded."""

import numpy as np
import pytest

from shd.errors import GradientError, ShdWarning
from shd.io.gradient_source import FSL, HEADER, MRTRIX, QSIPREP, gradient_source
from shd.io.mif import write_mif
from shd.io.scans import read_scan
from shd.simulation import crossing_phantom
from tests.support.affines import AFFINES, write_table
from tests.support.cohorts import PROTOCOL, SHAPE
from tests.support.stored import store


@pytest.fixture(scope="module")
def scan():
    return crossing_phantom(60.0, shape=SHAPE, protocol=PROTOCOL, affine=AFFINES["LPS"]).scan


@pytest.mark.parametrize(("written", "convention"), [("fsl", FSL), ("mrtrix", MRTRIX), ("qsiprep", QSIPREP)])
def test_tables_given_or_beside_the_image_are_the_same(tmp_path, scan, written, convention):
    files = store(scan, tmp_path, written)
    tables = {name: path for name, path in files.items() if name not in ("dwi", "mask")}
    for source in (gradient_source(files["dwi"], **tables), gradient_source(files["dwi"])):
        assert source.convention == convention and source.files == tables
        assert (source.doubted is None) is (written != "qsiprep")


def test_the_table_beside_a_pair_of_qsipreps_is_the_source(tmp_path, scan):
    files = store(scan, tmp_path, "qsiprep")
    write_table("mrtrix", files["dwi"], scan.gradients.bvalues, scan.gradients.directions, scan.affine)
    source = gradient_source(files["dwi"], files["bval"], files["bvec"])
    assert source.convention == MRTRIX and source.files == {"grad": tmp_path / "dwi.b"}
    assert source.doubted is not None and source.doubted[0] == files["bvec"]
    with pytest.warns(ShdWarning, match=r"dwi\.b beside it is used"):
        read_scan(files["dwi"], files["bval"], files["bvec"], mask=files["mask"])


@pytest.mark.parametrize("name", ["dwi.mif", "dwi.mif.gz"])
def test_the_header_of_a_mif_comes_before_files_beside_it(tmp_path, scan, name):
    table = np.column_stack([scan.gradients.directions, scan.gradients.bvalues])
    volumes = np.moveaxis(np.asarray(scan.data), 3, 0)
    for gradients in (table, None):
        write_mif(tmp_path / name, volumes, scan.data.shape, scan.affine, gradients=gradients)
        (tmp_path / "dwi.b").write_text("\n".join(" ".join(map(str, row)) for row in table))
        source = gradient_source(tmp_path / name)
        assert source.convention == (HEADER if gradients is not None else MRTRIX)
        assert source.files == ({} if gradients is not None else {"grad": tmp_path / "dwi.b"})
    given = gradient_source(tmp_path / name, grad=tmp_path / "other.b")
    assert given.files == {"grad": tmp_path / "other.b"}
    (tmp_path / "dwi.b").unlink()
    with pytest.raises(GradientError, match="has no dw_scheme"):
        gradient_source(tmp_path / name)
