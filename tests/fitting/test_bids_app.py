"""Every participant's scan is published once, whatever kills the run, and nothing of another's is touched."""

import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser

import pytest

from shd.errors import FormatError, OutputError, ResponseError, ScanError, ShdWarning
from shd.fitting import bids_dataset
from shd.fitting.bids_app import responses_in, run_participants
from shd.fitting.bids_dataset import BidsDataset
from shd.fitting.bids_group import average_participants
from shd.fitting.cohort_subject import DONE, DONE_BEFORE, FAILED, Choices
from shd.io.bids_inputs import read_participants
from shd.io.bids_names import Entities, read_template
from shd.io.responses import read_stored_response, write_response
from shd.io.subject_inputs import inputs_of
from shd.report.bids_page import participant_page
from shd.signal.response import Response
from tests.support.fits import BVALUES, ROWS, record, store_fit
from tests.support.stored import everything_in

NAMES = ("sub-01", "sub-02_ses-a", "sub-02_ses-b", "sub-03_acq-96", "sub-04")
GAINS = dict(zip(NAMES, (1.0, 1.0, 0.5, 2.0, 1.0), strict=True))
SPACE = "_space-ACPC"


def quick(subject, folder, choices, extra, report=None):
    """Publish a fit that was not made, in place of inferring, and note whose it is; one scan is damaged."""
    if (subject.dwi.parent / "damaged").exists():
        raise ScanError(f"{subject.dwi.name}: damaged or cut short")
    place = subject.dwi.parents[3 if "ses" in subject.name else 2].parent
    store_fit(folder.partial, inputs={**inputs_of(subject), **extra})
    name = subject.name.removesuffix(SPACE)
    for tissue, rows in ROWS.items():
        write_response(folder.partial / f"response_{tissue}.txt", Response(tissue, BVALUES, GAINS[name] * rows))
    folder.publish()
    with (place / "computed").open("a") as log:
        log.write(name + "\n")


# Runs `quick` over a dataset a death, each in a child that meets `kill -9` where the death says.
DYING = """
import os, signal, sys
from pathlib import Path
from shd.fitting import bids_dataset
from tests.fitting import test_bids_app as tests

bids_dataset.write_subject = tests.quick
publish, put, replace = bids_dataset.BidsDataset._publish, bids_dataset.put_derivatives, Path.replace

def die(*arguments, **others):
    os.kill(os.getpid(), signal.SIGKILL)

def die_after_two(path, target, moved=[]):
    if ".partial-sub-02_ses-a" in str(path) and "dwimap" in path.name:
        moved.append(target)
        if len(moved) == 3:
            die()
    return replace(path, target)

def run_and_die(place, when):
    def dying(dataset, fit, subject):
        if subject.name.startswith("sub-02_ses-a"):
            if when == "while writing":
                bids_dataset.put_derivatives = lambda *arguments: put(*arguments) or die()
            elif when == "while moving":
                Path.replace = die_after_two
            elif when == "before the record":
                bids_dataset.write_json = die
            publish(dataset, fit, subject)
            die()
        publish(dataset, fit, subject)

    bids_dataset.BidsDataset._publish = dying
    tests.run(place)

for when in tests.DEATHS:
    child = os.fork()
    if not child:
        try:
            run_and_die(Path(sys.argv[1]) / when, when)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL, when
"""
DEATHS = ("while writing", "while moving", "before the record", "after the record")


def dataset_of(place, template="bep016", **others):
    return BidsDataset(place / "out", place / "qsiprep", place / "work", read_template(template), **others)


def run(place, template="bep016", force=False, **others):
    dataset = dataset_of(place, template, **others)
    choices = Choices(model="small", threads=1, device="cpu", force=force)
    return run_participants(dataset, read_participants(place / "qsiprep"), choices, workers=1)


def computed(place):
    return Counter((place / "computed").read_text().split())


def states(outcomes):
    return {outcome.name.removesuffix(SPACE): outcome.state for outcome in outcomes}


