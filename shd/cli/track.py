"""`shd track`: streamlines along fODFs."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import typer

from shd.cli.early_checks import TRACTOGRAM_ENDINGS, check_choice, check_ending, check_files
from shd.cli.messages import tell, tell_command
from shd.cli.results import paths_of, said_if_interrupted
from shd.errors import number_of

if TYPE_CHECKING:  # importing what computes takes seconds, which `shd --help` should not
    from shd.fitting.track import Tracked

__all__ = ["track"]


def track(
    fod: Path = typer.Argument(help="Folder of shd fit or shd infer, or an fODF image (MRtrix3 basis).", metavar="OUT"),
    out: Path = typer.Option(..., help="Tractogram: .trx, .tck or .trk; a picture and a sidecar go beside it."),
    algorithm: str = typer.Option("probabilistic", help="deterministic, probabilistic or particle (ends in tissue)."),
    seeds: Path | None = typer.Option(None, help="Image of the voxels to start in; by default white matter."),
    seeds_per_voxel: int | None = typer.Option(None, help="Seeds in each of them; 1 if no number is given."),
    seed_count: int | None = typer.Option(None, help="Seeds in all, in place of seeds per voxel."),
    select: int | None = typer.Option(None, help="Stop at so many streamlines."),
    mask: Path | None = typer.Option(None, help="Image of the voxels that streamlines stay in; by default all."),
    cutoff: float = typer.Option(0.1, help="Least fODF amplitude along a streamline."),
    step: float | None = typer.Option(None, help="mm; half a voxel if not given."),
    angle: float | None = typer.Option(None, help="Degrees between steps, at most; 45, or 20 where they are random."),
    min_length: float = typer.Option(10.0, help="mm; shorter streamlines are left out."),
    max_length: float = typer.Option(250.0, help="mm; longer streamlines are left out."),
    seed: int = typer.Option(0, help="Of all that is random: the same seed, the same tractogram."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads; all by default. They do not change the result."),
    force: bool = typer.Option(False, "--force", help="Replace an existing tractogram."),
) -> None:
    """Follow fODFs: seeds to streamlines, in a file that every tractography program reads."""
    from shd.tracking.settings import ALGORITHMS

    check_choice("--algorithm", algorithm, ALGORITHMS)
    check_files(fod, seeds, mask)
    check_ending(out, TRACTOGRAM_ENDINGS)
    from shd.cli.progress_bar import shown_progress
    from shd.fitting.checked_result import read_checked_result
    from shd.fitting.track import check_outputs, read_region, write_tracks
    from shd.fitting.track import track as track_fods

    check_outputs(out, force)
    stored = read_checked_result(fod)
    regions = {
        name: read_region(path, stored.fod, name)
        for name, path in (("seeds", seeds), ("mask", mask))
        if path is not None
    }
    with said_if_interrupted(out), shown_progress() as report:
        tracked = track_fods(
            stored.fod, **regions, threads=threads, report=report, algorithm=algorithm, step=step, angle=angle,
            cutoff=cutoff, min_length=min_length, max_length=max_length, seeds_per_voxel=seeds_per_voxel,
            seed_count=seed_count, select=select, seed=seed,
        )  # fmt: skip
        files = write_tracks(out, tracked, paths_of(fod=fod, seeds=seeds, mask=mask), force)
    _announce(tracked, files, fod)


def _announce(tracked: "Tracked", files: tuple[Path, ...], fod: Path) -> None:
    """Say what was found, what was written, and what may come next."""
    count = len(tracked.tractogram.streamlines.lengths)
    tracks, picture, _ = files
    tell(
        f"{number_of(count, 'streamline')} from {number_of(tracked.tractogram.seeds, 'seed')}, "
        f"{tracked.settings.algorithm}"
    )
    tell(f"wrote {', '.join(str(path) for path in files)}")
    tell(f"look at {picture}; next, for example")
    image = quote(str(fod / "wm_fod.nii.gz" if fod.is_dir() else fod))
    if tracks.suffix == ".tck":
        tell_command(f"mrview {image} -tractography.load {quote(str(tracks))}")
    else:
        tell_command(f"dipy_horizon {quote(str(tracks))}")
