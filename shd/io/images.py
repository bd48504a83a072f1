"""Result images: float32, written a volume at a time; NIfTI with a JSON sidecar beside it, or .mif, which holds it."""

import gzip
import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from jaxtyping import Float, Float32, Real

from shd._version import __version__
from shd.errors import OutputError, ScanError
from shd.io.atomic import put_json, whole_file
from shd.io.mif import is_mif, read_mif, read_mif_header, write_mif
from shd.io.nifti import affine_of, open_image, read_image

__all__ = ["image_files", "image_stem", "read_grid", "read_with_sidecar", "sidecar_path", "write_image"]

NIFTI1_LONGEST = 32767  # voxels along an axis: NIfTI-1 stores them in 16 bits
GZIP_LEVEL = 1  # float noise hardly packs: level 6 saves 1 % of the file for 20 % more time


def image_stem(path: str | Path) -> str:
    """Return an image's name without .nii or .mif, and .gz."""
    return Path(path).name.removesuffix(".gz").removesuffix(".nii").removesuffix(".mif")


def sidecar_path(path: str | Path) -> Path:
    """Return the name of the JSON file beside a NIfTI image; raises `OutputError` for another ending."""
    path = Path(path)
    for ending in (".nii.gz", ".nii"):
        if path.name.endswith(ending):
            return path.with_name(path.name.removesuffix(ending) + ".json")
    raise OutputError(f"{path.name}: images are written as .nii, .nii.gz, .mif or .mif.gz; change the ending")


def image_files(path: str | Path) -> list[Path]:
    """Return the names that `write_image` writes; raises `OutputError` for an ending that is no image's."""
    path = Path(path)
    return [path] if is_mif(path) else [path, sidecar_path(path)]


def write_image(
    path: str | Path,
    volumes: Iterable[Real[np.ndarray, "x y z"]],
    shape: tuple[int, ...],
    affine: Float[np.ndarray, "4 4"],
    sidecar: Mapping[str, Any] | None,
    *,
    dtype: str = "<f4",
    nifti2: bool = False,
) -> None:
    """Write `volumes` as one image of `shape` (3-D or 4-D) with its `sidecar`, if any; both, or neither.

    A name in .mif or .mif.gz gives MRtrix3's format, which holds the sidecar in its header. Otherwise NIfTI-1, or
    NIfTI-2 where an axis is longer than 32767 or `nifti2` is set. affine: voxel index → scanner RAS mm. Holds one
    volume in memory beyond what `volumes` holds. `sidecar` gains `GeneratedBy` where it has none (BIDS derivatives).
    dtype: "<f4", or "<u4" for counts and "<i2" for labels. Raises `OutputError` where the file cannot be written.
    """
    if sidecar is not None:
        sidecar = {"GeneratedBy": [{"Name": "shd", "Version": __version__}], **sidecar}
    if is_mif(path):
        write_mif(path, volumes, shape, affine, sidecar, dtype=dtype)
        return
    json_path = sidecar_path(path)
    header = _header(shape, affine, dtype, nifti2)
    with ExitStack() as files:
        partial = files.enter_context(whole_file(path))
        if sidecar is not None:
            put_json(files.enter_context(whole_file(json_path)), sidecar)
        with partial.open("wb") as raw:
            if partial.suffix == ".gz":  # no time or name inside: the same image is the same file
                with gzip.GzipFile("", "wb", GZIP_LEVEL, raw, mtime=0) as packed:
                    _write_volumes(packed, header, volumes)
            else:
                _write_volumes(raw, header, volumes)


def read_grid(path: str | Path) -> tuple[tuple[int, ...], Float[np.ndarray, "4 4"]]:
    """Return shape and affine (voxel index → scanner RAS mm) of a NIfTI or .mif, of which the header alone is read.

    Raises `ScanError` for an image that is missing, or whose header is damaged.
    """
    path = Path(path)
    if is_mif(path):
        header = read_mif_header(path)
        return tuple(header.shape), header.affine
    image = open_image(path)
    return tuple(int(size) for size in image.shape), affine_of(image, path.name)


def read_with_sidecar(
    path: str | Path,
) -> tuple[Float32[np.ndarray, "*grid"], Float[np.ndarray, "4 4"], dict[str, Any]]:
    """Return data in float32, affine (voxel index → scanner RAS mm) and sidecar (empty without one) of an image.

    NIfTI with a JSON file beside it, or MRtrix3's .mif, whose header holds what `write_image` put there. Raises
    `ScanError` for an image or a sidecar that is missing or damaged.
    """
    path = Path(path)
    if is_mif(path):
        held = read_mif(path)
        volumes = np.asfortranarray(held.data, dtype=np.float32)  # whose volumes are near: they are used one by one
        return volumes, held.affine, held.sidecar
    image, data = read_image(path)
    json_path = sidecar_path(path)
    try:
        sidecar = json.loads(json_path.read_text(encoding="utf-8")) if json_path.exists() else {}
    except ValueError as error:
        raise ScanError(f"{json_path}: not readable as JSON ({error}); correct or remove it") from error
    return np.asarray(data, dtype=np.float32), affine_of(image, path.name), sidecar


def _header(shape: tuple[int, ...], affine: Float[np.ndarray, "4 4"], dtype: str, nifti2: bool) -> nib.Nifti1Header:
    header = nib.Nifti2Header() if nifti2 or max(shape) > NIFTI1_LONGEST else nib.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(dtype)
    header.set_sform(affine, code=1)  # 1: scanner axes
    header.set_qform(affine, code=1)  # also sets the voxel sizes
    if not np.allclose(header.get_qform(), affine, atol=1e-3):
        header["qform_code"] = 0  # a sheared grid has no qform; a second, different geometry would mislead
    header.set_xyzt_units("mm")
    header.set_slope_inter(1.0, 0.0)
    header.set_data_offset(header.single_vox_offset)
    return header


def _write_volumes(
    stream: BufferedIOBase, header: nib.Nifti1Header, volumes: Iterable[Real[np.ndarray, "x y z"]]
) -> None:
    header.write_to(stream)
    stream.write(b"\0" * (header.get_data_offset() - stream.tell()))
    for volume in volumes:
        stream.write(np.asarray(volume, dtype=header.get_data_dtype()).tobytes(order="F"))
