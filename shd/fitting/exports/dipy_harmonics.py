"""`dipy-sh`: white-matter harmonics in one of DIPY's bases and voxel axes, for DIPY and scilpy."""

from pathlib import Path

from shd.errors import SettingsError
from shd.fitting.exports.format import Choices, Format
from shd.fitting.exports.source import Source
from shd.fodf.encoding import Encoding
from shd.io.harmonics import write_harmonics
from shd.sphere.bases import DIPY_BASES

__all__ = ["DIPY_SH", "check_basis"]


def check_basis(basis: str) -> None:
    """Raise SettingsError for a basis that DIPY does not have."""
    if basis not in DIPY_BASES:
        raise SettingsError(f"basis {basis}: unknown to DIPY; give one of {', '.join(DIPY_BASES)}")


def _files(source: Source, choices: Choices) -> list[str]:
    check_basis(choices.basis)
    return [f"wm_fod_{choices.basis}{ending}" for ending in (".nii.gz", ".json")]


def _write(source: Source, folder: Path, choices: Choices) -> None:
    path = folder / f"wm_fod_{choices.basis}.nii.gz"
    told = Encoding(choices.basis, "voxel")
    write_harmonics(path, source.wm, source.affine, told, mask=source.mask, metadata=source.sidecar())


DIPY_SH = Format("dipy-sh", _files, _write)
