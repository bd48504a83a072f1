"""Which paths stand for many scans: quick to ask, without reading anything."""

from pathlib import Path

__all__ = ["SEPARATORS", "lists_subjects"]

SEPARATORS = {".tsv": "\t", ".csv": ","}
"""Endings of tables, and what parts their cells."""

_LIST = ".txt"


def lists_subjects(path: str | Path) -> bool:
    """Return whether `read_subjects` is meant for the path, by its ending or as it is a folder; a scan's is not."""
    path = Path(path)
    return path.is_dir() or path.suffix.lower() in (*SEPARATORS, _LIST)
