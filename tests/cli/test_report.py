"""`shd report`: one file with everything in it, numbers as the files say, and nothing written where it cannot be."""

import json
import re

import numpy as np
import pytest

from shd.fitting.report import write_report
from shd.io.fit_folder import read_fit_folder
from shd.io.peaks import read_peaks
from tests.cli.test_normalise import store
from tests.fodf.tissue_fields import bias, tissues
from tests.support.fits import store_fit
from tests.support.html import Page
from tests.support.results import store_result
from tests.support.stored import everything_in, run_program

PICTURES = ("planes", "directions", "maps", "charts")


def page_of(path):
    html = path.read_text(encoding="utf-8")
    text = re.sub(r"data:image/png;base64,[\w+/=]+", "", html)  # where any four letters may stand
    assert "http" not in text and "<script" not in text and "@import" not in text  # it needs no network
    page = Page(html)
    assert page.addresses == []
    return page


def test_a_page_of_one_result(capsys, tmp_path):
    folder = store_result(tmp_path / "fit")
    before = everything_in(folder)
    ran = run_program(capsys, "report", folder, "--out", tmp_path / "page.html")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines() == [f"wrote {tmp_path / 'page.html'}: 1 result; open it in a browser"]
    assert everything_in(folder) == before and {path.name for path in tmp_path.iterdir()} == {"fit", "page.html"}
    page = page_of(tmp_path / "page.html")
    assert list(page.pictures) == [f"{name} of fit" for name in PICTURES]
    assert all(picture.std() > 0.02 and min(picture.shape[:2]) > 150 for picture in page.pictures.values())
    assert "gradients agree with the anatomy" in page.words and "SNR 20.0" in page.words
    assert "3 steps, seed 0; held-out loss 2 before, 1.5 at its best" in page.words
    assert "Missing files" not in page.words and f"shd track {folder} --out tracks.trx" in page.words
    assert f"mrview {folder}/b0.nii.gz -odf.load_sh {folder}/wm_fod.nii.gz" in page.words


def test_numbers_are_those_of_the_files(tmp_path):
    folder = store_result(tmp_path / "fit", residual=1.25)
    fod, (peaks, _, _) = read_fit_folder(folder).fod, read_peaks(folder / "peaks.nii.gz")
    write_report([folder], tmp_path / "page.html")
    words = page_of(tmp_path / "page.html").words
    mask = fod.mask
    amounts = np.stack([np.maximum(fod.wm[..., 0], 0), *fod.isotropic.values()])[:, mask].astype(float)
    shares = amounts / amounts.sum(axis=0)
    white = shares[0] > 0.5
    fibres = np.bincount((peaks.amplitudes[mask] > 0.1).sum(axis=1), minlength=6)
    of_white = np.bincount((peaks.amplitudes[mask][white] > 0.1).sum(axis=1), minlength=6) / white.sum()
    assert f"{mask.sum()} voxels, {mask.sum() * 8 / 1000:.0f} ml" in words
    assert f"{white.sum()} voxels, {white.mean():.1%} of the mask" in words
    for name, (wm, gm, csf) in (("mean", shares.mean(axis=1)), ("median", np.median(shares, axis=1))):
        assert f"{name} wm {wm:.1%}, gm {gm:.1%}, csf {csf:.1%}" in words
    assert " · ".join(map(str, fibres)) in words and f"{fibres[0] / mask.sum():.1%} of the mask" in words
    assert f"{of_white[0]:.1%} no fibre, {of_white[2:].sum():.1%} two or more" in words
    density = np.median(np.sqrt(4 * np.pi) * fod.wm[..., 0][mask][white])
    assert f"total AFD {density:.3f} " in words and "residual 1.250 " in words
    assert f"highest peak {np.median(peaks.amplitudes[mask][white, 0]):.3f} " in words


@pytest.mark.slow
def test_one_of_several_subjects_is_far_from_the_others(capsys, tmp_path):
    snrs = {f"sub-{number}": snr for number, snr in enumerate((20.0, 21.0, 20.5, 20.1, 6.0, 19.8, 20.2))}
    folders = [store_result(tmp_path / name / "fit", shape=(4, 4, 3), snr=snr) for name, snr in snrs.items()]
    ran = run_program(capsys, "report", *folders, "--out", tmp_path / "page.html")
    assert ran.code == 0, ran.err
    assert re.search(r"far from the others: SNR: sub-4/fit \(-\d+\.\d\)", ran.err), ran.err
    assert "look: sub-4/fit: SNR 6.0 of the b = 0 signal is below 10" in ran.err
    page = page_of(tmp_path / "page.html")
    assert len(page.marked) == 1 and page.marked[0].startswith("modified z-score -")
    assert len(page.pictures) == 7 * len(PICTURES)
    assert [link.removeprefix("#") for link in page.links] == page.anchors == [f"result-{n}" for n in range(1, 8)]
    table = page.words.partition("result to look at")[2].partition("SNR: of b = 0")[0]
    assert all(f"{name}/fit" in table and f"{snr:.1f}" in table for name, snr in snrs.items())


