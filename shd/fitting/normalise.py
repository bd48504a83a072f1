"""The intensity normalisation of a result's folder, and the folder that comes of it."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from shd._version import __version__
from shd.fitting.output_folder import OutputFolder
from shd.fitting.progress import Progress, Report, silent
from shd.fitting.record import versions
from shd.fodf.field import FodField
from shd.fodf.intensity import HIGHEST_ORDER, REFERENCE, Intensity, normalise_intensity
from shd.fodf.peaks import Peaks, find_peaks
from shd.io.atomic import write_json
from shd.io.fit_folder import StoredFit
from shd.io.fodf import write_fod, write_scalar
from shd.io.images import write_image
from shd.io.peaks import write_peaks
from shd.signal.response import TISSUES

__all__ = ["Normalised", "normalise_fit", "write_normalised"]

_WRITERS = 2


@dataclass(frozen=True, eq=False)
class Normalised:
    """Normalised fODFs, their peaks on the grid, what they were divided by, and the choices made."""

    fod: FodField
    peaks: Peaks
    intensity: Intensity
    order: int
    reference: float


def normalise_fit(
    stored: StoredFit,
    *,
    order: int = HIGHEST_ORDER,
    reference: float = REFERENCE,
    threads: int | None = None,
    report: Report = silent,
) -> Normalised:
    """Return a result's fODFs and tissues in a common unit; arguments and errors as in `normalise_intensity`.

    threads: that look for peaks, as in `find_peaks`.
    """
    report(Progress("intensity", 0.0))
    fod, intensity = normalise_intensity(stored.fod, order=order, reference=reference)
    report(Progress("peaks", 0.0))
    peaks = find_peaks(fod.wm[fod.mask], threads=threads).on_grid(fod.mask)
    return Normalised(fod, peaks, intensity, order, reference)


def write_normalised(
    folder: OutputFolder, stored: StoredFit, result: Normalised, report: Report = silent
) -> list[Path]:
    """Write the normalised result under the names of a fit, and intensity_field.nii.gz; return the files.

    Sidecars and run.json are those of the result, with what was divided by; its responses are copied. Raises
    OutputError where a file cannot be written; then none is.
    """
    report(Progress("writing", 0.0))
    target, fod, made = folder.partial, result.fod, _description(stored, result)
    sidecars = {tissue: {**sidecar, "IntensityNormalisation": made} for tissue, sidecar in stored.sidecars.items()}
    mask = fod.mask.astype(np.float32)
    field = {"Description": "Factor that the amounts were divided by; 0 outside the mask", "Units": "1", **made}
    with ThreadPoolExecutor(_WRITERS) as pool:
        images = [
            pool.submit(write_fod, target / "wm_fod.nii.gz", fod.wm, fod.affine, fod.mask, sidecars["wm"]),
            pool.submit(write_peaks, target / "peaks.nii.gz", result.peaks, fod.affine, sidecars["wm"]),
            *(
                pool.submit(write_scalar, target / f"{tissue}.nii.gz", volume, fod.affine, sidecars[tissue])
                for tissue, volume in fod.isotropic.items()
            ),
            pool.submit(write_image, target / "mask.nii.gz", [mask], mask.shape, fod.affine, {"Type": "Brain"}),
            pool.submit(
                write_image, target / "intensity_field.nii.gz", [result.intensity.field], mask.shape, fod.affine, field
            ),
        ]
        for image in images:
            image.result()
    for response in _responses(stored):
        shutil.copyfile(response, target / response.name)
    done = {"shd": __version__, "finished": datetime.now(timezone.utc).isoformat(timespec="seconds")}
    write_json(target / "run.json", {**stored.record, **done, "intensity_normalisation": made, "versions": versions()})
    return folder.publish()


def _description(stored: StoredFit, result: Normalised) -> dict[str, Any]:
    return {
        "Source": str(stored.path.absolute()),
        "Order": result.order,
        "Reference": result.reference,
        "Balance": result.intensity.balance,
        "Scale": result.intensity.scale,
        "Inliers": int(result.intensity.inliers.sum()),
        "Voxels": int(result.fod.mask.sum()),
    }


def _responses(stored: StoredFit) -> Iterator[Path]:
    files = (stored.path / f"response_{tissue}.txt" for tissue in TISSUES)
    return (file for file in files if file.is_file())
