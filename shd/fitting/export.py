"""A result, written for other programs: fODFs, peaks and fixels in the files, axes and bases that each reads."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from shd.errors import SettingsError, ShdWarning
from shd.fitting.checked_result import read_checked_result
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
from shd.io.fit_folder import StoredFit
from shd.io.harmonics import truncated
from shd.io.masks import read_mask
from shd.io.staging import staged_files
from shd.scans.scan import finite_voxels

__all__ = ["FORMATS", "export", "export_folder", "read_source"]

FORMATS: dict[str, Format] = {
    each.name: each for each in (MRTRIX_FOD, MIF, FIXELS, *PEAK_IMAGES, PAM5, DIPY_SH, ODF, FIB)
}


def read_source(path: str | Path, degree: int | None = None, mask: str | Path | None = None) -> Source:
    """Return what a fit's folder or an fODF image holds, up to `degree` and inside `mask` (an image, above 0.5).

    Voxels where a tissue has a value that is not finite are left out, with a warning. Raises ScanError and
    EvaluationError as `read_checked_result`, ScanError as `read_mask`; FormatError for a degree that is not held, or
    where no voxel is left.
    """
    stored: StoredFit = read_checked_result(path)
    fod, inside, name = stored.fod, stored.fod.mask, Path(path).name
    if mask is not None:
        inside = inside & read_mask(mask, name, fod.wm.shape, fod.affine)
    wm = truncated(fod.wm, fod.degree, degree, name)
    finite = finite_voxels(wm)
    for volume in fod.isotropic.values():
        finite &= np.isfinite(volume)
    lost = inside & ~finite
    if lost.any():
        warnings.warn(
            f"{name}: {lost.sum()} of {inside.sum()} voxels hold values that are not finite; they are left out",
            ShdWarning,
            stacklevel=2,
        )
    return Source(wm, fod.isotropic, fod.affine, inside & finite, stored.sidecars)


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
        raise SettingsError(
            f"format {', '.join(unknown) or '(none)'}: unknown; give one of {', '.join(FORMATS)}, or bids alone (in "
            "Python: shd.io.bids.write_bids)"
        )
    dest = Path(dest)
    names = {name: FORMATS[name].files(source, choices) for name in dict.fromkeys(formats)}
    check_absent([dest / file for files in names.values() for file in files], force)
    # what an earlier folder of fixels held is none of the new one's
    with staged_files(dest, whole_folders=[file for files in names.values() for file in files]) as folder:
        for done, name in enumerate(names):
            report(Progress("writing", done / len(names)))
            FORMATS[name].write(source, folder, choices)
    return {name: [dest / file for file in files] for name, files in names.items()}