def test_warnings_of_the_run_and_its_gradients_are_to_be_looked_at(capsys, tmp_path):
    wrong = {"verdict": "inconsistent", "message": "the best flip is <x>"}
    folder = store_result(tmp_path / "fit", warnings=["the scan is outside of it"], gradient_coherence=wrong)
    ran = run_program(capsys, "report", folder, "--out", tmp_path / "page.html")
    page = page_of(tmp_path / "page.html")
    for said in ("the best flip is <x>", "warning of the run: the scan is outside of it"):
        assert said in page.words and f"look: fit: {said}" in ran.err


def test_a_folder_of_fods_alone_has_a_page_that_says_what_is_missing(tmp_path):
    folder = store_fit(tmp_path / "fit", shape=(6, 5, 4))
    for path in folder.iterdir():
        if path.name != "wm_fod.nii.gz":
            path.unlink()
    write_report([folder], tmp_path / "page.html")
    page = page_of(tmp_path / "page.html")
    for name in ("peaks.nii.gz", "mask.nii.gz", "b0.nii.gz", "residual.nii.gz", "response_wm.txt", "run.json"):
        assert f"{name}: " in page.words.partition("Missing files")[2]
    assert len(page.pictures) == len(PICTURES) and all(picture.std() > 0.02 for picture in page.pictures.values())


def test_a_normalised_result_has_a_page(capsys, tmp_path):
    folder = store(tissues(bias(2)), tmp_path / "fit")
    assert run_program(capsys, "normalise", folder).code == 0
    write_report([folder, folder / "normalised"], tmp_path / "page.html")
    words = page_of(tmp_path / "page.html").words
    assert "shd infer, then shd normalise" in words and "tissue sum 1.000" in words


def test_bad_input_writes_nothing(capsys, tmp_path):
    good, other = store_result(tmp_path / "good", shape=(3, 3, 3)), store_fit(tmp_path / "damaged")
    (tmp_path / "empty").mkdir()
    (other / "wm_fod.nii.gz").write_bytes((other / "wm_fod.nii.gz").read_bytes()[:500])
    (tmp_path / "there.html").write_text("mine")
    before = everything_in(tmp_path)
    out = ("--out", tmp_path / "page.html")
    for arguments, says in (
        ((tmp_path / "empty", *out), "empty: holds no wm_fod.nii.gz; give folders that shd fit, infer or norm"),
        ((good, tmp_path / "none", tmp_path / "empty", *out), "none: holds no wm_fod.nii.gz (2 of 3 folders are none)"),
        ((good / "wm_fod.nii.gz", *out), "holds no wm_fod.nii.gz"),
        ((good, good, *out), "given 2 times among 2 folders"),
        ((good, other, *out), "damaged"),
        ((good, "--out", tmp_path / "there.html"), "there.html: exists already; give another name, or --force"),
        ((good, "--out", tmp_path / "empty"), "is a folder; give the name of a file"),
        ((good, "--out", tmp_path / "no" / "page.html"), "cannot write in"),
        ((), "OUT"),
    ):
        ran = run_program(capsys, "report", *arguments)
        assert ran.code == 2 and ran.err.count("error: ") == 1 and says in ran.err, ran.err
        assert everything_in(tmp_path) == before


def test_force_replaces_a_page(capsys, tmp_path):
    folder = store_result(tmp_path / "good", shape=(3, 3, 3))
    (tmp_path / "page.html").write_text("old")
    assert run_program(capsys, "report", folder, "--out", tmp_path / "page.html", "--force").code == 0
    assert page_of(tmp_path / "page.html").pictures


def test_a_record_of_an_earlier_version(tmp_path):
    folder = store_result(tmp_path / "fit", shape=(3, 3, 3))
    (folder / "run.json").write_text(json.dumps({"degree": 4}))
    write_report([folder], tmp_path / "page.html")
    assert "command shd infer" in page_of(tmp_path / "page.html").words
