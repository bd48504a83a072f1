"""Fixel folders of MRtrix3: an index image, a list of directions, and a list of numbers for each measure.

Source: the MRtrix3 manual, "Fixel image (directory) format". The index image (x, y, z, 2) holds how many fixels a voxel
has and which is its first; the others are (fixel, 3, 1) and (fixel, 1, 1).
"""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, Real
from nibabel.orientations import apply_orientation, io_orientation

from shd.errors import FormatError, ScanError
from shd.fodf.lobes import Fixels
from shd.io.images import NIFTI1_LONGEST, read_with_sidecar, write_image
from shd.io.mif import is_mif, read_mif
from shd.io.nifti import affine_of, read_image

__all__ = ["check_fixel_format", "read_fixels", "write_fixels"]

_FORMATS = ("mif", "nii")
_MEASURES = ("afd", "peak", "disp")  # as fod2fixel calls them in its manual
_LIST = np.eye(4)  # a list of fixels lies nowhere; with a flipped grid's affine MRtrix3 would read it backwards


def check_fixel_format(ending: str, voxels: int) -> None:
    """Raise FormatError for an ending other than mif and nii; voxels: how many have fODFs, for the message."""
    if ending.lower() in ("nii1", "nifti1", "nifti-1"):
        raise FormatError(
            f"fixels of {voxels:,} voxels in {ending}: NIfTI-1 holds up to {NIFTI1_LONGEST:,} along an axis, and a "
            "list of fixels has all on one; give mif, or nii for NIfTI-2"
        )
    if ending not in _FORMATS:
        raise FormatError(f"fixel format {ending}: unknown; give mif, or nii for NIfTI-2")


def write_fixels(
    folder: Path,
    fixels: Fixels,
    mask: Bool[np.ndarray, "x y z"],
    affine: Float[np.ndarray, "4 4"],
    ending: str = "mif",
) -> None:
    """Write index, directions (mean of each lobe), afd, peak amplitude (peak) and dispersion (disp) into a new folder.

    fixels: those of the mask's voxels in C order, scanner axes. affine: voxel index → scanner RAS mm. ending: mif, or
    nii for NIfTI-2. Raises FormatError for another ending or no fixel at all, OutputError where the folder cannot be
    written.
    """
    check_fixel_format(ending, len(fixels.numbers))
    if not len(fixels.afd):
        raise FormatError("0 fixels: no lobe reaches the threshold, and MRtrix3 has no empty list; are these fODFs?")
    folder.mkdir()
    index = np.zeros((2, *mask.shape), np.uint32)
    index[0][mask], index[1][mask] = fixels.numbers, fixels.offsets[:-1]

    def write(name: str, volumes: list[Real[np.ndarray, "x y z"]], shape: tuple[int, ...], dtype: str = "<f4") -> None:
        where = affine if name == "index" else _LIST
        write_image(folder / f"{name}.{ending}", volumes, shape, where, None, dtype=dtype, nifti2=True)

    count = len(fixels.afd)
    write("index", list(index), (*mask.shape, 2), "<u4")
    write("directions", [fixels.directions[:, :, None]], (count, 3, 1))
    for name, values in zip(_MEASURES, (fixels.afd, fixels.amplitudes, fixels.dispersion), strict=True):
        write(name, [values[:, None, None]], (count, 1, 1))


def read_fixels(folder: Path) -> tuple[Fixels, Bool[np.ndarray, "x y z"], Float[np.ndarray, "4 4"]]:
    """Return the fixels of a folder with afd and peak amplitudes, the voxels that have any, and the affine.

    Both `directions` and `peak_directions` are those of the folder. Fixels come in the C order of their voxels. Raises
    ScanError for a folder that is not whole.
    """
    ending = next((ending for ending in _FORMATS if (folder / f"index.{ending}").is_file()), None)
    if ending is None:
        raise ScanError(f"{folder}: no index.mif or index.nii in it; give a folder of fod2fixel or shd export")
    file = folder / f"index.{ending}"
    if is_mif(file):
        held = read_mif(file)
        index, affine = held.data, held.affine
    else:
        image, index = read_image(file)
        affine = affine_of(image, file.name)
    counts, firsts = index[..., 0].astype(np.int64), index[..., 1].astype(np.int64)
    inside = counts > 0
    numbers = counts[inside]
    offsets = np.concatenate([[0], np.cumsum(numbers)])
    order = np.repeat(firsts[inside] - offsets[:-1], numbers) + np.arange(offsets[-1])
    lists = [_read_list(folder / f"{name}.{ending}") for name in ("directions", *_MEASURES[:2])]
    shortest = min(len(values) for values in lists)
    if len(order) and order.max() >= shortest:
        raise ScanError(f"{folder}: the index counts {order.max() + 1} fixels but {shortest} are listed; export again")
    directions, afd, amplitudes = (values.reshape(len(values), -1)[order] for values in lists)
    return Fixels(offsets, directions, directions, afd[:, 0], amplitudes[:, 0]), inside, affine


def _read_list(file: Path) -> Float32[np.ndarray, "fixel *each"]:
    """Return a list of fixels in the order that MRtrix3 counts them.

    It turns every image towards RAS as it reads it, lists too: one that it wrote in NIfTI beside a flipped grid runs
    backwards on disk.
    """
    data, affine, _ = read_with_sidecar(file)
    if is_mif(file):
        return data
    return np.asarray(apply_orientation(data, io_orientation(affine)))
