"""The output folder appears whole or not at all, on one disk or two."""

import errno
import json
from pathlib import Path

import pytest

from shd.errors import OutputError
from shd.fitting.output_folder import OutputFolder
from tests.support.stored import everything_in


def fill(folder, *names):
    for name in names:
        (folder.partial / name).write_text("{}" if name.endswith(".json") else name)


def test_a_new_folder_appears_by_one_rename(tmp_path):
    folder = OutputFolder(tmp_path / "a" / "out")
    fill(folder, "wm_fod.nii.gz", "run.json")
    assert not (tmp_path / "a" / "out").exists()
    assert folder.publish() == [tmp_path / "a" / "out" / "run.json", tmp_path / "a" / "out" / "wm_fod.nii.gz"]
    folder.discard()
    assert set(everything_in(tmp_path)) == {"a", "a/out", "a/out/run.json", "a/out/wm_fod.nii.gz"}


def test_nothing_is_left_of_what_is_discarded(tmp_path):
    (tmp_path / "a").mkdir()
    folder = OutputFolder(tmp_path / "a" / "b" / "c" / "out")
    fill(folder, "wm_fod.nii.gz")
    folder.discard()
    assert set(everything_in(tmp_path)) == {"a"}
    folder.discard()  # twice does no harm


def test_folders_that_others_use_meanwhile_stay(tmp_path):
    folder = OutputFolder(tmp_path / "a" / "out")
    (tmp_path / "a" / "theirs").write_text("theirs")
    folder.discard()
    assert set(everything_in(tmp_path)) == {"a", "a/theirs"}


def test_a_checkpoint_outlives_what_was_half_written(tmp_path):
    folder = OutputFolder(tmp_path / "out")
    fill(folder, "checkpoint.safetensors", "wm_fod.nii.gz", ".partial-1-peaks.nii.gz")
    folder.discard()
    assert set(everything_in(tmp_path)) == {"out.partial", "out.partial/checkpoint.safetensors"}
    again = OutputFolder(tmp_path / "out")
    assert again.checkpoint.read_text() == "checkpoint.safetensors"
    assert not OutputFolder(tmp_path / "out", force=True).checkpoint.exists()


def test_what_a_killed_run_left_is_not_published(tmp_path):
    killed = OutputFolder(tmp_path / "out")
    fill(killed, "gm.nii.gz", ".partial-1-peaks.nii.gz")
    folder = OutputFolder(tmp_path / "out")
    fill(folder, "run.json")
    assert [path.name for path in folder.publish()] == ["run.json"]


def test_an_existing_folder_is_filled_from_within(tmp_path):
    """`<out>.partial` beside a mounted disk would be on another one, where a rename cannot reach it."""
    (tmp_path / "out").mkdir()
    folder = OutputFolder(tmp_path / "out")
    assert folder.partial.parent == tmp_path / "out"
    fill(folder, "wm_fod.nii.gz", "run.json")
    folder.publish()
    assert set(everything_in(tmp_path / "out")) == {"wm_fod.nii.gz", "run.json"}


def test_a_checkpoint_inside_an_existing_folder_is_found_again(tmp_path):
    (tmp_path / "out").mkdir()
    folder = OutputFolder(tmp_path / "out")
    fill(folder, "checkpoint.safetensors")
    folder.discard()
    assert OutputFolder(tmp_path / "out").checkpoint.read_text() == "checkpoint.safetensors"


def earlier(out, *names, record="run.json"):
    """Publish a result whose files hold "old"."""
    folder = OutputFolder(out)
    for name in names:
        (folder.partial / name).parent.mkdir(exist_ok=True)
        (folder.partial / name).write_text("old")
    (folder.partial / record).write_text("{}")
    folder.publish()


def contents(folder):
    """Return what the files hold, but for run.json, which lists them."""
    return {name: held.decode() for name, held in everything_in(folder).items() if name != "run.json"}


def test_a_result_lists_its_files(tmp_path):
    earlier(tmp_path / "out", "gm.nii.gz", "truth/fod.nii.gz")
    listed = json.loads((tmp_path / "out" / "run.json").read_text())
    assert listed == {"written": ["gm.nii.gz", "run.json", "truth/fod.nii.gz"]}


def test_force_replaces_an_earlier_result_and_nothing_else(tmp_path):
    out = tmp_path / "out"
    earlier(out, "gm.nii.gz", "wm_fod.nii.gz", "truth/fod.nii.gz")
    for name in ("thesis.txt", "log.csv", "truth/mine.nii.gz"):
        (out / name).write_text("mine")
    with pytest.raises(OutputError, match=r"out: holds 6 files already \(gm\.nii\.gz, …\); give .* --out, or --force$"):
        OutputFolder(out)
    folder = OutputFolder(out, force=True)
    fill(folder, "wm_fod.nii.gz", "csf.nii.gz", "run.json")
    assert [path.name for path in folder.publish()] == ["csf.nii.gz", "run.json", "wm_fod.nii.gz"]
    new = {name: name for name in ("csf.nii.gz", "wm_fod.nii.gz")}
    mine = {name: "mine" for name in ("thesis.txt", "log.csv", "truth/mine.nii.gz")}
    assert contents(out) == {**new, **mine, "truth": ""}
    assert json.loads((out / "run.json").read_text())["written"] == ["csf.nii.gz", "run.json", "wm_fod.nii.gz"]


