"""NIfTI images as arrays: the type they have on disk where possible, and one clear error where not."""

import warnings
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from jaxtyping import Float, Shaped
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from shd.errors import ScanError, ShdWarning
from shd.io.grids import allowed_offset, greatest_offset
from shd.io.unpacked import plain_numbers, unpacked
from shd.scans.scan import check_affine

__all__ = ["affine_of", "open_image", "read_image"]

_DAMAGE = (EOFError, OSError, ValueError, zlib.error)


def open_image(path: Path) -> nib.Nifti1Image:
    """Return a NIfTI-1 or -2 image whose header alone was read.

    Raises `ScanError` for a file that is missing, of another kind, or whose header is damaged.
    """
    if path.is_dir():
        raise ScanError(f"{path}: is a folder; give an image")
    if not path.is_file():
        raise ScanError(f"{path}: no such file; check the path")
    try:
        image = nib.load(path, mmap="r")
    except (ImageFileError, *_DAMAGE) as error:
        raise ScanError(f"{path.name}: not a readable NIfTI file ({error}); convert or copy it again") from None
    if not isinstance(image, nib.Nifti1Image):
        raise ScanError(f"{path.name}: {type(image).__name__}, but NIfTI-1 or -2 (.nii, .nii.gz) is needed; convert it")
    return image


def read_image(path: Path) -> tuple[nib.Nifti1Image, Shaped[np.ndarray, "*grid"]]:
    """Return a NIfTI-1 or -2 image and its intensities, in this machine's byte order.

    Unscaled integers and floats keep their type; scaled values become float32. Files that hold this as it is are
    memory-mapped, read only, and so is a temporary file of what others of a gigabyte and more unpack to (`unpacked`).
    Raises `ScanError` for a file that is missing, damaged or of another kind.
    """
    image = open_image(path)
    dtype = image.get_data_dtype()
    if dtype.kind not in "iufb":
        raise ScanError(f"{path.name}: voxels of type {dtype}, but 1 real number a voxel is needed; convert the image")
    proxy = image.dataobj
    assert isinstance(proxy, ArrayProxy)
    try:
        mapped = unpacked(path, proxy)
        return image, plain_numbers(np.asanyarray(proxy.get_unscaled()), proxy) if mapped is None else mapped
    except _DAMAGE:
        expected = int(np.prod(image.shape)) * dtype.itemsize
        raise ScanError(
            f"{path.name}: damaged or cut short: {_readable_bytes(path, proxy.offset):,} of {expected:,} bytes of "
            "image can be read; copy or download it again"
        ) from None


def affine_of(image: nib.Nifti1Image, name: str) -> Float[np.ndarray, "4 4"]:
    """Return an image's affine (voxel index → scanner RAS mm), checked; `name` is for messages.

    Warns (ShdWarning) where the header gives two, sform and qform, that differ by more than a tenth of a voxel at a
    corner; the sform counts. Raises ScanError where the affine has no inverse.
    """
    affine = np.asarray(image.affine, dtype=np.float64)
    check_affine(name, affine)
    if image.header["sform_code"] > 0 and image.header["qform_code"] > 0:
        try:
            other = np.asarray(image.header.get_qform(), dtype=np.float64)
        except HeaderDataError:  # no rotation: a qform that no program can use misleads none
            return affine
        offset, allowed = greatest_offset(affine, other, image.shape), allowed_offset(affine)
        if not offset <= allowed:
            warnings.warn(
                f"{name}: its header gives two positions, sform and qform, that differ by {offset:.2f} mm at a corner, "
                f"more than the {allowed:.2f} mm allowed. The sform is used, as by MRtrix3; programs that use the "
                "qform may see left and right exchanged: correct the header",
                ShdWarning,
                stacklevel=3,
            )
    return affine


def _readable_bytes(path: Path, offset: int) -> int:
    """Count the bytes of image data that a damaged file still gives."""
    if path.suffix != ".gz":
        return max(path.stat().st_size - int(offset), 0)
    count, stream = 0, zlib.decompressobj(wbits=31)  # 31: gzip header and trailer
    with path.open("rb") as file:
        while chunk := file.read(1 << 16):
            try:
                count += len(stream.decompress(chunk))
                while stream.eof and stream.unused_data:
                    rest = stream.unused_data
                    stream = zlib.decompressobj(wbits=31)
                    count += len(stream.decompress(rest))
            except zlib.error:
                break
    return max(count - int(offset), 0)
