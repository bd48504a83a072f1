"""Result images: float32 NIfTI written a volume at a time, with a JSON sidecar beside them."""

import gzip
import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from jaxtyping import Float, Float32, Int

from shd._version import __version__
from shd.errors import OutputError, ScanError
from shd.io.atomic import whole_file, write_json
from shd.io.nifti import read_image

__all__ = ["read_with_sidecar", "sidecar_path", "write_image", "write_label_image"]

NIFTI1_LONGEST = 32767  # voxels along an axis: NIfTI-1 stores them in 16 bits
GZIP_LEVEL = 1  # float noise hardly packs: level 6 saves 1 % of the file for 20 % more time


def sidecar_path(path: str | Path) -> Path:
    """Return the name of the JSON file beside an image; raises `OutputError` unless it ends in .nii or .nii.gz."""
    path = Path(path)
    for ending in (".nii.gz", ".nii"):
        if path.name.endswith(ending):
            return path.with_name(path.name.removesuffix(ending) + ".json")
    raise OutputError(f"{path.name}: images are written as .nii or .nii.gz; change the ending")


def write_image(
    path: str | Path,
    volumes: Iterable[Float[np.ndarray, "x y z"]],
    shape: tuple[int, ...],
    affine: Float[np.ndarray, "4 4"],
    sidecar: Mapping[str, Any],
) -> None:
    """Write `volumes` as one float32 NIfTI image of `shape` (3-D or 4-D) with `sidecar` beside it; both, or neither.

    NIfTI-1, or NIfTI-2 where an axis is longer than 32767. affine: voxel index → scanner RAS mm. Holds one volume in
    memory beyond what `volumes` holds. `sidecar` gains `GeneratedBy` where it has none (BIDS derivatives). Raises
    `OutputError` where the file cannot be written.
    """
    json_path = sidecar_path(path)
    header = _header(shape, affine)
    with ExitStack() as files:
        partial = files.enter_context(whole_file(path))
        partial_json = files.enter_context(whole_file(json_path))
        write_json(partial_json, {"GeneratedBy": [{"Name": "shd", "Version": __version__}], **sidecar})
        with partial.open("wb") as raw:
            if partial.suffix == ".gz":  # no time or name inside: the same image is the same file
                with gzip.GzipFile("", "wb", GZIP_LEVEL, raw, mtime=0) as packed:
                    _write_volumes(packed, header, volumes)
            else:
                _write_volumes(raw, header, volumes)


def write_label_image(
    path: str | Path, labels: Int[np.ndarray, "*grid"], affine: Float[np.ndarray, "4 4"], sidecar: Mapping[str, Any]
) -> None:
    """Write whole numbers as an int16 NIfTI image, with `sidecar` beside it, else as `write_image` does."""
    header = _header(labels.shape, affine)
    header.set_data_dtype(np.int16)
    with whole_file(path) as partial, whole_file(sidecar_path(path)) as partial_json:
        write_json(partial_json, {"GeneratedBy": [{"Name": "shd", "Version": __version__}], **sidecar})
        nib.save(nib.Nifti1Image(labels.astype(np.int16), None, header), partial)


def read_with_sidecar(
    path: str | Path,
) -> tuple[Float32[np.ndarray, "*grid"], Float[np.ndarray, "4 4"], dict[str, Any]]:
    """Return data in float32, affine (voxel index → scanner RAS mm) and sidecar (empty without one) of an image.

    Raises `ScanError` for an image or a sidecar that is missing or damaged.
    """
    path = Path(path)
    image, data = read_image(path)
    json_path = sidecar_path(path)
    try:
        sidecar = json.loads(json_path.read_text(encoding="utf-8")) if json_path.exists() else {}
    except ValueError as error:
        raise ScanError(f"{json_path}: not readable as JSON ({error}); correct or remove it") from error
    return np.asarray(data, dtype=np.float32), np.asarray(image.affine, dtype=np.float64), sidecar


def _header(shape: tuple[int, ...], affine: Float[np.ndarray, "4 4"]) -> nib.Nifti1Header:
    header = nib.Nifti1Header() if max(shape) <= NIFTI1_LONGEST else nib.Nifti2Header()
    header.set_data_shape(shape)
    header.set_data_dtype("<f4")
    header.set_sform(affine, code=1)  # 1: scanner axes
    header.set_qform(affine, code=1)  # also sets the voxel sizes
    if not np.allclose(header.get_qform(), affine, atol=1e-3):
        header["qform_code"] = 0  # a sheared grid has no qform; a second, different geometry would mislead
    header.set_xyzt_units("mm")
    header.set_slope_inter(1.0, 0.0)
    header.set_data_offset(header.single_vox_offset)
    return header


def _write_volumes(
    stream: BufferedIOBase, header: nib.Nifti1Header, volumes: Iterable[Float[np.ndarray, "x y z"]]
) -> None:
    header.write_to(stream)
    stream.write(b"\0" * (header.get_data_offset() - stream.tell()))
    for volume in volumes:
        stream.write(np.asarray(volume, dtype="<f4").tobytes(order="F"))
