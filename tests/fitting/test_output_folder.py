"""The output folder appears whole or not at all, on one disk or two."""

import errno
from pathlib import Path

import pytest

from shd.errors import OutputError
from shd.fitting.output_folder import OutputFolder
from tests.support.stored import everything_in


def fill(folder, *names):
    for name in names:
        (folder.partial / name).write_text(name)


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


def test_files_of_others_need_force_and_stay(tmp_path):
    (tmp_path / "out").mkdir()
    for name in ("thesis.txt", "gm.nii.gz", "run.json"):
        (tmp_path / "out" / name).write_text("old")
    with pytest.raises(OutputError, match=r"out: holds 3 files already \(gm\.nii\.gz, …\); give another --out"):
        OutputFolder(tmp_path / "out")
    folder = OutputFolder(tmp_path / "out", force=True)
    fill(folder, "wm_fod.nii.gz", "run.json")
    assert [path.name for path in folder.publish()] == ["run.json", "wm_fod.nii.gz"]
    left = everything_in(tmp_path / "out")
    assert left == {"thesis.txt": b"old", "run.json": b"run.json", "wm_fod.nii.gz": b"wm_fod.nii.gz"}


def test_run_json_comes_last_in_a_folder_in_use(tmp_path, monkeypatch):
    """Renaming one by one may be interrupted: the folder without run.json is then known to be incomplete."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text("old")
    folder = OutputFolder(tmp_path / "out", force=True)
    fill(folder, "run.json", "wm_fod.nii.gz")
    rename = Path.replace

    def fail_at_fods(path, target):
        if path.name == "wm_fod.nii.gz":
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", fail_at_fods)
    with pytest.raises(OutputError, match=r"cannot be written \(Input/output error\); the results are in .*\.partial"):
        folder.publish()
    folder.discard()
    assert not (tmp_path / "out" / "run.json").exists()
    assert {path.name for path in folder.partial.iterdir()} == {"run.json", "wm_fod.nii.gz"}  # hours of computing


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
