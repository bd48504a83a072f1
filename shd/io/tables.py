"""Tables as CSV."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shd.io.atomic import whole_file

__all__ = ["write_csv"]


def write_csv(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows whole, under the names of all of them in the order they come; what a row lacks, or None, is empty.

    Raises OutputError where the file cannot be written.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, names, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
