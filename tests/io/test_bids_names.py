"""Names of derivatives: what the built-in templates give, what a file may say, and each mistake in one error."""

import json
from pathlib import Path

import pytest

from shd.errors import FormatError
from shd.io.bids_names import KINDS, Entities, checked_label, entities_of, read_template

WHOLE = Entities("01", "a", "acq-96_run-1", "T1w", "normalised")
BARE = Entities("01")


@pytest.mark.parametrize(
    ("template", "kind", "whole", "bare"),
    [("bep016", "fod", "sub-01/ses-a/dwi/sub-01_ses-a_acq-96_run-1_space-T1w_model-shd_param-gm_desc-normalised_"
      "dwimap.nii.gz", "sub-01/dwi/sub-01_model-shd_param-gm_dwimap.nii.gz"),
     ("bep016", "response", "sub-01/ses-a/dwi/sub-01_ses-a_acq-96_run-1_space-T1w_model-shd_param-gm_desc-normalised_"
      "response.txt", "sub-01/dwi/sub-01_model-shd_param-gm_response.txt"),
     ("bep016", "peaks", "sub-01/ses-a/dwi/sub-01_ses-a_acq-96_run-1_space-T1w_model-shd_param-peaks_desc-normalised_"
      "dwimap.nii.gz", "sub-01/dwi/sub-01_model-shd_param-peaks_dwimap.nii.gz"),
     ("qsirecon", "fod", "sub-01/ses-a/dwi/sub-01_ses-a_acq-96_run-1_space-T1w_model-shd_param-fod_label-GM_"
      "desc-normalised_dwimap.mif.gz", "sub-01/dwi/sub-01_model-shd_param-fod_label-GM_dwimap.mif.gz"),
     ("qsirecon", "response", "sub-01/ses-a/dwi/sub-01_ses-a_acq-96_run-1_space-T1w_model-shd_param-fod_label-GM_"
      "desc-normalised_dwimap.txt", "sub-01/dwi/sub-01_model-shd_param-fod_label-GM_dwimap.txt"),
     ("qsirecon", "mask", "sub-01/ses-a/dwi/sub-01_ses-a_acq-96_run-1_space-T1w_desc-brain_mask.nii.gz",
      "sub-01/dwi/sub-01_desc-brain_mask.nii.gz"),
     ("qsirecon", "figure", "sub-01/figures/sub-01_ses-a_acq-96_run-1_space-T1w_model-shd_desc-normalised_odfs.png",
      "sub-01/figures/sub-01_model-shd_odfs.png")],
)  # fmt: skip
def test_built_in_names(template, kind, whole, bare):
    names = read_template(template)
    assert names.path(kind, WHOLE, "gm") == Path(whole)
    assert names.path(kind, BARE, "gm") == Path(bare)


def test_a_file_renames_what_it_names_and_leaves_the_rest(tmp_path):
    pattern = "sub-{subject}/[ses-{session}/]{label}_{param}[_{space}]_{suffix}.nii"
    (tmp_path / "mine.json").write_text(json.dumps({"fod": pattern}))
    (tmp_path / "mine.ini").write_text(f"[names]\nfod = {pattern}\n")
    for file in ("mine.json", "mine.ini"):
        names = read_template(tmp_path / file)
        assert names.path("fod", WHOLE, "wm") == Path("sub-01/ses-a/WM_wm_T1w_dwimap.nii")
        assert names.path("fod", BARE, "csf") == Path("sub-01/CSF_csf_dwimap.nii")
        others = [kind for kind in KINDS if kind != "fod"]
        assert all(names.path(kind, WHOLE, "gm") == read_template("bep016").path(kind, WHOLE, "gm") for kind in others)


@pytest.mark.parametrize(
    ("content", "says"),
    [({"fod": "sub-{subject}_{sesion}.nii"}, r"unknown field \{sesion\} .* the 9 fields are subject, session"),
     ({"fod": "sub-{subject}_{}.nii"}, r"unknown field \{\}"),
     ({"fods": "sub-{subject}.nii"}, r"'fods' is none of the 6 names .*fod, peaks"),
     ({}, "0 of 6 names"), (["fod"], "not a table"), ({"fod": 3}, "not a table"),
     ({"fod": "fod_{param}.nii"}, r"no \{subject\}"), ({"fod": "fod_[{subject}].nii"}, r"no \{subject\}"),
     ({"fod": "sub-{subject}[_[ses-{session}]].nii"}, "without its other half"),
     ({"fod": "sub-{subject.nii"}, "without its other half"),
     ({"fod": "sub-{subject}.mgz"}, r"does not end in \.nii\.gz or \.nii or \.mif"),
     ({"response": "sub-{subject}.nii"}, r"does not end in \.txt")],
)  # fmt: skip
def test_a_file_that_is_no_template(tmp_path, content, says):
    (tmp_path / "mine.json").write_text(json.dumps(content))
    with pytest.raises(FormatError, match=says):
        read_template(tmp_path / "mine.json")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [("x.json", "{", "not readable as a template"), ("x.ini", "fod = 1", "not readable as a template"),
     ("x.ini", "[other]\nfod = 1", r"no section \[names\]"), ("bep17", None, "no such template; give one of bep016")],
)  # fmt: skip
def test_no_template(tmp_path, name, text, says):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(FormatError, match=says):
        read_template(tmp_path / name)


@pytest.mark.parametrize(
    ("pattern", "says"),
    [("sub-{subject}_{session}.nii", r"needs \{session\}, which sub-01 has not; put that part in brackets"),
     ("../sub-{subject}_{param}.nii", "leads out of the dataset"), ("/sub-{subject}.nii", "leads out of the dataset"),
     ("sub-{subject}.nii", "fod wm and fod gm are both called sub-01.nii; tell them apart by")],
)  # fmt: skip
def test_names_that_cannot_be(tmp_path, pattern, says):
    (tmp_path / "mine.json").write_text(json.dumps({"fod": pattern}))
    with pytest.raises(FormatError, match=says):
        read_template(tmp_path / "mine.json").paths(BARE, [("fod", "wm"), ("fod", "gm")])


def test_labels():
    assert checked_label("sub", "sub-01") == checked_label("sub", "01") == "01"
    for bad in ("", "sub-", "a b", "a_b", "../x", "sub-0-1", "é"):
        with pytest.raises(FormatError, match="letters and digits only; give one like sub-01"):
            checked_label("sub", bad)


def test_entities_of_a_scan():
    assert entities_of("sub-01_ses-a_acq-96_run-1_space-T1w_desc-preproc_dwi.nii.gz") == Entities(
        "01", "a", "acq-96_run-1", "T1w"
    )
    assert entities_of("sub-01") == BARE
    found = entities_of("sub-01_acq-96_space-T1w_res-2_desc-preproc_dwi.nii.gz")
    assert found == Entities("01", "", "acq-96", "T1w", after="res-2") and found.scan == "acq-96_space-T1w_res-2"
    name = "sub-01_acq-96_space-T1w_res-2_model-shd_param-wm_dwimap.nii.gz"  # in the order of the BIDS schema
    assert read_template("bep016").path("fod", found, "wm").name == name
    with pytest.raises(FormatError, match="no subject"):
        entities_of("dwi.nii.gz")
