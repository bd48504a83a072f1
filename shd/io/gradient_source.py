"""Where a scan's gradient table is, and in which convention its directions are written."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shd.errors import GradientError
from shd.io.gradients import qsiprep_evidence
from shd.io.images import image_stem
from shd.io.mif import is_mif, read_mif_header

__all__ = ["FSL", "HEADER", "MRTRIX", "QSIPREP", "GradientSource", "gradient_source"]

FSL = "FSL"
"""Along the image's axes, x reversed where these are right-handed."""
MRTRIX = "MRtrix3"
"""Rows x y z b in scanner axes."""
QSIPREP = "QSIPrep"
"""Along the image's axes, never reversed."""
HEADER = "dw_scheme"
"""As MRtrix3's, in the header of a .mif."""


@dataclass(frozen=True)
class GradientSource:
    """The files of a gradient table: bval and bvec, or grad, or none where the image's header has it.

    convention: FSL, MRTRIX, QSIPREP or HEADER. doubted: a .bvec that is not read as FSL's, or not at all, and the JSON
    file by which QSIPrep made it.
    """

    convention: str
    files: Mapping[str, Path]
    doubted: tuple[Path, Path] | None = None


def gradient_source(
    image: Path, bval: Path | None = None, bvec: Path | None = None, grad: Path | None = None
) -> GradientSource:
    """Return where the table of a scan is: as given, or else in the image's header, or in files named as the image.

    A pair that QSIPrep made gives way to the MRtrix table beside it. Raises GradientError for half a pair, two tables,
    a pair with a .mif, or no table at all; ScanError for a .mif whose header is wanted and cannot be read.
    """
    if grad is not None and (bval is not None or bvec is not None):
        raise GradientError("2 gradient tables given: an MRtrix table and FSL files; give one of them")
    if grad is None and (bval is None) != (bvec is None):
        raise GradientError("1 of 2 FSL files given; give both bval and bvec")
    if bvec is not None and is_mif(image):
        raise GradientError(
            f"{image.name} with {bvec.name}: FSL's directions go along the axes of a NIfTI file, which need not "
            f"be those of a .mif; give an MRtrix table, or the header one: mrconvert {image.name} -fslgrad "
            f"{bvec.name} {Path(bval or '').name} with_gradients.mif"
        )
    if grad is not None:
        return GradientSource(MRTRIX, {"grad": grad})
    if bval is not None and bvec is not None:
        return _of_pair(image, bval, bvec)
    if is_mif(image) and "dw_scheme" in read_mif_header(image).keys:
        return GradientSource(HEADER, {})
    return _beside(image)


def _beside(image: Path) -> GradientSource:
    """Return the FSL pair, or else the MRtrix table, named as the image."""
    bval, bvec, grad = (image.with_name(image_stem(image) + suffix) for suffix in (".bval", ".bvec", ".b"))
    if bval.is_file() and bvec.is_file() and not is_mif(image):
        return _of_pair(image, bval, bvec)
    if grad.is_file():
        return GradientSource(MRTRIX, {"grad": grad})
    if is_mif(image):
        raise GradientError(
            f"no gradient table given, {image.name} has no dw_scheme, and {grad.name} is not in {image.parent}; give "
            "an MRtrix table"
        )
    raise GradientError(
        f"no gradient table given, and neither {bval.name} with {bvec.name} nor {grad.name} is in {image.parent}; "
        "give bval and bvec, or an MRtrix table"
    )


def _of_pair(image: Path, bval: Path, bvec: Path) -> GradientSource:
    """Return the pair, or the MRtrix table beside one that QSIPrep made."""
    evidence = qsiprep_evidence(bvec) or qsiprep_evidence(image)
    if evidence is None:
        return GradientSource(FSL, {"bval": bval, "bvec": bvec})
    candidates = (bvec.with_suffix(".b"), image.with_name(image_stem(image) + ".b"))
    table = next((file for file in candidates if file.is_file()), None)
    if table is not None:
        return GradientSource(MRTRIX, {"grad": table}, (bvec, evidence))
    return GradientSource(QSIPREP, {"bval": bval, "bvec": bvec}, (bvec, evidence))
