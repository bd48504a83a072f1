"""`shd normalise`: amplitudes in one unit across voxels and scans."""

from pathlib import Path
from shlex import quote

import typer

from shd.cli.early_checks import check_files
from shd.cli.messages import tell, tell_command, tell_files
from shd.cli.results import output_folder

__all__ = ["normalise"]


def normalise(
    result: Path = typer.Argument(metavar="OUT", help="Folder of shd fit or shd infer, or one fODF image."),
    out: Path | None = typer.Option(None, help="Folder for the normalised result; by default OUT/normalised."),
    order: int = typer.Option(3, help="Order of the field's polynomial: 0 (one factor) to 3."),
    reference: float = typer.Option(0.28209479, help="What the tissues' sum becomes; 1/√4π by default."),
    force: bool = typer.Option(False, "--force", help="Replace results in the output folder."),
) -> None:
    """Divide fODFs and tissues by a smooth field, so that amplitudes compare between voxels and between scans."""
    out = out or (result if result.is_dir() else result.parent) / "normalised"
    if out.absolute() == result.absolute():
        raise typer.BadParameter(f"--out {out} is the result itself; give another folder")
    check_files(result, out=out, force=force)
    from shd.cli.progress_bar import shown_progress
    from shd.fitting.checked_result import read_checked_result
    from shd.fitting.normalise import normalise_fit, write_normalised

    with output_folder(out, force, inputs=[result]) as folder:
        stored = read_checked_result(result)
        with shown_progress() as report:
            normalised = normalise_fit(stored, order=order, reference=reference, report=report)
            files = write_normalised(folder, stored, normalised, report)
    intensity, mask = normalised.intensity, normalised.fod.mask
    low, high = intensity.field[mask].min(), intensity.field[mask].max()
    balance = ", ".join(f"{tissue} {weight:.3f}" for tissue, weight in intensity.balance.items())
    tell(f"field: {low:.3f} to {high:.3f}, mean {intensity.scale:.3f} over {intensity.inliers.sum()} of {mask.sum()}")
    tell(f"tissue balance: {balance}")
    tell_files(files, out)
    tell("the folder is read wherever that of a fit is; next, for example")
    tell_command(f"shd maps {quote(str(out))}")
