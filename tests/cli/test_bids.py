"""`shd bids` as a user runs it on what QSIPrep left: what it writes and says, and how it ends."""

import json

import pytest

from shd.cli.label_lists import repeated
from shd.io.fodf import read_fod
from tests.support.bids_data import GAINS, SCANS, store_dataset
from tests.support.fits import store_fit
from tests.support.stored import everything_in, run_program

NETWORK = ("--model", "small", "--device", "cpu", "--threads", 1, "--tile", 4, "--n-workers", 1)
SPACE = "_space-ACPC"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("study")
    store_dataset(place / "qsiprep")
    return place


def last_line(ran):
    return ran.out.splitlines()[-1].strip()


def test_participants_then_the_group_then_amplitudes_in_its_unit(capsys, place):
    source, out = place / "qsiprep", place / "shd"
    damaged = source / "sub-03" / "dwi" / f"sub-03_acq-96{SPACE}_desc-preproc_dwi.nii.gz"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    ran = run_program(capsys, "bids", source, out, "participant", *NETWORK)
    damaged.write_bytes(whole)
    assert ran.code == 2 and "Traceback" not in ran.err
    failed = [line for line in ran.err.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 1 and f"sub-03_acq-96{SPACE}" in failed[0] and "damaged or cut short" in failed[0]
    assert ran.err.splitlines()[-1] == f"error: 1 of 5 subjects failed: sub-03_acq-96{SPACE}"
    assert not (out / "sub-03").exists() and (out / "sub-02" / "ses-b" / "dwi").is_dir()

    again = run_program(capsys, "bids", source, out, "participant", *NETWORK)
    assert again.code == 0, again.err
    assert again.out.startswith("skipped 4 of 5 subjects") and last_line(again) == f"shd bids {source} {out} group"

    group = run_program(capsys, *last_line(again).split()[1:])
    assert group.code == 0 and "wm, mean of 5 scans: " in group.out, group.err
    follows = last_line(group)
    assert follows == f"shd bids {source} {out} participant --responses group"

    normalised = run_program(capsys, *follows.split()[1:], "--participant_label", "01", "sub-03", *NETWORK)
    assert normalised.code == 0 and "wrote 2 of 2 subjects" in normalised.out, normalised.err
    first, third = (
        json.loads((out / "logs" / f"{name}{SPACE}_desc-normalised_run.json").read_text())
        for name in ("sub-01", "sub-03_acq-96")
    )
    scales = [record["intensity_normalisation"]["Scale"] for record in (first, third)]
    assert scales[1] / scales[0] == pytest.approx(GAINS["sub-03_acq-96"] / GAINS["sub-01"], rel=0.05)
    amounts = [read_fod(out / record["files"]["fod wm"])[0][..., 0].mean() for record in (first, third)]
    assert amounts[1] == pytest.approx(amounts[0], rel=0.25)  # other noise, but no longer twice the amplitude
    assert run_program(capsys, "bids", source, out, "group").code == 0
    assert "intensity_scale" in (out / "group" / "responses.tsv").read_text().splitlines()[0]


@pytest.mark.parametrize(
    ("source", "level", "others", "says"),
    [("qsiprep", "participant", ("--participant-label", "0_1"), "sub-0_1: a BIDS label is of letters and digits only"),
     ("qsiprep", "participant", ("--participant-label", "01", "09"), "no scan of sub-09 among 5 scans; there are"),
     ("qsiprep", "participant", ("--session-label", "ses-c"), "no scan of ses-c among 5 scans; there are ses-a, ses-b"),
     ("qsiprep", "participant", ("--participant-label", "01", "--session-label", "a"), "0 scans of participants 01 in"),
     ("empty", "participant", (), "0 subjects; expected sub-*/[ses-*/]dwi/"),
     ("none", "participant", (), "no such folder; give the folder that QSIPrep wrote"),
     ("qsiprep", "participant", ("--template", "bep17"), "bep17: no such template; give one of bep016, qsirecon"),
     ("qsiprep", "participant", ("--template", "bad.json"), "unknown field {sesion}"),
     ("qsiprep", "participant", ("--responses", "group"), "no response_wm.txt; give the folder"),
     ("qsiprep", "participant", ("--responses", "nowhere"), "nowhere: no response_wm.txt"),
     ("qsiprep", "participant", ("--model", "./none.safetensors"), "none.safetensors: no such network"),
     ("qsiprep", "participant", ("--n-workers", 2, "--scheduler", "x:1"), "--n-workers 2 and --scheduler x:1"),
     ("qsiprep", "participant", ("--degree", 3), "--degree 3"), ("qsiprep", "session", (), "'session' is not one of"),
     ("qsiprep", "group", (), "0 of 5 scans have results; first run shd bids … participant"),
     ("qsiprep", "group", ("--responses", "group"), "--responses group: the group level averages each scan's own")],
)  # fmt: skip
def test_what_cannot_be_asked_writes_nothing(capsys, place, tmp_path, monkeypatch, source, level, others, says):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.json").write_text('{"fod": "sub-{subject}_{sesion}_{param}.nii"}')
    monkeypatch.chdir(tmp_path)
    before = everything_in(tmp_path)
    folder = place / source if source == "qsiprep" else tmp_path / source
    ran = run_program(capsys, "bids", folder, tmp_path / "a" / "out", level, *NETWORK, *others)
    assert ran.code == 2 and "Traceback" not in ran.err
    assert says in " ".join(ran.err.replace("│", " ").split())
    assert everything_in(tmp_path) == before


def test_the_output_is_not_the_input(capsys, place):
    before = everything_in(place / "qsiprep")
    ran = run_program(capsys, "bids", place / "qsiprep", place / "qsiprep" / ".." / "qsiprep", "participant", *NETWORK)
    assert ran.code == 2 and "input and output are 1 folder; give another output" in ran.err
    assert everything_in(place / "qsiprep") == before


@pytest.mark.parametrize(
    ("description", "says"),
    [(None, "no such file, so this is no BIDS dataset; correct it, or give --skip-bids-validation"),
     ("{", "not readable as JSON"), ("{}", "2 of 2 keys missing (Name, BIDSVersion)"), ("[]", "2 of 2 keys missing"),
     ('{"Name": "x", "BIDSVersion": "1.9.0", "DatasetType": "raw"}', "DatasetType is 'raw', but preprocessed scans")],
)  # fmt: skip
def test_a_folder_that_does_not_say_what_it_is(capsys, tmp_path, description, says):
    store_dataset(tmp_path / "in", SCANS[:1])
    described = tmp_path / "in" / "dataset_description.json"
    described.unlink() if description is None else described.write_text(description)
    ran = run_program(capsys, "bids", tmp_path / "in", tmp_path / "out", "participant", *NETWORK)
    assert ran.code == 2 and says in ran.err and not (tmp_path / "out").exists()
    skipping = ("--skip-bids-validation", "--participant-label", "9")  # the next error shows that this one was passed
    assert "no scan of sub-9" in run_program(capsys, "bids", tmp_path / "in", tmp_path / "out", "group", *skipping).err


def test_a_result_is_exported(capsys, tmp_path):
    fit, dest = store_fit(tmp_path / "fit"), tmp_path / "dataset"
    words = ("export", fit, "--to", "bids", "--dest", dest)
    for others, says in (
        ((), "give --subject"), (("--subject", "01", "--degree", 2), "--degree and --mask: not of bids"),
        (("--subject", "0_1"), "letters and digits"), (("--subject", "01", "--to", "bids,pam5"), "export it alone"),
    ):  # fmt: skip
        ran = run_program(capsys, *words, *others)
        assert ran.code == 2 and says in " ".join(ran.err.replace("│", " ").split()) and not dest.exists()
    ran = run_program(capsys, *words, "--subject", "sub-01", "--session", "b", "--template", "qsirecon")
    assert ran.code == 0 and "wrote 17 files" in ran.out, ran.err
    assert (dest / "sub-01/ses-b/dwi/sub-01_ses-b_model-shd_param-fod_label-WM_dwimap.mif.gz").is_file()


@pytest.mark.parametrize(
    ("given", "means"),
    [("a b participant --participant-label 01 02 --force", "a b participant --participant-label 01 --participant-label"
      " 02 --force"), ("a b group --session_label x y z", "a b group --session_label x --session_label y "
      "--session_label z"), ("--participant-label 01 a b participant", "--participant-label 01 a b participant"),
     ("--participant-label 01 a b participant --session-label x y", "--participant-label 01 a b participant "
      "--session-label x --session-label y"), ("a b participant --model small -w dir", "a b participant --model small "
      "-w dir"), ("a b participant --participant-label=01 --degree 8", "a b participant --participant-label=01 "
      "--degree 8")],
)  # fmt: skip
def test_several_labels_in_a_row(given, means):
    assert list(repeated(given.split())) == means.split()
