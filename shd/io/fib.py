"""DSI Studio's .fib.gz: peaks on a grid, in a MATLAB version 4 file, gzipped.

Source: DSI Studio's manual, "File formats used in DSI Studio", and how the program reads such a file. Voxels run to the
left, to the back and upwards (LPS), x fastest; directions are along these voxel axes. Matrices: dimension, voxel_size,
fa0, fa1, … (heights, zero where there is no peak), dir0, dir1, … (directions, which it tracks along), index0, index1, …
(nearest column of odf_vertices, from zero), odf_vertices and odf_faces. `trans` is left out: versions before 2025 take
a file that has it for one in MNI space.
"""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
from jaxtyping import Float, Int
from scipy.io import loadmat, savemat
from scipy.spatial import ConvexHull

from shd.errors import ScanError
from shd.fodf.frames import peaks_to_scanner_axes, peaks_to_voxel_axes
from shd.fodf.peaks import Peaks, peak_grid
from shd.io.atomic import whole_file

__all__ = ["lps_affine", "read_fib", "write_fib"]

_ORDER = ("L", "P", "S")


def lps_affine(
    affine: Float[np.ndarray, "4 4"], shape: tuple[int, int, int]
) -> tuple[Float[np.ndarray, "4 4"], Int[np.ndarray, "3 2"]]:
    """Return the affine of the grid stored in LPS order, and nibabel's orientation change that brings voxels there."""
    orientation = nib.orientations.io_orientation(affine)
    change = nib.orientations.ornt_transform(orientation, nib.orientations.axcodes2ornt(_ORDER)).astype(np.int64)
    return affine @ nib.orientations.inv_ornt_aff(change, shape), change


def write_fib(path: Path, peaks: Peaks, affine: Float[np.ndarray, "4 4"], report: str) -> None:
    """Write peaks on a grid (scanner axes, highest first). affine: voxel index → scanner RAS mm. report: a sentence.

    Raises OutputError where the file cannot be written.
    """
    grid, _ = peak_grid()
    vertices = np.concatenate([grid, -grid])
    lps, change = lps_affine(affine, peaks.amplitudes.shape[:3])
    moved = Peaks(*(nib.orientations.apply_orientation(each, change) for each in (peaks.directions, peaks.amplitudes)))
    told = peaks_to_voxel_axes(moved, lps)
    matrices = {
        "dimension": np.array(moved.amplitudes.shape[:3], np.int32),
        "voxel_size": np.linalg.norm(lps[:3, :3], axis=0).astype(np.float32),
        "odf_vertices": vertices.T.astype(np.float32),
        "odf_faces": ConvexHull(vertices).simplices.T.astype(np.uint16),
        "report": report,
    }
    for number in range(peaks.amplitudes.shape[-1]):
        directions = told.directions[..., number, :].reshape(-1, 3, order="F")
        matrices[f"fa{number}"] = told.amplitudes[..., number].ravel(order="F")[None].astype(np.float32)
        matrices[f"dir{number}"] = directions.T.astype(np.float32)
        matrices[f"index{number}"] = _nearest(directions, grid)[None]
    with whole_file(path) as partial, partial.open("wb") as raw, gzip.GzipFile("", "wb", 1, raw, mtime=0) as packed:
        savemat(packed, matrices, format="4")


def read_fib(path: Path, affine: Float[np.ndarray, "4 4"]) -> Peaks:
    """Return the peaks (scanner axes, on the file's grid) of a file whose LPS grid has this affine.

    The file itself does not say where its grid lies. Directions are those of dir0, dir1, … or, without them, columns of
    odf_vertices. Raises ScanError for a file that cannot be read.
    """
    try:
        with gzip.open(path) as file:
            held = loadmat(file)
        shape = tuple(int(size) for size in held["dimension"].ravel())
        heights: list[np.ndarray] = []
        directions: list[np.ndarray] = []
        while f"fa{len(heights)}" in held:
            number = len(heights)
            heights.append(held[f"fa{number}"].reshape(shape, order="F"))
            if f"dir{number}" in held:
                told = held[f"dir{number}"].T
            else:
                told = held["odf_vertices"].T[held[f"index{number}"].ravel()]
            directions.append(told.reshape(*shape, 3, order="F"))
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise ScanError(f"{path.name}: not a readable .fib.gz ({error!r}); export it again") from None
    amplitudes = np.stack(heights, axis=-1)
    along = np.where(amplitudes[..., None] > 0, np.stack(directions, axis=-2), 0)
    return peaks_to_scanner_axes(Peaks(along, amplitudes), affine)


def _nearest(
    directions: Float[np.ndarray, "voxel 3"], grid: Float[np.ndarray, "vertex 3"]
) -> Int[np.ndarray, " voxel"]:
    """Return the grid direction nearest each, of either sign; 0 where there is none."""
    nearest = np.zeros(len(directions), np.int16)
    present = np.flatnonzero(directions.any(axis=1))
    for block in np.array_split(present, max(1, len(present) >> 14)):
        nearest[block] = np.abs(directions[block] @ grid.T.astype(directions.dtype)).argmax(axis=1)
    return nearest
