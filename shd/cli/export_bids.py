"""`shd export --to bids`: a result as BIDS derivatives."""

from collections.abc import Sequence
from pathlib import Path

import typer

from shd.cli.messages import tell
from shd.errors import number_of

__all__ = ["check_bids", "export_bids"]


def check_bids(
    formats: Sequence[str], dest: Path | None, subject: str | None, degree: int | None, mask: Path | None
) -> str:
    """Return the participant's label. Raises a usage error for choices that exclude each other, or are missing."""
    if len(formats) > 1:
        raise typer.BadParameter(f"--to {','.join(formats)}: bids makes a dataset of its own; export it alone")
    if dest is None:
        raise typer.BadParameter("--to bids writes into a dataset; give its folder, as --dest derivatives/shd")
    if subject is None:
        raise typer.BadParameter("--to bids needs the participant's label; give --subject, as --subject 01")
    if degree is not None or mask is not None:
        raise typer.BadParameter("--degree and --mask: not of bids, which writes what was fitted; leave them out")
    return subject


def export_bids(
    out: Path, dest: Path, subject: str, session: str | None, space: str | None, template: str, force: bool
) -> None:
    """Write the whole result, as it is, below the dataset's folder `dest`."""
    from shd.fitting.checked_result import read_checked_result
    from shd.io.bids import write_bids

    files = write_bids(
        read_checked_result(out), dest, subject=subject, session=session, space=space, template=template, force=force
    )
    for file in files:
        tell(str(file))
    tell(f"wrote {number_of(len(files), 'file')} in {dest}; docs/bids.md says what each is")
