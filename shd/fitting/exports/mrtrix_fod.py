"""`mrtrix-fod`: fODFs of every tissue as MRtrix3 reads them, NIfTI."""

from pathlib import Path

import numpy as np

from shd.fitting.exports.format import Choices, Format
from shd.fitting.exports.source import Source
from shd.io.fodf import write_fod, write_scalar

__all__ = ["MIF", "MRTRIX_FOD"]


def _nifti_files(source: Source, choices: Choices) -> list[str]:
    return [name + ending for name in ("wm_fod", *source.isotropic) for ending in (".nii.gz", ".json")]


def _mif_files(source: Source, choices: Choices) -> list[str]:
    return [f"{name}.mif" for name in ("wm_fod", *source.isotropic)]


def _write_nifti(source: Source, folder: Path, choices: Choices) -> None:
    _write(source, folder, ".nii.gz")


def _write_mif(source: Source, folder: Path, choices: Choices) -> None:
    _write(source, folder, ".mif")


def _write(source: Source, folder: Path, ending: str) -> None:
    write_fod(folder / f"wm_fod{ending}", source.wm, source.affine, source.mask, source.sidecar())
    for tissue, volume in source.isotropic.items():
        inside = np.where(source.mask, volume, np.float32(0))
        write_scalar(folder / f"{tissue}{ending}", inside, source.affine, source.sidecar(tissue))


MRTRIX_FOD = Format("mrtrix-fod", _nifti_files, _write_nifti)
MIF = Format("mif", _mif_files, _write_mif)
