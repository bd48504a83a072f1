"""What lies beside the fODFs is read, and what is not there is named."""

import nibabel as nib
import numpy as np
import pytest

from shd.errors import EvaluationError, ScanError
from shd.io.fit_companions import read_fit_companions, read_log
from shd.io.fit_folder import read_fit_folder
from tests.support.fits import store_fit
from tests.support.results import HISTORY, store_result


def companions(folder):
    return read_fit_companions(read_fit_folder(folder))


def test_everything_comes_back(tmp_path):
    beside = companions(store_result(tmp_path / "fit", residual=1.25))
    assert list(beside.log) == HISTORY and beside.missing == ()
    assert beside.b0.min() == 100 and beside.b0.max() == 900 and beside.residual.max() == 1.25
    assert [response.tissue for response in beside.responses] == ["wm", "gm", "csf"]


def test_what_is_missing_is_named(tmp_path):
    folder = store_fit(tmp_path / "fit")  # an inference: no log is missing
    assert [line.partition(":")[0] for line in companions(folder).missing] == ["b0.nii.gz", "residual.nii.gz"]
    for name in ("peaks.nii.gz", "mask.nii.gz", "response_wm.txt", "run.json"):
        (folder / name).unlink()
    beside = companions(folder)
    assert len(beside.missing) == 6 and "log.csv" not in " ".join(beside.missing)
    assert beside.b0 is None and beside.residual is None and beside.log == () and beside.responses == ()


def test_a_fit_without_its_log_lacks_one(tmp_path):
    folder = store_result(tmp_path / "fit")
    (folder / "log.csv").unlink()
    assert companions(folder).missing == ("log.csv: the course of the training is not shown",)


def test_values_that_a_row_lacks_are_left_out(tmp_path):
    (tmp_path / "log.csv").write_text("step,loss,held_out\n0,,2.5\n1,0.5,\n")
    assert read_log(tmp_path / "log.csv") == ({"step": 0.0, "held_out": 2.5}, {"step": 1.0, "loss": 0.5})


@pytest.mark.parametrize("content", [b"step,loss\n0,many\n", b"step\n1,2\n", b"\xff\xfe"])
def test_a_damaged_log_is_refused_by_name(tmp_path, content):
    (tmp_path / "log.csv").write_bytes(content)
    with pytest.raises(ScanError, match=r"log\.csv: not readable"):
        read_log(tmp_path / "log.csv")


def test_an_image_of_another_grid_is_refused(tmp_path):
    folder = store_result(tmp_path / "fit")
    nib.save(nib.Nifti1Image(np.ones((3, 3, 3), np.float32), np.eye(4)), folder / "b0.nii.gz")
    with pytest.raises(EvaluationError, match=r"b0\.nii\.gz is 3 × 3 × 3 voxels but wm_fod\.nii\.gz 6 × 7 × 5"):
        companions(folder)
