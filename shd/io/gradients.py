"""Gradient tables on disk: FSL, MRtrix3 and QSIPrep, each turned into scanner axes."""

import json
from pathlib import Path

import numpy as np
from jaxtyping import Float

from shd.errors import GradientError, number_of
from shd.io.atomic import whole_file
from shd.scans.scan import grid_rotation

__all__ = ["qsiprep_evidence", "read_fsl", "read_mrtrix", "read_qsiprep", "write_fsl"]

Table = tuple[Float[np.ndarray, " volume"], Float[np.ndarray, "volume 3"]]


def read_fsl(bval: str | Path, bvec: str | Path, affine: Float[np.ndarray, "4 4"]) -> Table:
    """Return b-values (s/mm²) and scanner-axes vectors of an FSL pair.

    FSL gives components along the image axes, with x reversed where those are right-handed (det of the affine > 0):
    g_scanner = M·diag(∓1, 1, 1)·g (BIDS specification, diffusion section; MRtrix3 core/dwi/gradient.cpp), M from
    `grid_rotation`. Files hold 1 × n and 3 × n numbers; transposed files are read too (3 × 3 as FSL's rows).
    Raises `GradientError` for files that are missing or hold other than numbers, and counts that differ.
    """
    values, vectors = _fsl_pair(Path(bval), Path(bvec))
    if np.linalg.det(affine[:3, :3]) > 0:
        vectors = vectors * np.array([-1.0, 1.0, 1.0])
    return values, vectors @ grid_rotation(affine).T


def write_fsl(
    bval: str | Path,
    bvec: str | Path,
    bvalues: Float[np.ndarray, " volume"],
    vectors: Float[np.ndarray, "volume 3"],
    affine: Float[np.ndarray, "4 4"],
) -> None:
    """Write b-values (s/mm²) and scanner-axes vectors as an FSL pair for an image of this affine: undoes `read_fsl`.

    Raises `OutputError` if a file cannot be written.
    """
    along = vectors @ grid_rotation(affine)
    if np.linalg.det(affine[:3, :3]) > 0:
        along = along * np.array([-1.0, 1.0, 1.0])
    lines = [" ".join(f"{value:.8g}" for value in row) for row in along.T]
    with whole_file(bval) as partial:
        partial.write_text(" ".join(f"{value:g}" for value in bvalues) + "\n", encoding="utf-8")
    with whole_file(bvec) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_qsiprep(bval: str | Path, bvec: str | Path, affine: Float[np.ndarray, "4 4"]) -> Table:
    """Return b-values and scanner-axes vectors of a pair as QSIPrep writes it.

    Its vectors are components along the image's own axes and never reversed: g_scanner = M·g. Its images are LPS+,
    so det > 0, and FSL's rule would mirror them left to right. Raises as `read_fsl`.
    """
    values, vectors = _fsl_pair(Path(bval), Path(bvec))
    return values, vectors @ grid_rotation(affine).T


def read_mrtrix(path: str | Path) -> Table:
    """Return b-values and vectors of an MRtrix3 table: rows x y z b, already in scanner axes.

    Raises `GradientError` if the file is missing, holds other than numbers or has not four columns.
    """
    table = _numbers(Path(path))
    if table.shape[1] != 4:
        raise GradientError(
            f"{path}: {number_of(table.shape[1], 'number')} a row but 4 (x y z b) make an MRtrix table; "
            "give FSL files as bval and bvec"
        )
    return table[:, 3], table[:, :3]


def qsiprep_evidence(image: Path) -> Path | None:
    """Return the JSON file that says QSIPrep made this image, or None.

    The image's own sidecar counts first; else the nearest dataset_description.json in the folders above it.
    """
    stem = image.name.split(".")[0]
    nearest = (folder / "dataset_description.json" for folder in image.resolve().parents)
    for candidate in (image.with_name(f"{stem}.json"), next((file for file in nearest if file.is_file()), None)):
        if candidate is not None and candidate.is_file() and _made_by_qsiprep(candidate):
            return candidate
    return None


def _made_by_qsiprep(sidecar: Path) -> bool:
    """Whether GeneratedBy (BIDS; once PipelineDescription) names QSIPrep; a broken file says nothing."""
    try:
        content = json.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not isinstance(content, dict):
        return False
    origin = content.get("GeneratedBy", content.get("PipelineDescription", ""))
    return "qsiprep" in json.dumps(origin).lower()


def _fsl_pair(bval: Path, bvec: Path) -> Table:
    values, vectors = _numbers(bval), _numbers(bvec)
    if 1 not in values.shape and 1 in vectors.shape:
        raise GradientError(
            f"{bval}: {values.shape[0]} rows of {values.shape[1]} numbers, and {bvec}: {vectors.shape[0]} of "
            f"{vectors.shape[1]}; bval and bvec seem exchanged: give the b-values first"
        )
    if 1 not in values.shape:
        raise GradientError(f"{bval}: {values.shape[0]} rows of {number_of(values.shape[1], 'b-value')}; FSL has 1 row")
    if vectors.shape[0] == 3:
        vectors = vectors.T
    if vectors.shape[1] != 3:
        raise GradientError(
            f"{bvec}: {vectors.shape[0]} rows of {vectors.shape[1]} numbers; FSL has 3 rows, one number a volume"
        )
    if values.size != len(vectors):
        raise GradientError(
            f"{number_of(values.size, 'b-value')} ({bval.name}) but {number_of(len(vectors), 'direction')} "
            f"({bvec.name}); is the b0 in both?"
        )
    return values.ravel(), vectors


def _numbers(path: Path) -> Float[np.ndarray, "row column"]:
    """Return the numbers of a text file, split at blanks or commas; # starts a comment."""
    try:
        lines = [line.split("#")[0].replace(",", " ").split() for line in path.read_text("utf-8-sig").splitlines()]
        rows = [[float(word) for word in words] for words in lines if words]
    except FileNotFoundError:
        raise GradientError(f"{path}: no such file; check the path of the gradient table") from None
    except (OSError, ValueError) as error:
        raise GradientError(f"{path}: not a table of numbers ({error}); is this the right file?") from None
    lengths = sorted({len(row) for row in rows})
    if len(lengths) != 1:
        raise GradientError(f"{path}: rows of {lengths or 'no'} numbers; every row must be equally long")
    return np.array(rows, dtype=np.float64)
