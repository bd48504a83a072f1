"""Files that appear whole or not at all."""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from shd.errors import OutputError

__all__ = ["check_absent", "check_writable", "plain", "put_json", "whole_file", "write_json"]


def check_absent(paths: Iterable[str | Path], force: bool = False) -> None:
    """Raise OutputError where any of the files to be written exists already and may not be replaced."""
    held = [str(path) for path in paths if Path(path).exists()]
    if held and not force:
        raise OutputError(
            f"{held[0]}: exists already"
            + (f" ({len(held)} files do)" if held[1:] else "")
            + "; give another name, or --force to replace it"
        )


def check_writable(paths: Iterable[str | Path], force: bool = False) -> None:
    """Raise OutputError as `check_absent`, and where a folder cannot be written: before what takes long to compute."""
    paths = list(paths)
    check_absent(paths, force)
    for path in paths:
        _begun(Path(path)).unlink()


def _begun(path: Path) -> Path:
    """Return an empty file beside `path`, of a name that ends alike."""
    partial = path.with_name(f".partial-{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        partial.touch(exist_ok=False)
    except OSError as error:
        raise OutputError(f"{path}: cannot write in {path.parent} ({error.strerror}); choose another folder") from error
    return partial


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a name beside `path` to write to; the file takes its real name when the block ends without an error.

    Otherwise it is removed, and an older file at `path` stays as it was. The name ends as `path` does, so that programs
    which choose a format by the ending choose the right one. Raises `OutputError` where the folder cannot be written.
    """
    path = Path(path)
    partial = _begun(path)
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); is the disk full?") from error
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole; NumPy numbers and arrays, and paths, become numbers, lists and strings."""
    with whole_file(path) as partial:
        put_json(partial, content)


def put_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write what `write_json` does into a file that is not whole yet."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, default=plain) + "\n", encoding="utf-8")


def plain(value: Any) -> Any:
    """Return the JSON form of NumPy numbers, arrays and paths: `default` of `json.dumps`."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
