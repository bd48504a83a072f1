"""How commands are told the files of one scan."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:  # importing what computes takes seconds, which `shd --help` should not
    from shd.io.subjects import Subject

__all__ = ["BVAL", "BVEC", "GRAD", "IGNORE_BAD_VOXELS", "MASK", "scan_given"]

BVAL: Any = typer.Argument(None, help="FSL b-values (s/mm²); by default beside the scan, or in the .mif.")
BVEC: Any = typer.Argument(None, help="FSL gradient directions; by default the .bvec beside the scan.")
GRAD: Any = typer.Option(None, help="MRtrix gradient table (.b: x y z b) instead of bval and bvec.")
MASK: Any = typer.Option(None, help="Brain mask; computed if not given.")
IGNORE_BAD_VOXELS: Any = typer.Option(False, "--ignore-bad-voxels", help="Leave out NaN and infinite voxels.")


def scan_given(
    out: Path,
    dwi: Path,
    bval: Path | None,
    bvec: Path | None,
    grad: Path | None,
    mask: Path | None,
    **responses: Path | None,
) -> "Subject":
    """Return the scan as a subject called after its output folder. responses: by tissue, None where not given."""
    from shd.io.subjects import Subject

    given = {tissue: path for tissue, path in responses.items() if path is not None}
    return Subject(out.name, dwi, bval, bvec, grad, mask, given)
