"""`shd peaks`: the fibre directions of fODFs."""

from pathlib import Path
from shlex import quote

import typer

from shd.cli.early_checks import check_files
from shd.cli.messages import tell, tell_command
from shd.errors import number_of

__all__ = ["peaks"]


def peaks(
    result: Path = typer.Argument(metavar="OUT", help="Folder of shd fit, infer or normalise, or one fODF image."),
    out: Path = typer.Option(..., help="Peaks image, .nii.gz, .nii or .mif: MRtrix3's layout, scanner axes."),
    count: int = typer.Option(5, min=1, help="Peaks of a voxel, at most."),
    relative: float = typer.Option(0.1, min=0.0, max=1.0, help="Least share of the voxel's highest peak."),
    cutoff: float = typer.Option(0.0, min=0.0, help="Amplitude that a peak must exceed, in the fODF's units."),
    separation: float = typer.Option(8.0, min=0.0, max=90.0, help="Degrees: of two peaks closer the higher is kept."),
    force: bool = typer.Option(False, "--force", help="Replace the file."),
) -> None:
    """Find the peaks of fODFs: exact maxima, the highest first, as long as the fODF is high."""
    from shd.io.atomic import check_absent, check_writable

    check_files(result)
    check_absent([out], force)
    import numpy as np

    from shd.errors import ScanError
    from shd.fitting.checked_result import read_checked_result
    from shd.fodf.peaks import find_peaks
    from shd.io.images import image_files
    from shd.io.peaks import write_peaks

    check_writable(image_files(out), force)
    stored = read_checked_result(result)
    fod = stored.fod
    if not fod.mask.any():
        raise ScanError(f"{result}: 0 of {fod.mask.size} voxels hold an fODF; give another image or mask")
    found = find_peaks(
        fod.wm[fod.mask], count=count, relative_threshold=relative, absolute_threshold=cutoff,
        separation_degrees=separation,
    )  # fmt: skip
    write_peaks(out, found.on_grid(fod.mask), fod.affine, stored.sidecars["wm"])
    numbers = np.bincount(found.numbers)
    tell(f"{number_of(len(found.numbers), 'voxel')}; with 0, 1, … peaks: {', '.join(map(str, numbers))}")
    tell(f"wrote {out}; other layouts and axes: shd convert --peaks; next, for example")
    image = quote(str(result / "wm_fod.nii.gz" if result.is_dir() else result))
    tell_command(f"mrview {image} -fixel.load {quote(str(out))}")
