import csv

import pytest

from shd.errors import OutputError
from shd.io.tables import write_csv


def test_rows_come_back_under_all_their_names(tmp_path):
    write_csv(tmp_path / "a.csv", [{"name": "é, b", "f1": 0.5}, {"name": "c", "f1": None, "more": 3}])
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows == [{"name": "é, b", "f1": "0.5", "more": ""}, {"name": "c", "f1": "", "more": "3"}]
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        write_csv(tmp_path / "no" / "a.csv", [{"a": 1}])
