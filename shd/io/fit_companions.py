"""What lies beside the fODFs of a fit: the anatomy, the residual, the course of the training, the responses."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from shd.errors import ScanError
from shd.fodf.field import FodField
from shd.io.fit_folder import StoredFit
from shd.io.grids import check_same_grid
from shd.io.images import read_with_sidecar
from shd.io.responses import read_response_folder
from shd.signal.response import Response

__all__ = ["FitCompanions", "read_fit_companions", "read_log"]

_SHOWN_FOR = {
    "peaks.nii.gz": "peaks were found again in the fODFs",
    "mask.nii.gz": "all voxels with fODFs are taken",
    "b0.nii.gz": "anatomy is shown by the tissues that were fitted",
    "residual.nii.gz": "how well the signal is explained is not shown",
    "response_wm.txt": "responses are not shown",
    "log.csv": "the course of the training is not shown",
    "run.json": "what was run is not known",
}


@dataclass(frozen=True, eq=False)
class FitCompanions:
    """Files of a fit besides its fODFs and peaks, None or empty where they are missing.

    b0: mean b=0, arbitrary units. residual: in units of the noise. log: a row a step of the training. missing: a line
    each file that is not there and should be.
    """

    b0: Float32[np.ndarray, "x y z"] | None
    residual: Float32[np.ndarray, "x y z"] | None
    log: tuple[dict[str, float], ...]
    responses: tuple[Response, ...]
    missing: tuple[str, ...]


def read_fit_companions(stored: StoredFit) -> FitCompanions:
    """Return what lies beside the fODFs of a folder.

    Raises ScanError or ResponseError where a file is there but damaged, EvaluationError where an image lies on another
    grid than the fODFs.
    """
    folder = stored.path
    missing = [name for name in _SHOWN_FOR if not (folder / name).is_file()]
    if not stored.record.get("steps"):  # nothing was trained, so there is no log
        missing = [name for name in missing if name != "log.csv"]
    return FitCompanions(
        _read_volume(folder / "b0.nii.gz", stored.fod),
        _read_volume(folder / "residual.nii.gz", stored.fod),
        read_log(folder / "log.csv") if (folder / "log.csv").is_file() else (),
        read_response_folder(folder) if (folder / "response_wm.txt").is_file() else (),
        tuple(f"{name}: {_SHOWN_FOR[name]}" for name in missing),
    )


def read_log(path: str | Path) -> tuple[dict[str, float], ...]:
    """Return the rows of a training's log.csv, without what a row lacks. Raises ScanError where it is damaged."""
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            return tuple({name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file))
    except (OSError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise ScanError(f"{path}: not readable as a training's log ({error}); correct or remove it") from error


def _read_volume(path: Path, fod: FodField) -> Float32[np.ndarray, "x y z"] | None:
    if not path.is_file():
        return None
    values, affine, _ = read_with_sidecar(path)
    check_same_grid(path.name, values.shape, affine, "wm_fod.nii.gz", fod.mask.shape, fod.affine)
    return values.reshape(fod.mask.shape)
