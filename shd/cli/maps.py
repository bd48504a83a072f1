"""`shd maps`: scalar maps of a result."""

from pathlib import Path
from shlex import quote

import typer

from shd.cli.early_checks import check_files
from shd.cli.messages import tell, tell_command, tell_files
from shd.cli.results import output_folder
from shd.errors import OutputError

__all__ = ["maps"]


def maps(
    result: Path = typer.Argument(metavar="OUT", help="Folder of shd fit, infer or normalise, or one fODF image."),
    only: str | None = typer.Option(None, help="Names of maps, with commas between; by default all there can be."),
    dest: Path | None = typer.Option(None, help="Folder for the maps; by default OUT/maps."),
    threshold: float = typer.Option(0.1, help="fODF amplitude above which a peak counts in nufo."),
    relative_threshold: float = typer.Option(0.2, help="Share of the voxel's highest peak that it must exceed too."),
    force: bool = typer.Option(False, "--force", help="Replace maps in the folder."),
) -> None:
    """Make scalar maps: fibre density, number of fibres, anisotropy, colours, dispersion, tissue fractions."""
    dest = dest or (result if result.is_dir() else result.parent) / "maps"
    for name in ("run.json", "wm_fod.nii.gz"):
        if (dest / name).exists():
            raise OutputError(f"{dest}: holds {name}, so it is no place for maps; give another --dest")
    check_files(result, out=dest, force=force, option="--dest")
    from shd.cli.progress_bar import shown_progress
    from shd.fitting.checked_result import read_checked_result
    from shd.fitting.maps import make_maps, peaks_of, wanted_maps, write_maps

    with output_folder(dest, force, option="--dest", inputs=[result], adds=True) as folder:
        stored = read_checked_result(result)
        names = wanted_maps(stored.fod, [name.strip() for name in only.split(",")] if only is not None else None)
        limits = {"threshold": threshold, "relative_threshold": relative_threshold}
        with shown_progress() as report:
            peaks = peaks_of(stored)
            made = make_maps(stored.fod, peaks, names, report=report, **limits)
            files = write_maps(folder, stored, peaks, made, report=report, **limits)
    tell_files(files, dest)
    tell(f"look at {dest / 'maps.png'}; each map's unit is in its .json; next, for example")
    tell_command(f"mrview {quote(str(dest / f'{names[0]}.nii.gz'))}")
