"""A result, written for other programs: fODFs, peaks and fixels in the files, axes and bases that each reads."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from shd.errors import FormatError, SettingsError
from shd.fitting.exports.dipy_harmonics import DIPY_SH
from shd.fitting.exports.fib import FIB
from shd.fitting.exports.fixel_folder import FIXELS
from shd.fitting.exports.format import Choices, Format
from shd.fitting.exports.mrtrix_fod import MIF, MRTRIX_FOD
from shd.fitting.exports.pam5 import PAM5
from shd.fitting.exports.peak_images import PEAK_IMAGES
from shd.fitting.exports.samples import ODF
from shd.fitting.exports.source import Source
from shd.fitting.progress import Progress, Report, silent
from shd.io.atomic import check_absent
from shd.io.fit_folder import StoredFit, read_fit_folder
from shd.io.grids import check_same_grid
from shd.io.harmonics import truncated
from shd.io.images import read_with_sidecar
from shd.io.staging import staged_files

__all__ = ["FORMATS", "export", "export_folder", "read_source"]

FORMATS: dict[str, Format] = {
    each.name: each for each in (MRTRIX_FOD, MIF, FIXELS, *PEAK_IMAGES, PAM5, DIPY_SH, ODF, FIB)
}


def read_source(path: str | Path, degree: int | None = None, mask: str | Path | None = None) -> Source:
    """Return what a fit's folder or an fODF image holds, up to `degree` and inside `mask` (an image, above 0.5).

    Raises ScanError and EvaluationError as `read_fit_folder`, and where the mask lies on another grid; FormatError for
    a degree that is not held.
    """
    stored: StoredFit = read_fit_folder(path)
    fod, inside = stored.fod, stored.fod.mask
    if mask is not None:
        values, grid, _ = read_with_sidecar(mask)
        check_same_grid(Path(mask).name, values.shape, grid, Path(path).name, fod.wm.shape, fod.affine)
        inside = inside & (values.reshape(inside.shape) > 0.5)
    wm = truncated(fod.wm, fod.degree, degree, Path(path).name)
    return Source(wm, fod.isotropic, fod.affine, inside, stored.sidecars)


def export_folder(path: str | Path) -> Path:
    """Return where exports go by default: `export` in a fit's folder, `<image>_export` beside an image."""
    path = Path(path)
    if path.is_dir():
        return path / "export"
    return path.with_name(path.name.split(".")[0] + "_export")


def export(
    source: Source,
    formats: Sequence[str],
    dest: str | Path,
    choices: Choices | None = None,
    force: bool = False,
    report: Report = silent,
) -> dict[str, list[Path]]:
    """Write `source` in each of `formats` into the folder `dest`; return the files of each, all there or none.

    Raises SettingsError for an unknown format, FormatError where a format cannot hold the result, OutputError where a
    file exists already (unless `force`) or cannot be written.
    """
    choices = choices or Choices()
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise SettingsError(f"format {', '.join(unknown) or '(none)'}: unknown; give one of {', '.join(FORMATS)}")
    if not source.mask.any():
        raise FormatError(f"0 of {source.mask.size} voxels are inside the mask; give a mask that covers some fODFs")
    dest = Path(dest)
    names = {name: FORMATS[name].files(source, choices) for name in dict.fromkeys(formats)}
    places = [dest / file for files in names.values() for file in files]
    check_absent(places, force)
    with staged_files(dest) as folder:
        for done, name in enumerate(names):
            report(Progress("writing", done / len(names)))
            FORMATS[name].write(source, folder, choices)
        for place in places:
            if place.is_dir():  # what an earlier folder of fixels held is none of the new one's
                shutil.rmtree(place)
    return {name: [dest / file for file in files] for name, files in names.items()}
