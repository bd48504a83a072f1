import json
from pathlib import Path

import numpy as np
import pytest

from shd.errors import OutputError
from shd.io.atomic import check_absent, check_writable, whole_file, write_json


def test_the_file_appears_at_the_end(tmp_path):
    with whole_file(tmp_path / "a.nii.gz") as partial:
        partial.write_text("new")
        assert partial.parent == tmp_path and partial.name.endswith("a.nii.gz")
        assert not (tmp_path / "a.nii.gz").exists()
    assert (tmp_path / "a.nii.gz").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii.gz"]


def test_an_error_leaves_the_older_file_and_no_other(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(KeyError), whole_file(tmp_path / "a.txt") as partial:
        partial.write_text("half")
        raise KeyError
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_missing_folder_is_named(tmp_path):
    with (
        pytest.raises(OutputError, match=r"no/a\.txt: cannot write in .*no \(No such file"),
        whole_file(tmp_path / "no" / "a.txt"),
    ):
        pass


def test_a_full_disk_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"a\.txt: cannot be written \(No space left"), whole_file(tmp_path / "a.txt"):
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_json_takes_numpy_and_paths(tmp_path):
    write_json(tmp_path / "a.json", {"µ": np.float32(0.5), "n": np.int64(3), "m": np.eye(2), "p": Path("x")})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"µ": 0.5, "n": 3, "m": [[1, 0], [0, 1]], "p": "x"} and "µ" in text


def test_json_without_form_writes_nothing(tmp_path):
    with pytest.raises(TypeError, match="object has no JSON form"):
        write_json(tmp_path / "a.json", {"a": object()})
    assert not list(tmp_path.iterdir())


def test_what_exists_is_refused_unless_forced(tmp_path):
    (tmp_path / "a").touch()
    check_absent([tmp_path / "b"])
    check_absent([tmp_path / "a"], force=True)
    with pytest.raises(OutputError, match=r"a: exists already; give another name, or --force"):
        check_absent([tmp_path / "a", tmp_path / "b"])


def test_a_folder_that_cannot_be_written_is_known_beforehand(tmp_path):
    check_writable([tmp_path / "a", tmp_path / "b"])
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match=r"no/a: cannot write in .*no \(No such file"):
        check_writable([tmp_path / "b", tmp_path / "no" / "a"])
    (tmp_path / "a").touch()
    with pytest.raises(OutputError, match="a: exists already"):
        check_writable([tmp_path / "a"])
