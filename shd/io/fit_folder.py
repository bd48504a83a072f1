"""What a fit or an inference left, read back: fODFs of every tissue, their mask, sidecars and record."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shd.errors import ScanError, number_of
from shd.fodf.field import FodField
from shd.io.fodf import read_fod
from shd.io.grids import check_same_grid
from shd.io.masks import read_mask
from shd.signal.response import TISSUES

__all__ = ["StoredFit", "read_fit_folder"]

_FOD, _MASK, _RECORD = "wm_fod.nii.gz", "mask.nii.gz", "run.json"


@dataclass(frozen=True, eq=False)
class StoredFit:
    """fODFs as they were written, and what was said of them.

    path: the folder, or the image. sidecars: by tissue, BEP016 keys. record: run.json; both empty where there is none.
    """

    path: Path
    fod: FodField
    sidecars: dict[str, dict[str, Any]]
    record: dict[str, Any]


def read_fit_folder(path: str | Path) -> StoredFit:
    """Return the fODFs of a folder of `shd fit` or `shd infer`, or of one fODF image in the MRtrix3 basis.

    Without a mask, as beside an image alone, the voxels with any fODF are taken. Raises ScanError where the folder is
    no result, a file is damaged, or the mask is empty or lies on another grid than the fODFs, EvaluationError where
    tissues do.
    """
    path = Path(path)
    if path.is_dir() and not (path / _FOD).is_file():
        held = sorted(entry.name for entry in path.iterdir())
        raise ScanError(
            f"{path}: holds {number_of(len(held), 'file')} but no {_FOD}; give the folder that shd fit or shd infer "
            "wrote, or an fODF image"
        )
    image = path / _FOD if path.is_dir() else path
    wm, affine, sidecar = read_fod(image)
    isotropic, sidecars, record, mask = {}, {"wm": sidecar}, {}, None
    if path.is_dir():
        for tissue in TISSUES[1:]:
            file = path / f"{tissue}.nii.gz"
            if file.is_file():
                volume, grid, sidecars[tissue] = read_fod(file)
                check_same_grid(file.name, volume.shape, grid, image.name, wm.shape, affine)
                isotropic[tissue] = volume[..., 0]
        if (path / _MASK).is_file():
            mask = read_mask(path / _MASK, image.name, wm.shape, affine)
        record = _record(path / _RECORD)
    inside = np.asarray(wm.any(axis=-1)) if mask is None else mask
    return StoredFit(path, FodField(wm, isotropic, affine, inside), sidecars, record)


def _record(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}
    except (OSError, ValueError) as error:
        raise ScanError(f"{file}: not readable as JSON ({error}); correct or remove it") from error
