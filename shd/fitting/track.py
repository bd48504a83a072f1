"""From fODFs to a tractogram and its files."""

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32

from shd._version import __version__
from shd.errors import ScanError, ShdWarning, number_of
from shd.fitting.progress import Progress, Report, silent
from shd.fodf.field import FodField
from shd.io.atomic import check_writable, write_json
from shd.io.grids import check_same_grid
from shd.io.images import read_with_sidecar
from shd.io.staging import staged_files
from shd.io.tractograms import check_ending, write_streamlines
from shd.report.streamline_figure import streamline_figure
from shd.tracking.field import AMOUNT, tracking_field
from shd.tracking.settings import TrackSettings, settings_for
from shd.tracking.tissues import white_matter
from shd.tracking.tractogram import Tractogram, track_field

__all__ = ["Tracked", "check_outputs", "read_region", "track", "write_tracks"]


@dataclass(frozen=True, eq=False)
class Tracked:
    """A tractogram, how it was made and what it lies on.

    background: amount of white matter, for pictures. affine: voxel index → scanner RAS mm.
    """

    tractogram: Tractogram
    settings: TrackSettings
    background: Float32[np.ndarray, "x y z"]
    affine: Float[np.ndarray, "4 4"]


def track(
    fod: FodField,
    *,
    seeds: Bool[np.ndarray, "x y z"] | None = None,
    mask: Bool[np.ndarray, "x y z"] | None = None,
    threads: int | None = None,
    report: Report = silent,
    **choices: Any,
) -> Tracked:
    """Return the streamlines along fODFs.

    fod: of `shd.fit`, `shd.infer` or any program, as `shd.io.fit_folder` reads them. seeds: voxels to start in; by
    default those that are mostly white matter. mask: voxels that no streamline leaves; by default those with fODFs.
    threads: by default all; they change nothing in the result. choices: those of `settings_for`: algorithm, step,
    angle, cutoff, min_length, max_length, seeds_per_voxel, seed_count, select, seed. report: told the progress.

    Raises SettingsError for choices that cannot be, ScanError where there is nothing to track or nothing is found.
    Warns (ShdWarning) where fewer streamlines than `select` are found.
    """
    settings = settings_for(np.linalg.norm(fod.affine[:3, :3], axis=0), **choices)
    report(Progress("fODFs", 0.0))
    inside = fod.mask if mask is None else fod.mask & mask
    field = tracking_field(FodField(fod.wm, fod.isotropic, fod.affine, inside))
    if seeds is not None and not (seeds & inside).any():
        raise ScanError(f"0 of {np.count_nonzero(seeds)} seed voxels hold an fODF; give seeds inside its mask")
    where = white_matter(field) if seeds is None else field.cropped(seeds)
    background = np.where(fod.mask, AMOUNT * fod.wm[..., 0], 0).astype(np.float32)
    report(Progress("tracking", 0.0))
    tractogram = track_field(
        field,
        where,
        settings,
        threads=threads,
        advance=lambda share, found: report(Progress("tracking", min(share, 1.0), {"streamlines": float(found)})),
    )
    found = len(tractogram.streamlines.lengths)
    if settings.select is not None and found < settings.select:
        warnings.warn(
            f"{found} of {number_of(settings.select, 'streamline')} found, from "
            f"{number_of(tractogram.seeds, 'seed')}; give more seeds, or a lower cutoff or least length",
            ShdWarning,
            stacklevel=2,
        )
    return Tracked(tractogram, settings, background, fod.affine)


def read_region(path: Path, fod: FodField, what: str) -> Bool[np.ndarray, "x y z"]:
    """Return the voxels of an image that are above 0.5.

    what: the region's name in messages. Raises ScanError where the image cannot be read or no voxel is, EvaluationError
    where it lies on another grid than the fODFs.
    """
    values, affine, _ = read_with_sidecar(path)
    check_same_grid(f"the {what} {path}", values.shape, affine, "the fODFs", fod.mask.shape, fod.affine)
    region = np.asarray(values.reshape(fod.mask.shape) > 0.5)
    if not region.any():
        raise ScanError(f"{path}: 0 of {region.size} voxels are above 0.5; give a {what} that holds voxels")
    return region


def check_outputs(path: Path, force: bool) -> tuple[Path, Path, Path]:
    """Return the names of tractogram, picture and sidecar.

    Raises OutputError for an ending that is no tractogram's, and where one of them exists and may not be replaced, or
    cannot be written.
    """
    check_ending(path)
    names = (path, path.with_suffix(".png"), path.with_suffix(".json"))
    check_writable(names, force)
    return names


def write_tracks(path: Path, tracked: Tracked, inputs: Mapping[str, Any], force: bool = False) -> tuple[Path, ...]:
    """Write tractogram, picture (.png) and settings (.json); all of them, or none. Return their names.

    inputs: what was read from where, for the sidecar. Raises OutputError as `check_outputs`, and where a file cannot be
    written.
    """
    names = check_outputs(path, force)
    settings, streamlines = tracked.settings, tracked.tractogram.streamlines
    count, shape = len(streamlines.lengths), tracked.background.shape
    lengths = (streamlines.lengths - 1) * settings.step
    record = {
        "shd": __version__,
        "inputs": dict(inputs),
        "settings": asdict(settings),
        "streamlines": count,
        "seeds": tracked.tractogram.seeds,
        "mean_length_mm": float(lengths.mean()),
        "affine": tracked.affine,
        "shape": list(shape),
        "Frame": "points in scanner RAS mm",
    }
    notes = (
        f"{number_of(count, 'streamline')} of {number_of(tracked.tractogram.seeds, 'seed')} · {lengths.mean():.0f} "
        "mm long on average",
        f"{settings.algorithm} · step {settings.step:g} mm · {settings.angle:g}° · cutoff {settings.cutoff:g} · "
        "over the amount of white matter · radiological view",
    )
    with staged_files(path.parent) as folder:
        tracks, picture, sidecar = (folder / name.name for name in names)
        header = {"step_size": f"{settings.step:g}", "method": settings.algorithm}
        write_streamlines(tracks, streamlines, tracked.affine, (shape[0], shape[1], shape[2]), header)
        streamline_figure(
            picture,
            streamlines=streamlines,
            background=tracked.background,
            affine=tracked.affine,
            title=f"shd track: {path.name}",
            notes=notes,
        )
        write_json(sidecar, record)
    return names