def store_empty(place):
    """Write a dataset whose scans are empty files: nothing opens them."""
    for name in NAMES:
        subject, _, session = name.partition("_ses-")
        folder = place / "qsiprep" / subject.partition("_")[0] / (f"ses-{session}" if session else "") / "dwi"
        folder.mkdir(parents=True)
        for ending in ("dwi.nii.gz", "dwi.b"):
            (folder / f"{name}{SPACE}_desc-preproc_{ending}").touch()
    return place


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(bids_dataset, "write_subject", quick)
    return store_empty(tmp_path)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder with what a run left that was killed, by each death."""
    root = tmp_path_factory.mktemp("killed")
    for when in DEATHS:
        store_empty(root / when)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", DYING, root], capture_output=True, text=True, timeout=300, env=environment
    )
    assert ended.returncode == 0, ended.stderr
    return root


def test_every_scan_has_its_files_log_record_and_page(place):
    told = []
    outcomes = run_participants(
        dataset_of(place), read_participants(place / "qsiprep"), Choices(model="small"), workers=1,
        on_outcome=told.append,
    )  # fmt: skip
    assert states(outcomes) == dict.fromkeys(NAMES, DONE) and told == list(outcomes)
    out = place / "out"
    for name in NAMES:
        session = name.partition("ses-")[2]
        folder = out / name.split("_")[0] / (f"ses-{session}" if session else "")
        images = {path.name for path in (folder / "dwi").iterdir() if path.suffix == ".gz"}
        params = [f"model-shd_param-{param}_dwimap" for param in ("wm", "gm", "csf", "peaks")]
        assert images == {f"{name}{SPACE}_{what}.nii.gz" for what in (*params, "desc-brain_mask")}
        log = (out / "logs" / f"{name}{SPACE}.log").read_text()
        assert ": done after" in log and "_desc-preproc_dwi.nii.gz" in log and "inference 1.5, peaks 0.2" in log
        record = json.loads((out / "logs" / f"{name}{SPACE}_run.json").read_text())
        assert all((out / path).is_file() for path in record["files"].values()) and "written" not in record
    assert not list((place / "work").iterdir())
    assert json.loads((out / "logs" / "cohort.json").read_text())["counts"] == {"done": 5}
    page = (out / "sub-02.html").read_text()
    assert page.count("<img") == 2 and "session a" in page and "gradients agree with the anatomy" in page
    assert all((out / part.split('"')[0]).is_file() for part in page.split('<img src="')[1:])
    sidecar = json.loads((out / f"sub-01/dwi/sub-01{SPACE}_model-shd_param-wm_dwimap.json").read_text())
    sources = sidecar["Sources"]
    assert sidecar["SpatialReference"] == sources[0]
    assert sources == [f"bids:preprocessed:sub-01/dwi/sub-01{SPACE}_desc-preproc_dwi.nii.gz"]
    description = json.loads((out / "dataset_description.json").read_text())
    assert (out / description["DatasetLinks"]["preprocessed"]).resolve() == place / "qsiprep"
    assert description["SourceDatasets"] == [{"URL": (place / "qsiprep").as_uri()}]


def test_the_folder_given_for_unfinished_work_stays_with_what_it_holds(place):
    dataset = dataset_of(place)
    for theirs in (dataset.work / "sub-01_space-ACPC_run", dataset.work / "sub-04_space-ACPC_run"):
        theirs.mkdir(parents=True)
        (theirs / "notes.txt").write_text("precious")
    before = everything_in(place / "work")
    run(place)
    assert everything_in(place / "work") == before
    for theirs in dataset.work.iterdir():
        (theirs / "notes.txt").unlink()
        theirs.rmdir()
    run(place)
    assert dataset.work.is_dir()


def test_a_second_run_does_nothing(place):
    run(place)
    before = everything_in(place)
    assert states(run(place)) == dict.fromkeys(NAMES, DONE_BEFORE)
    after = everything_in(place)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed <= {"out/logs/cohort.json"} and set(before) == set(after)


@pytest.mark.parametrize("when", DEATHS)
def test_a_killed_run_goes_on_where_it_was(killed, place, when):
    """Each scan is computed once and published whole, wherever `kill -9` strikes."""
    first = computed(killed / when)
    assert 0 < first.total() < len(NAMES)
    before = states(run(killed / when))
    assert computed(killed / when) == Counter(NAMES)
    left = DONE_BEFORE if when == "after the record" else DONE
    assert before == dict.fromkeys(NAMES, DONE) | {"sub-01": DONE_BEFORE, "sub-02_ses-a": left}
    assert not list((killed / when / "work").iterdir())
    run(place)  # what an uninterrupted run leaves
    ours, theirs = (set(everything_in(folder / "out")) for folder in (killed / when, place))
    assert ours == theirs or (ours ^ theirs) <= {f"logs/sub-02_ses-a{SPACE}.log"}


def test_one_that_fails_stops_no_other(place):
    damaged = place / "qsiprep" / "sub-03" / "dwi" / "damaged"
    damaged.touch()
    outcomes = run(place)
    assert states(outcomes) == dict.fromkeys(NAMES, DONE) | {"sub-03_acq-96": FAILED}
    log = place / "out" / "logs" / f"sub-03_acq-96{SPACE}.log"
    assert "error: " in log.read_text() and "damaged or cut short" in log.read_text()
    assert not (place / "out" / "sub-03").exists() and not (place / "out" / "sub-03.html").exists()
    damaged.unlink()
    assert states(run(place)) == dict.fromkeys(NAMES, DONE_BEFORE) | {"sub-03_acq-96": DONE}
    assert log.read_text().count(" after ") == 2 and computed(place) == Counter(NAMES)


def test_files_of_another_are_not_replaced(place):
    theirs = place / "out" / "sub-01" / "dwi" / f"sub-01{SPACE}_model-shd_param-wm_dwimap.nii.gz"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("precious")
    outcomes = run(place)
    assert states(outcomes)["sub-01"] == FAILED and "exists already" in outcomes[0].error
    assert theirs.read_text() == "precious" and "sub-01" not in computed(place)
    assert states(run(place, force=True)) == dict.fromkeys(NAMES, DONE)
    assert theirs.read_bytes() != b"precious"


def test_another_programs_dataset_is_not_written_to(place):
    (place / "out").mkdir()
    (place / "out" / "dataset_description.json").write_text('{"GeneratedBy": [{"Name": "QSIPrep"}]}')
    with pytest.raises(OutputError, match="dataset of QSIPrep"):
        run(place)
    assert len(everything_in(place / "out")) == 1 and not (place / "computed").exists()


def test_another_template_is_another_result(place):
    run(place)
    assert states(run(place, "qsirecon")) == dict.fromkeys(NAMES, FAILED)  # the mask is called the same in both
    assert states(run(place, "qsirecon", force=True)) == dict.fromkeys(NAMES, DONE)
    assert (place / "out" / f"sub-01/dwi/sub-01{SPACE}_model-shd_param-fod_label-WM_dwimap.mif.gz").is_file()


def test_a_template_that_gives_two_scans_one_name(place):
    (place / "mine.json").write_text('{"fod": "sub-{subject}/{param}.nii.gz"}')
    says = r"mine\.json: sub-02/wm\.nii\.gz would be of 2 scans, sub-02_ses-a.* and sub-02_ses-b.*; add \{session\}"
    with pytest.raises(FormatError, match=says):
        run(place, place / "mine.json")
    assert not (place / "out").exists()


def test_a_dataset_reaches_workers(place):
    dataset = dataset_of(place, "qsirecon", responses={"wm": place / "x.txt"})
    assert pickle.loads(pickle.dumps(dataset)) == dataset


def test_the_group_and_what_is_fitted_with_it(place):
    run(place)
    dataset, subjects = dataset_of(place), read_participants(place / "qsiprep")
    group = average_participants(dataset, subjects)
    assert [response.tissue for response in group.responses] == ["wm", "gm", "csf"] and group.scans == 5
    folder = place / "out" / "group"
    mean = sum(GAINS.values()) / len(GAINS)  # of responses that differ by a factor, the mean has the mean factor
    for tissue, rows in ROWS.items():
        stored = read_stored_response(folder / f"response_{tissue}.txt", tissue)
        assert stored.coefficients == pytest.approx(mean * rows, rel=1e-6)
    header, *rows = [line.split("\t") for line in (folder / "responses.tsv").read_text().splitlines()]
    table = [dict(zip(header, row, strict=True)) for row in rows]
    assert [(row["participant_id"], row["session_id"], row["scan"]) for row in table] == [
        ("sub-01", "n/a", "space-ACPC"), ("sub-02", "ses-a", "space-ACPC"), ("sub-02", "ses-b", "space-ACPC"),
        ("sub-03", "n/a", "acq-96_space-ACPC"), ("sub-04", "n/a", "space-ACPC"),
    ]  # fmt: skip
    assert [float(row["wm_gain"]) for row in table] == pytest.approx([mean / gain for gain in GAINS.values()], rel=1e-5)
    assert json.loads((folder / "responses.json").read_text()).keys() == set(header)
    assert "intensity_scale" not in header
    own = everything_in(place / "out" / "sub-01")
    given = {"responses": responses_in(folder)}
    assert states(run(place, **given)) == dict.fromkeys(NAMES, DONE)
    both = everything_in(place / "out" / "sub-01")
    assert {name: both[name] for name in own} == own  # the first results stay
    new = {name for name in set(both) - set(own) if name.endswith(".nii.gz")}
    stem = f"dwi/sub-01{SPACE}_model-shd_param"
    assert new == {f"{stem}-{param}_desc-normalised_dwimap.nii.gz" for param in ("wm", "gm", "csf", "peaks", "norm")}
    assert states(run(place, **given)) == dict.fromkeys(NAMES, DONE_BEFORE)
    average_participants(dataset, subjects)
    assert "intensity_scale" in (folder / "responses.tsv").read_text().splitlines()[0]


def test_other_group_responses_are_other_results(place):
    run(place)
    average_participants(dataset_of(place), read_participants(place / "qsiprep"))
    given = {"responses": responses_in(place / "out" / "group")}
    run(place, **given)
    write_response(place / "out" / "group" / "response_gm.txt", Response("gm", BVALUES, 2 * ROWS["gm"]))
    outcomes = run(place, **given)
    assert states(outcomes) == dict.fromkeys(NAMES, FAILED) and "--force" in outcomes[0].error
    assert f"gm {place}/out/group/response_gm.txt has changed" in outcomes[0].error


@pytest.mark.parametrize("ending", ["_desc-preproc_dwi.b", "_desc-brain_mask.nii.gz"])
def test_a_table_or_mask_corrected_since_is_another_result(place, ending):
    """A mask that QSIPrep writes later is one, too."""
    run(place)
    corrected = place / "qsiprep" / "sub-04" / "dwi" / f"sub-04{SPACE}{ending}"
    corrected.write_text("1 0 0 0")
    outcomes = run(place)
    assert states(outcomes) == dict.fromkeys(NAMES, DONE_BEFORE) | {"sub-04": FAILED}
    assert f"{corrected} {'has changed' if ending.endswith('.b') else 'was not used'}" in outcomes[-1].error
    assert states(run(place, force=True)) == dict.fromkeys(NAMES, DONE)


def test_a_group_response_is_replaced_only_by_force(place):
    run(place)
    dataset, subjects = dataset_of(place), read_participants(place / "qsiprep")
    average_participants(dataset, subjects)
    before = everything_in(place / "out" / "group")
    with pytest.raises(OutputError, match=r"response_csf\.txt: exists and differs from the mean of these 4 scans"):
        average_participants(dataset, subjects[1:])
    assert everything_in(place / "out" / "group") == before
    average_participants(dataset, subjects[1:], force=True)
    assert everything_in(place / "out" / "group") != before


def test_a_group_without_results(place):
    dataset, subjects = dataset_of(place), read_participants(place / "qsiprep")
    with pytest.raises(ScanError, match="0 of 5 scans have results; first run shd bids … participant"):
        average_participants(dataset, subjects)
    with pytest.raises(ResponseError, match=r"no response_wm\.txt; .* or first run shd bids … group"):
        responses_in(place / "out" / "group")
    run_participants(dataset, subjects[:1], Choices(model="small"), workers=1)
    with (
        pytest.warns(ShdWarning, match="4 of 5 scans have no results and are left out: sub-02_ses-a"),
        pytest.raises(ResponseError, match="1 response: a mean needs at least 2"),
    ):
        average_participants(dataset, subjects)
    assert not (place / "out" / "group").exists()


def test_scans_with_other_tissues_have_no_mean(place):
    run(place)
    path = place / "out" / "logs" / f"sub-04{SPACE}_run.json"
    record = json.loads(path.read_text())
    del record["files"]["response gm"], record["files"]["response csf"]
    path.write_text(json.dumps(record))
    with pytest.raises(ResponseError, match=r"sub-04: responses of 1 tissue \(wm\) but sub-01 has 3"):
        average_participants(dataset_of(place), read_participants(place / "qsiprep"))


class Balance(HTMLParser):
    """Every element that is begun is ended, in order."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attributes):
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_page_shows_what_it_is_given_as_text():
    held = record((3, 4, 5), 40, {"dwi": "/a/<b>&.nii"}) | {"files": {"mask": "x.nii.gz", "figure": 'a"b.png'}}
    page = participant_page("01", [(Entities("01"), held), (Entities("01", "a"), held)])
    assert page.count("/a/&lt;b&gt;&amp;.nii") == 2 and "<b>" not in page and page.count('src="a&quot;b.png"') == 2
    reader = Balance()
    reader.feed(page)
    assert reader.open == []
