"""The warnings of a run, for its record."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shd.errors import ShdWarning

__all__ = ["said_warnings"]


@contextmanager
def said_warnings() -> Iterator[list[str]]:
    """Give a list that gains each of shd's own warnings, once, while the block runs; they are shown as before."""
    said: list[str] = []
    shown_before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **rest: Any) -> None:
        if issubclass(category, ShdWarning) and str(message) not in said:
            said.append(str(message))
        shown_before(message, category, *place, **rest)

    warnings.showwarning = show
    try:
        yield said
    finally:
        warnings.showwarning = shown_before
