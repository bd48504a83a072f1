"""Lists of subjects: tables, text files and folders of derivatives; what is wrong is said with its line."""

import json
import pickle

import numpy as np
import pytest

from shd.errors import ResponseError, ScanError
from shd.io.responses import write_response
from shd.io.subject_lists import lists_subjects
from shd.io.subjects import Subject, read_subjects
from shd.simulation import crossing_phantom
from shd.simulation.protocols import Protocol
from tests.support.affines import AFFINES, write_table
from tests.support.stored import store

PROTOCOL = Protocol("small", 2, ((1000.0, 8), (3000.0, 8)))


@pytest.fixture
def place(tmp_path):
    """A folder with empty files to be listed; nothing opens them."""
    for name in ("a/dwi.nii.gz", "a/dwi.bval", "a/dwi.bvec", "a/dwi.b", "a/mask.nii.gz", "b/other.nii", "wm.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def listed(place, name, text):
    (place / name).write_text(text, encoding="utf-8")
    return place / name


@pytest.mark.parametrize(("ending", "mark"), [("tsv", "\t"), ("csv", ","), ("TSV", "\t")])
def test_a_table_with_every_column(place, ending, mark):
    header = ("name", "dwi", "bval", "bvec", "grad", "mask", "wm", "gm", "csf")
    rows = (
        ("first", "a/dwi.nii.gz", "a/dwi.bval", "a/dwi.bvec", "", "a/mask.nii.gz", "wm.txt", "n/a", "n/a"),
        ("n/a", str(place / "b" / "other.nii"), "", "", "a/dwi.b", "", "", "", ""),
    )
    table = listed(place, f"list.{ending}", "\ufeff" + "\n".join(mark.join(row) for row in (header, *rows, ("",))))
    assert read_subjects(table) == (
        Subject(
            "first", place / "a/dwi.nii.gz", place / "a/dwi.bval", place / "a/dwi.bvec", None, place / "a/mask.nii.gz",
            {"wm": place / "wm.txt"},
        ),
        Subject("other", place / "b/other.nii", grad=place / "a/dwi.b"),
    )  # fmt: skip


def test_a_table_with_labels(place):
    (place / "a/lesions.nii.gz").touch()
    subject = read_subjects(listed(place, "list.tsv", "dwi\tlabel\na/dwi.nii.gz\ta/lesions.nii.gz\n"))[0]
    assert subject.label == place / "a/lesions.nii.gz" and subject.files()["label"] == subject.label
    with pytest.raises(ScanError, match=r"none.nii: no such file"):
        read_subjects(listed(place, "list.tsv", "dwi\tlabel\na/dwi.nii.gz\tnone.nii\n"))


def test_a_cell_may_hold_the_separator_between_quotes(place):
    (place / "b, c.nii").touch()
    table = listed(place, "list.csv", 'dwi,name\n"b, c.nii",x\n')
    assert read_subjects(str(table))[0].dwi == place / "b, c.nii"


def test_a_text_file_has_a_scan_a_line(place):
    text = listed(place, "list.txt", "# two scans\n\na/dwi.nii.gz\n  b/other.nii  \n")
    assert [(s.name, s.dwi) for s in read_subjects(text)] == [
        ("dwi", place / "a/dwi.nii.gz"), ("other", place / "b/other.nii"),
    ]  # fmt: skip


@pytest.fixture
def derivatives(tmp_path):
    """What QSIPrep leaves of three scans: with a session, without, and one without MRtrix3's table and mask."""
    names = {
        "sub-02/dwi/sub-02_space-ACPC": (".b", ".bval", ".bvec"),
        "sub-01/ses-b/dwi/sub-01_ses-b_run-1_space-ACPC": (".b", ".bval", ".bvec"),
        "sub-03/dwi/sub-03_space-T1w": (".bval", ".bvec"),
    }
    for name, tables in names.items():
        first = tmp_path / f"{name}_desc-preproc_dwi"
        first.parent.mkdir(parents=True)
        for ending in (".nii.gz", ".json", *tables):
            first.with_name(first.name + ending).touch()
        if "sub-03" not in name:
            (tmp_path / f"{name}_desc-brain_mask.nii.gz").touch()
        (tmp_path / f"{name}_dwiref.nii.gz").touch()
    (tmp_path / "sub-01" / "anat").mkdir()
    (tmp_path / "sub-01" / "anat" / "sub-01_desc-preproc_T1w.nii.gz").touch()
    (tmp_path / "dataset_description.json").write_text(json.dumps({"GeneratedBy": [{"Name": "QSIPrep"}]}))
    return tmp_path


def test_a_folder_of_derivatives(derivatives):
    first, second, third = read_subjects(derivatives)
    names = ("sub-01_ses-b_run-1_space-ACPC", "sub-02_space-ACPC", "sub-03_space-T1w")
    assert tuple(s.name for s in (first, second, third)) == names
    assert first.dwi == derivatives / f"sub-01/ses-b/dwi/{names[0]}_desc-preproc_dwi.nii.gz"
    assert first.grad == first.dwi.with_name(f"{names[0]}_desc-preproc_dwi.b") and first.bvec is None
    assert second.mask == derivatives / f"sub-02/dwi/{names[1]}_desc-brain_mask.nii.gz"
    assert third.grad is None and third.mask is None and third.bval is None  # left to read_scan, which looks beside it


# A list's name and text, and what the message must say.
CASES = {
    "empty table": ("list.tsv", "name\tdwi\n", r"list\.tsv: 0 subjects; expected a line each; add the scans"),
    "empty text": ("list.txt", "# none yet\n\n", r"list\.txt: 0 subjects; expected a line each"),
    "empty file": ("list.csv", "", r"list\.csv: no column 'dwi' among 0 \(\); the header names some of name, dwi"),
    "no scans": ("list.csv", "name,mask\nx,wm.txt\n", r"no column 'dwi' among 2 \(name, mask\)"),
    "unknown column": ("list.tsv", "dwi\tmaks\n", r"unknown column 'maks' among 2 .* csf, separated by tabs"),
    "commas in a .tsv": ("list.tsv", "name,dwi\n", r"unknown column 'name,dwi' among 1 .* separated by tabs"),
    "a column twice": ("list.csv", "dwi,dwi\n", r"a column twice among 2 \(dwi, dwi\)"),
    "missing scan": ("list.txt", "a/dwi.nii.gz\nc/dwi.nii\n", r"list\.txt, line 2: .*c/dwi\.nii: no such file;"),
    "missing files": (
        "list.csv", "dwi,mask,wm\na/dwi.nii.gz,m.nii,w.txt\n", r"line 2: .*m\.nii: no such file \(and 1 more missing\)",
    ),
    "a folder for a scan": ("list.txt", "a\n", r"line 1: .*/a: no such file"),
    "no scan in a row": ("list.csv", "dwi,name\nn/a,x\n", r"list\.csv, line 2: no dwi; give the path"),
    "too few cells": ("list.csv", "dwi,name\nb/other.nii\n", r"line 2: 1 cell but 2 columns; write n/a"),
    "too many cells": ("list.csv", "dwi,name\n\nb/other.nii,x,y\n", r"line 3: 3 cells but 2 columns"),
    "one name": (
        "list.csv", "dwi,name\na/dwi.nii.gz,s1\nb/other.nii,S1\n",
        r"list\.csv, line 3: 2 subjects of the name 'S1', the other on line 2; give each its own, in a table's column",
    ),
    "one file twice": ("list.txt", "a/dwi.nii.gz\na/dwi.nii.gz\n", r"line 2: 2 subjects of the name 'dwi'"),
    "a path for a name": ("list.csv", "dwi,name\na/dwi.nii.gz,../x\n", r"line 2: the name '\.\./x' cannot be"),
    "a hidden name": ("list.csv", "dwi,name\na/dwi.nii.gz,.x\n", r"the name '\.x' cannot be a folder's"),
    "a name of a folder in the making": ("list.csv", "dwi,name\na/dwi.nii.gz,x.partial\n", r"leave out .* \.partial"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_list(place, case):
    name, text, pattern = CASES[case]
    with pytest.raises(ScanError, match=pattern):
        read_subjects(listed(place, name, text))


def test_no_list_no_text_no_scans(tmp_path):
    with pytest.raises(ScanError, match=r"none\.tsv: no such file; check the path of the list"):
        read_subjects(tmp_path / "none.tsv")
    (tmp_path / "image.txt").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ScanError, match=r"image\.txt: cannot be read as text .*; give a \.tsv, \.csv or \.txt"):
        read_subjects(tmp_path / "image.txt")
    with pytest.raises(ScanError, match=r"0 subjects; expected sub-\*/.*; give QSIPrep's output folder"):
        read_subjects(tmp_path)


def test_two_formats_of_one_derivative(derivatives):
    (derivatives / "sub-02/dwi/sub-02_space-ACPC_desc-preproc_dwi.nii").touch()
    with pytest.raises(ScanError, match="2 subjects of the name 'sub-02_space-ACPC', the other on another place"):
        read_subjects(derivatives)


def test_what_lists_subjects(tmp_path):
    assert [lists_subjects(tmp_path / name) for name in ("", "a.tsv", "a.csv", "a.txt", "A.TXT")] == [True] * 5
    assert not any(lists_subjects(tmp_path / name) for name in ("a.nii", "a.nii.gz", "none", "a.mif"))


def test_a_subject_reads_its_scan_and_responses(tmp_path):
    phantom = crossing_phantom(60.0, shape=(4, 4, 4), protocol=PROTOCOL, affine=AFFINES["oblique"])
    files = store(phantom.scan, tmp_path)
    wm, gm, _ = phantom.responses
    for response in (wm, gm):
        write_response(tmp_path / f"{response.tissue}.txt", response)
    paths = {"gm": tmp_path / "gm.txt", "wm": tmp_path / "wm.txt"}
    subject = pickle.loads(pickle.dumps(Subject("x", **files, responses=paths)))  # a worker gets it so
    scan, responses = subject.read()
    np.testing.assert_array_equal(scan.data, phantom.scan.data)
    np.testing.assert_allclose(scan.gradients.directions, phantom.scan.gradients.directions, atol=1e-8)
    assert responses is not None and [r.tissue for r in responses] == ["wm", "gm"]
    np.testing.assert_allclose(responses[0].coefficients, wm.coefficients)
    assert Subject("x", **files).read()[1] is None
    with pytest.raises(ResponseError, match="none of white matter"):
        Subject("x", **files, responses={"gm": tmp_path / "gm.txt"}).read()


def test_derivatives_are_read_in_mrtrix_convention(tmp_path):
    """QSIPrep's .bvec is not FSL's, which read_scan warns about: with `.b` there is nothing to warn of."""
    phantom = crossing_phantom(60.0, shape=(4, 4, 4), protocol=PROTOCOL, affine=AFFINES["LPS"])
    folder = tmp_path / "sub-1" / "dwi"
    files = store(phantom.scan, folder, convention="qsiprep")
    table = (phantom.scan.gradients.bvalues, phantom.scan.gradients.directions, phantom.scan.affine)
    for path in (*files.values(), folder / "dwi.json"):
        ending = path.name.partition(".")[2]
        kind = "desc-brain_mask" if path == files["mask"] else "desc-preproc_dwi"
        path.rename(folder / f"sub-1_{kind}.{ending}")
    write_table("mrtrix", folder / "sub-1_desc-preproc_dwi.nii.gz", *table)
    (subject,) = read_subjects(tmp_path)
    scan, _ = subject.read()
    np.testing.assert_allclose(scan.gradients.directions, phantom.scan.gradients.directions, atol=1e-8)
    np.testing.assert_array_equal(scan.mask, phantom.scan.mask)


def test_the_name_of_a_scan_is_without_its_ending(tmp_path):
    for name in ("a.mif", "b.mif.gz", "c.nii", "d.nii.gz"):
        (tmp_path / name).touch()
    text = listed(tmp_path, "list.txt", "a.mif\nb.mif.gz\nc.nii\nd.nii.gz\n")
    assert [subject.name for subject in read_subjects(text)] == ["a", "b", "c", "d"]
