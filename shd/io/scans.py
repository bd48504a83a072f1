"""Reading a diffusion scan: an image, its gradient table and a mask make one validated `Scan`."""

import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
from jaxtyping import Bool, Float, Shaped

from shd.errors import ScanError, ShdWarning, number_of
from shd.io.gradient_source import HEADER, MRTRIX, QSIPREP, GradientSource, gradient_source
from shd.io.gradients import read_fsl, read_mrtrix, read_qsiprep
from shd.io.images import image_stem
from shd.io.masks import read_mask
from shd.io.mif import is_mif, read_mif
from shd.io.nifti import affine_of, read_image
from shd.scans.brain_mask import computed_mask
from shd.scans.scan import Scan, check_affine, finite_voxels, without_sparse_shells
from shd.scans.volumes import check_finite_volumes, check_volume_medians
from shd.signal.gradients import Gradients, gradient_table

__all__ = ["read_scan"]

Affine = Float[np.ndarray, "4 4"]
PathLike = str | Path


def read_scan(
    dwi: PathLike,
    bval: PathLike | None = None,
    bvec: PathLike | None = None,
    grad: PathLike | None = None,
    mask: PathLike | None = None,
    ignore_bad_voxels: bool = False,
) -> Scan:
    """Return the scan in an image file with its gradients in scanner axes, validated.

    dwi: 4-D; NIfTI-1 or -2 (.nii, .nii.gz), or MRtrix3's .mif or .mif.gz. Unscaled intensities keep the type they have
    on disk (and an uncompressed file is memory-mapped); scaled ones become float32.
    bval, bvec: FSL pair; of a scan made by QSIPrep (GeneratedBy in a JSON file) the vectors are read as QSIPrep
    writes them, or its `.b` file is used instead, with a warning. grad: MRtrix table, instead of the pair. With
    neither, the dw_scheme of a .mif is used, or files named as the image with .bval and .bvec, or .b. FSL's vectors go
    along the axes of a NIfTI file, so that they cannot be given with a .mif.
    mask: an image on the same grid, above 0.5 is inside; computed if None, with a warning that says how.
    ignore_bad_voxels: leave voxels that are NaN or infinite out of the mask, with a warning, in place of the error.

    Shells with fewer than 6 directions are left out, with a warning; others say that a volume is far brighter or darker
    than its shell, and that sform and qform contradict each other. Raises `ScanError` or `GradientError` for
    anything that cannot be used, each with the numbers that disagree and a way out.
    """
    path = Path(dwi)
    data, affine, scheme = _series(path)
    if data.ndim != 4 or data.shape[3] < 2:
        raise ScanError(
            f"{path.name}: {data.ndim}-D image of {' × '.join(map(str, data.shape))}, but a scan has 4 dimensions and "
            "at least 2 volumes; give the whole series, not one volume"
        )
    source = gradient_source(path, *(Path(file) if file is not None else None for file in (bval, bvec, grad)))
    gradients = _read_gradients(path, affine, source, scheme, data.shape[3])
    inside = _mask_for(path, data, affine, gradients, mask)
    if ignore_bad_voxels:
        inside = _without_bad(path.name, data, inside)
    scan = Scan(data, affine, gradients, inside, name=image_stem(path))
    check_volume_medians(scan.name, scan.data, scan.mask, scan.gradients)
    return without_sparse_shells(scan)


def _series(
    path: Path,
) -> tuple[Shaped[np.ndarray, "*grid"], Affine, Float[np.ndarray, "volume 4"] | None]:
    """Return intensities in their type, affine, and the gradient table in the header, if it has one."""
    if is_mif(path):
        held = read_mif(path)
        check_affine(path.name, held.affine)
        return held.data, held.affine, held.gradients(path.name)
    image, data = read_image(path)
    if image.header["sform_code"] == 0 and image.header["qform_code"] == 0 and data.ndim == 4:
        warnings.warn(
            f"{path.name}: sform and qform codes are both 0, so the header does not say where left is; "
            "the image is taken as radiological (x to the left), as FSL does",
            ShdWarning,
            stacklevel=3,
        )
    return data, affine_of(image, path.name), None


def _read_gradients(
    image: Path,
    affine: Affine,
    source: GradientSource,
    scheme: Float[np.ndarray, "volume 4"] | None,
    volumes: int,
) -> Gradients:
    """Return the scan's gradient table, with a warning where it is not read as the name of its file says."""
    files = source.files
    if source.doubted is not None:
        _warn_of_qsiprep(affine, source, *source.doubted)
    if source.convention == HEADER:
        assert scheme is not None
        return _matching(image, volumes, image.name, scheme[:, 3], scheme[:, :3])
    if source.convention == MRTRIX:
        return _matching(image, volumes, files["grad"].name, *read_mrtrix(files["grad"]))
    read = read_qsiprep if source.convention == QSIPREP else read_fsl
    return _matching(image, volumes, files["bval"].name, *read(files["bval"], files["bvec"], affine))


def _matching(
    image: Path,
    volumes: int,
    source: str,
    values: Float[np.ndarray, " listed"],
    vectors: Float[np.ndarray, "listed 3"],
) -> Gradients:
    """Return the table, whose rows are checked to be as many as volumes; `source` is where it was read."""
    if len(values) != volumes:
        raise ScanError(
            f"{number_of(volumes, 'volume')} ({image.name}) but {number_of(len(values), 'b-value')} ({source}); is "
            "the b0 listed in both?"
        )
    return gradient_table(values, vectors)


def _warn_of_qsiprep(affine: Affine, source: GradientSource, bvec: Path, evidence: Path) -> None:
    orientation = "".join(nib.aff2axcodes(affine))
    reading = (
        f"the MRtrix table {source.files['grad'].name} beside it is used instead"
        if source.convention == MRTRIX
        else f"the vectors are read along the image's axes ({orientation}) with no flip of x, unlike FSL's"
    )
    doubt = "" if orientation == "LPS" else f" QSIPrep's images are LPS but this one is {orientation}: was it changed?"
    warnings.warn(
        f"{bvec.name}: {evidence.name} says QSIPrep made it, whose .bvec is not FSL's: {reading}.{doubt} If you have "
        "rewritten the vectors in FSL's convention, move them away from that JSON file",
        ShdWarning,
        stacklevel=4,
    )


def _mask_for(
    path: Path,
    data: Shaped[np.ndarray, "x y z volume"],
    affine: Affine,
    gradients: Gradients,
    mask: PathLike | None,
) -> Bool[np.ndarray, "x y z"]:
    """Return the mask read, checked to lie on the scan's grid, or one computed."""
    if mask is None:
        inside, note = computed_mask(data, gradients)
        warnings.warn(f"{path.name}: {note}", ShdWarning, stacklevel=3)
        return inside
    return read_mask(mask, f"the scan ({path.name})", data.shape, affine)


def _without_bad(
    name: str, data: Shaped[np.ndarray, "x y z volume"], mask: Bool[np.ndarray, "x y z"]
) -> Bool[np.ndarray, "x y z"]:
    """Return the mask without voxels that are NaN or infinite, saying how many."""
    bad = mask & ~finite_voxels(data)
    if bad.any():
        check_finite_volumes(name, data, mask)
        warnings.warn(
            f"{name}: {bad.sum()} of {mask.sum()} voxels in the mask are NaN or infinite and are left out",
            ShdWarning,
            stacklevel=3,
        )
    return mask & ~bad
