"""`shd normalise`: a folder that every later command reads, in one unit."""

import json

import nibabel as nib
import numpy as np
import pytest

from shd.fodf.intensity import REFERENCE
from shd.io.fit_folder import read_fit_folder
from shd.io.fodf import write_fod, write_scalar
from shd.io.images import write_image
from shd.io.peaks import read_peaks
from shd.io.responses import read_response_folder, write_response
from shd.simulation.tissues import tissue_responses
from tests.fodf.tissue_fields import bias, tissues
from tests.support.stored import everything_in, run_program

FILES = {
    "wm_fod.nii.gz", "wm_fod.json", "gm.nii.gz", "gm.json", "csf.nii.gz", "csf.json", "peaks.nii.gz", "peaks.json",
    "mask.nii.gz", "mask.json", "intensity_field.nii.gz", "intensity_field.json", "run.json",
    "response_wm.txt", "response_gm.txt", "response_csf.txt",
}  # fmt: skip


def store(fod, folder, record=True):
    """Write what a fit leaves."""
    folder.mkdir()
    write_fod(folder / "wm_fod.nii.gz", fod.wm, fod.affine, fod.mask, {"NonNegativity": "soft"})
    for tissue, volume in fod.isotropic.items():
        write_scalar(folder / f"{tissue}.nii.gz", volume, fod.affine)
    write_image(folder / "mask.nii.gz", [fod.mask.astype(np.float32)], fod.mask.shape, fod.affine, {})
    if record:
        (folder / "run.json").write_text(json.dumps({"degree": 4, "finished": "before"}))
        for response in tissue_responses(np.array([0.0, 1000.0]), degree=4):
            write_response(folder / f"response_{response.tissue}.txt", response)
    return folder


@pytest.fixture
def fitted(tmp_path):
    return store(tissues(bias(2)), tmp_path / "fit")


def test_the_folder_holds_what_a_fits_holds_and_the_field(capsys, fitted):
    before = everything_in(fitted)
    ran = run_program(capsys, "normalise", fitted)
    assert ran.code == 0, ran.err
    out = fitted / "normalised"
    assert {path.name for path in out.iterdir()} == FILES
    assert before.items() <= everything_in(fitted).items()
    stored = read_fit_folder(out)
    total = stored.fod.wm[..., 0] + sum(stored.fod.isotropic.values())
    np.testing.assert_allclose(total[stored.fod.mask], REFERENCE, rtol=1e-3)
    peaks, _, _ = read_peaks(out / "peaks.nii.gz")
    single = stored.fod.wm[..., 0] / REFERENCE * 15 / (4 * np.pi)  # degree 4 has 15 harmonics
    np.testing.assert_allclose(peaks.amplitudes[stored.fod.mask, 0], single[stored.fod.mask], rtol=1e-3)
    assert len(read_response_folder(out)) == 3
    assert "field: " in ran.out and f"shd maps {out}" in ran.out


def test_sidecars_and_record_say_what_was_divided_by(capsys, fitted, tmp_path):
    assert run_program(capsys, "normalise", fitted, "--out", tmp_path / "out", "--order", 1).code == 0
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["degree"] == 4 and record["finished"] != "before"
    made = record["intensity_normalisation"]
    assert made["Order"] == 1 and made["Balance"].keys() == {"wm", "gm", "csf"} and made["Source"] == str(fitted)
    for name in ("wm_fod", "gm", "csf", "peaks"):
        assert json.loads((tmp_path / "out" / f"{name}.json").read_text())["IntensityNormalisation"] == made
    assert json.loads((tmp_path / "out" / "wm_fod.json").read_text())["NonNegativity"] == "soft"


def test_two_gains_give_one_result(capsys, tmp_path):
    results = []
    for gain in (1.0, 37.0):
        fit = store(tissues(gain * bias(3), noise=0.05), tmp_path / f"fit{gain}")
        assert run_program(capsys, "normalise", fit).code == 0
        results.append(read_fit_folder(fit / "normalised").fod.wm)
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-6)


def test_an_image_alone_has_a_field_of_its_white_matter(capsys, fitted):
    ran = run_program(capsys, "normalise", fitted / "wm_fod.nii.gz", "--order", 0)
    assert ran.code == 0 and "warning: 1 tissue" in ran.err
    assert (fitted / "normalised" / "intensity_field.nii.gz").is_file()
    assert not (fitted / "normalised" / "gm.nii.gz").exists()


def spoilt(tmp_path):
    empty = store(tissues(), tmp_path / "empty", record=False)
    write_image(empty / "mask.nii.gz", [np.zeros((20, 22, 18), np.float32)], (20, 22, 18), tissues().affine, {})
    (tmp_path / "notes").mkdir()
    negative = store(tissues(-1.0), tmp_path / "negative", record=False)
    flat = tmp_path / "flat.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((3, 3, 3, 44), np.float32), np.eye(4)), flat)
    return {
        "empty mask": ((empty,), "mask.nii.gz: 0 of 7920 voxels are above 0.5"),
        "no result": ((tmp_path / "notes",), "0 files but no wm_fod.nii.gz"),
        "negative amounts": ((negative,), "voxels in the mask hold any tissue"),
        "no fODF": ((flat,), "44 coefficients"),
        "missing": ((tmp_path / "none",), "no such file"),
    }


def test_bad_input_writes_nothing(capsys, tmp_path, fitted):
    cases = spoilt(tmp_path)
    cases["order"] = ((fitted, "--order", 4), "order 4: the field's polynomial has order 0 to 3")
    cases["reference"] = ((fitted, "--reference", 0), "reference 0.0: the sum to reach must be above 0")
    for name, (arguments, says) in cases.items():
        before = everything_in(tmp_path)
        ran = run_program(capsys, "normalise", *arguments, "--out", tmp_path / "out")
        assert ran.code == 2 and everything_in(tmp_path) == before, name
        assert ran.err.count("error: ") == 1 and says in ran.err, ran.err


def test_the_result_itself_is_never_replaced(capsys, fitted):
    before = everything_in(fitted)
    ran = run_program(capsys, "normalise", fitted, "--out", fitted, "--force")
    assert ran.code == 2 and "give another" in " ".join(ran.err.replace("│", " ").split())
    assert everything_in(fitted) == before


def test_a_folder_that_holds_files_is_refused_without_force(capsys, fitted):
    assert run_program(capsys, "normalise", fitted, "--order", 0).code == 0
    before = everything_in(fitted)
    ran = run_program(capsys, "normalise", fitted)
    assert ran.code == 2 and "--force" in ran.err and everything_in(fitted) == before
    assert run_program(capsys, "normalise", fitted, "--force").code == 0
    assert everything_in(fitted) != before
