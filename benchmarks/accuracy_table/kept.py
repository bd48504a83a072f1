"""Results that outlive their process: computed once, read afterwards."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shd.errors import OutputError
from shd.io.atomic import write_json

__all__ = ["kept"]


def kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what `path` holds, or what `make` returns, which is then written there.

    Raises OutputError where the file is no JSON or the folder cannot be made.
    """
    if path.is_file():
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise OutputError(f"{path}: no finished result ({error}); remove it") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent}: cannot be made ({error.strerror}); give another --out") from error
    result = make()
    write_json(path, result)
    return result
