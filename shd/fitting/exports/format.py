"""What a format is: a name, the files it makes, and the function that writes them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shd.fitting.exports.source import Source

__all__ = ["Choices", "Format"]


@dataclass(frozen=True)
class Choices:
    """basis: of DIPY's four, for harmonics written for DIPY. sphere: DIPY's name of a set of directions.

    fixel_format: mif or nii (NIfTI-2).
    """

    basis: str = "descoteaux07_legacy"
    sphere: str = "repulsion724"
    fixel_format: str = "mif"


@dataclass(frozen=True)
class Format:
    """name: as it is asked for. files: the names it writes of a source. write: writes them into a folder."""

    name: str
    files: Callable[[Source, Choices], list[str]]
    write: Callable[[Source, Path, Choices], None]
