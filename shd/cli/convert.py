"""`shd convert`: harmonics and peaks from one program's telling to another's."""

from pathlib import Path

import typer

from shd.cli.early_checks import check_files
from shd.cli.messages import tell

__all__ = ["convert"]


def convert(
    source: Path = typer.Argument(metavar="IN", help="Image of harmonics, or of peaks (--peaks): NIfTI or .mif."),
    out: Path = typer.Argument(help="Image to write: .nii, .nii.gz, .mif or .mif.gz."),
    from_basis: str | None = typer.Option(None, help="Basis of IN; by default its sidecar's, or guessed."),
    from_axes: str | None = typer.Option(None, help="scanner or voxel; by default the sidecar's, or guessed."),
    to_basis: str | None = typer.Option(None, help="mrtrix3 (default), tournier07 or descoteaux07 (or …_legacy)."),
    to_axes: str | None = typer.Option(None, help="By default scanner for mrtrix3, voxel for DIPY's bases."),
    degree: int | None = typer.Option(None, help="Write harmonics up to this even degree; by default all."),
    peaks: bool = typer.Option(False, "--peaks", help="IN holds peaks, not harmonics."),
    from_layout: str | None = typer.Option(None, help="Peaks: mrtrix, scilpy or tractseg; by default as for axes."),
    to_layout: str | None = typer.Option(None, help="Peaks: mrtrix (default), scilpy or tractseg."),
    force: bool = typer.Option(False, "--force", help="Replace OUT."),
) -> None:
    """Convert harmonics between bases, axes and degrees, or peaks between layouts; exact, both ways."""
    check_files(source)
    from shd.fitting.convert import convert_harmonics, convert_peaks

    if peaks:
        _check_absent(
            "harmonics", from_basis=from_basis, from_axes=from_axes, to_basis=to_basis, to_axes=to_axes, degree=degree
        )
        done = convert_peaks(source, out, from_layout=from_layout, to_layout=to_layout or "mrtrix", force=force)
    else:
        _check_absent("peaks; add --peaks", from_layout=from_layout, to_layout=to_layout)
        done = convert_harmonics(
            source, out, from_basis=from_basis, from_axes=from_axes, to_basis=to_basis or "mrtrix3", to_axes=to_axes,
            degree=degree, force=force,
        )  # fmt: skip
    for known in done.known:
        tell(f"{source.name}: {known.how}")
    tell(f"wrote {', '.join(map(str, done.files))}: {done.old} → {done.new}")


def _check_absent(use: str, **options: object) -> None:
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    if given:
        raise typer.BadParameter(f"{', '.join(given)}: only for {use}")
