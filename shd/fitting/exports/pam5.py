"""`pam5`: DIPY's file of peaks and harmonics, with a sidecar for the basis, which the file cannot tell."""

from pathlib import Path

from shd.fitting.exports.dipy_harmonics import check_basis
from shd.fitting.exports.format import Choices, Format
from shd.fitting.exports.source import Source
from shd.fodf.encoding import Encoding
from shd.io.atomic import write_json
from shd.io.harmonics import harmonic_encoding
from shd.io.pam5 import write_pam5
from shd.io.spheres import named_sphere
from shd.sphere.harmonics import degree_of_count

__all__ = ["PAM5"]


def _files(source: Source, choices: Choices) -> list[str]:
    check_basis(choices.basis)
    named_sphere(choices.sphere)
    return ["wm.pam5", "wm_pam5.json"]


def _write(source: Source, folder: Path, choices: Choices) -> None:
    write_pam5(folder / "wm.pam5", source.wm, source.peaks, source.affine, source.mask, choices.sphere, choices.basis)
    told = harmonic_encoding(Encoding(choices.basis, "voxel"), degree_of_count(source.wm.shape[-1]))
    write_json(folder / "wm_pam5.json", {**source.sidecar(), **told, "Sphere": choices.sphere})


PAM5 = Format("pam5", _files, _write)
