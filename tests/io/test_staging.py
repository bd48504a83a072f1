"""Files that appear together in a folder that holds others'."""

from pathlib import Path

import pytest

from shd.errors import OutputError
from shd.io.atomic import whole_file
from shd.io.staging import staged_files
from tests.support.stored import everything_in


@pytest.fixture
def dest(tmp_path):
    for name in ("fixels/old.txt", "sub-01/old.txt", "other.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("old")
    return tmp_path


def fill(stage):
    for name in ("fixels/new.txt", "sub-01/new.txt", "new.txt"):
        (stage / name).parent.mkdir(exist_ok=True)
        (stage / name).write_text("new")


def files_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_folders_are_joined_but_for_those_that_are_replaced_whole(dest):
    with staged_files(dest, whole_folders=["fixels", "absent", "new.txt"]) as stage:
        fill(stage)
    names = {"fixels/new.txt", "sub-01/old.txt", "sub-01/new.txt", "new.txt", "other.txt"}
    assert files_in(dest) == names


def test_a_folder_that_is_new_is_made(dest):
    with staged_files(dest / "deeper", whole_folders=["fixels"]) as stage:
        fill(stage)
    assert files_in(dest / "deeper") == {"fixels/new.txt", "sub-01/new.txt", "new.txt"}


def test_an_error_in_the_block_leaves_all_as_it_was(dest):
    before = everything_in(dest)
    with pytest.raises(RuntimeError), staged_files(dest, whole_folders=["fixels"]) as stage:
        fill(stage)
        raise RuntimeError
    with pytest.raises(RuntimeError), staged_files(dest / "a" / "b") as stage:
        fill(stage)
        raise RuntimeError
    assert everything_in(dest) == before and not (dest / "a").exists()


def test_a_folder_in_the_place_of_a_file_stays(dest):
    (dest / "new.txt").mkdir()
    (dest / "new.txt" / "inside").write_text("old")
    before = everything_in(dest)
    with pytest.raises(OutputError, match="cannot be written"), staged_files(dest, whole_folders=["fixels"]) as stage:
        fill(stage)
    assert everything_in(dest) == before


def test_a_folder_that_cannot_be_replaced_stays(dest, monkeypatch):
    replace = Path.replace

    def full(path, target):
        if path.name == "fixels" and ".partial-" in str(path):
            raise OSError(28, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="No space left"), staged_files(dest, whole_folders=["fixels"]) as stage:
        fill(stage)
    assert files_in(dest) >= {"fixels/old.txt", "sub-01/old.txt", "other.txt"}


def test_errors_name_the_files_that_were_to_be(dest):
    with (
        pytest.raises(OutputError, match=rf"^{dest}/a\.json: cannot be written \(No space left\); is the disk full\?$"),
        staged_files(dest) as stage,
        whole_file(stage / "a.json"),
    ):
        raise OSError(28, "No space left")