@pytest.mark.parametrize("record", [None, "{}", "thesis", '{"written": ["../other.txt", "/etc/hosts"]}'])
def test_a_folder_without_a_result_is_not_touched_by_force_either(tmp_path, record):
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "other.txt").write_text("mine")
    for name in ("mask.nii.gz", "log.csv", "response_gm.txt"):
        (out / name).write_text("mine")
    if record is not None:
        (out / "run.json").write_text(record)
    before = everything_in(tmp_path)
    says = r"files already \(log\.csv, …\); give another --out$"
    with pytest.raises(OutputError, match=says):
        OutputFolder(out)
    with pytest.raises(OutputError, match=r", and --force replaces nothing but an earlier result; give another --out$"):
        OutputFolder(out, force=True)
    assert everything_in(tmp_path) == before


def test_a_file_in_the_way_stays_and_so_do_the_new_results(tmp_path):
    earlier(tmp_path / "out", "wm_fod.nii.gz")
    (tmp_path / "out" / "gm.nii.gz").write_text("mine")
    before = everything_in(tmp_path / "out")
    folder = OutputFolder(tmp_path / "out", force=True)
    fill(folder, "wm_fod.nii.gz", "gm.nii.gz", "run.json")
    with pytest.raises(OutputError, match=r"out/gm\.nii\.gz: is not of the earlier result, and not replaced"):
        folder.publish()
    folder.discard()
    after = everything_in(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    assert {path.name for path in folder.partial.iterdir()} == {"wm_fod.nii.gz", "gm.nii.gz", "run.json"}


def test_what_a_run_reads_is_not_replaced(tmp_path, monkeypatch):
    out = tmp_path / "out"
    earlier(out, "wm_fod.nii.gz", "mask.nii.gz")
    (out / "dwi.nii.gz").write_text("mine")
    (tmp_path / "link").symlink_to(out / "mask.nii.gz")
    monkeypatch.chdir(out)
    before = everything_in(tmp_path)
    for path in (Path("mask.nii.gz"), tmp_path / "link", out, tmp_path / "out" / "run.json"):
        with pytest.raises(OutputError, match=rf"^{path}: is read by this run, and --force would replace it; give"):
            OutputFolder(out, force=True, inputs=[path])
    assert everything_in(tmp_path) == before
    OutputFolder(out, force=True, inputs=[out / "dwi.nii.gz", tmp_path / "absent.nii.gz"]).discard()
    assert everything_in(tmp_path) == before


def test_results_that_add_to_an_earlier_one(tmp_path):
    earlier(tmp_path / "out", "gfa.nii.gz", "dec.nii.gz", record="maps.json")
    folder = OutputFolder(tmp_path / "out", force=True, adds=True)
    fill(folder, "dec.nii.gz", "maps.json", "nufo.nii.gz")
    folder.publish()
    held = contents(tmp_path / "out")
    assert json.loads(held.pop("maps.json"))["written"] == ["dec.nii.gz", "gfa.nii.gz", "maps.json", "nufo.nii.gz"]
    assert held == {"gfa.nii.gz": "old", "dec.nii.gz": "dec.nii.gz", "nufo.nii.gz": "nufo.nii.gz"}


def test_the_record_comes_last_in_a_folder_in_use(tmp_path, monkeypatch):
    """Renaming one by one may be interrupted: the folder without its record is then known to be incomplete."""
    earlier(tmp_path / "out", "gm.nii.gz")
    folder = OutputFolder(tmp_path / "out", force=True)
    fill(folder, "run.json", "wm_fod.nii.gz")
    rename = Path.replace

    def fail_at_fods(path, target):
        if path.name == "wm_fod.nii.gz":
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", fail_at_fods)
        with pytest.raises(OutputError, match=r"cannot be written \(Input/output error\); the results are in"):
            folder.publish()
    folder.discard()
    assert not (tmp_path / "out" / "run.json").exists()
    assert {path.name for path in folder.partial.iterdir()} == {"run.json", "wm_fod.nii.gz"}  # hours of computing
    (tmp_path / "out" / "csf.nii.gz").write_text("mine")
    with pytest.raises(OutputError, match=r", or --force$"):
        OutputFolder(tmp_path / "out")
    again = OutputFolder(tmp_path / "out", force=True)
    fill(again, "run.json", "wm_fod.nii.gz")
    again.publish()
    assert set(contents(tmp_path / "out")) == {"wm_fod.nii.gz", "csf.nii.gz"}


@pytest.mark.parametrize("kind", ["file", "below a file", "link to a file"])
def test_a_file_is_no_folder(tmp_path, kind):
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    out = {"file": tmp_path / "file", "below a file": tmp_path / "file" / "out", "link to a file": tmp_path / "link"}
    with pytest.raises(OutputError, match=r"is a file; give|cannot be written \(Not a directory\); choose another"):
        OutputFolder(out[kind])
    assert set(everything_in(tmp_path)) == {"file", "link"}


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    folder = OutputFolder(tmp_path / "out")
    fill(folder, "run.json")
    folder.publish()
    assert (tmp_path / "out").is_symlink() and (tmp_path / "disk" / "run.json").exists()
