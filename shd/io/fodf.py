"""fODF images: MRtrix3 basis, scanner axes, float32 NIfTI, with a sidecar that says so (BIDS BEP016 draft)."""

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32

from shd.errors import ScanError, ShdWarning
from shd.fodf.encoding import OURS
from shd.fodf.frames import to_voxel_axes
from shd.io.harmonics import harmonic_encoding
from shd.io.images import read_with_sidecar, write_image
from shd.sphere.harmonics import degree_of_count

__all__ = ["read_fod", "read_fod_for_dipy", "write_fod", "write_scalar"]


def write_fod(
    path: str | Path,
    coefficients: Float[np.ndarray, "x y z coeff"],
    affine: Float[np.ndarray, "4 4"],
    mask: Bool[np.ndarray, "x y z"] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write fODFs that MRtrix3 reads as they are: `sh2peaks`, `fod2fixel`, `tckgen`, `mrview`.

    coefficients: even harmonics, MRtrix3 basis, scanner axes whatever the affine; any float type, may be
    memory-mapped. affine: voxel index → scanner RAS mm. mask: voxels outside it are written as zero. metadata: BEP016
    keys for the sidecar (`Model`, `ResponseFunction`, `NonNegativity`, …); basis, frame, degree and version are added.
    Image and sidecar appear whole or not at all, and one volume is held in memory at a time. Values that are not finite
    become zero, with a warning.

    Raises `OutputError` where the file cannot be written, ValueError for a number of volumes no even degree has.
    """
    degree = degree_of_count(coefficients.shape[-1])
    sidecar = {**(metadata or {}), **harmonic_encoding(OURS, degree)}
    write_image(path, _finite_volumes(coefficients, mask, Path(path).name), coefficients.shape, affine, sidecar)


def write_scalar(
    path: str | Path,
    volume: Float[np.ndarray, "x y z"],
    affine: Float[np.ndarray, "4 4"],
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write the l=0 coefficient of an isotropic tissue (it carries √4π) as a one-volume fODF image of degree 0.

    MRtrix3's multi-tissue programs (`mtnormalise`) want the fourth axis. Arguments and errors as in `write_fod`.
    """
    write_fod(path, volume[..., None], affine, None, metadata)


def read_fod(
    path: str | Path,
) -> tuple[Float32[np.ndarray, "x y z coeff"], Float[np.ndarray, "4 4"], dict[str, Any]]:
    """Return coefficients (MRtrix3 basis, scanner axes), affine and sidecar of an fODF image by shd or MRtrix3.

    An image without sidecar is taken to follow MRtrix3. Raises `ScanError` where the file cannot be read, its volumes
    fit no even degree, or its sidecar states another kind of image, basis or frame.
    """
    coefficients, affine, sidecar = read_with_sidecar(path)
    if coefficients.ndim == 3:
        coefficients = coefficients[..., None]
    try:
        degree_of_count(coefficients.shape[-1])
    except ValueError as error:
        raise ScanError(f"{path}: {error}; is it an fODF image?") from error
    encoding = sidecar.get("OrientationEncoding", {})
    kind = str(encoding.get("Type", "sh"))
    if kind != "sh":
        raise ScanError(f"{path}: its sidecar states Type {kind}, but fODFs are of type sh; give the image of fODFs")
    basis = str(encoding.get("SphericalHarmonicBasis", "mrtrix3"))
    reference = str(encoding.get("Reference", "xyz"))
    if basis.lower() != "mrtrix3" or reference != "xyz":
        raise ScanError(
            f"{path}: its sidecar states basis {basis} and axes {reference}, but mrtrix3 and xyz (scanner) are read; "
            "convert it, or correct the sidecar if it is wrong"
        )
    return coefficients, affine, sidecar


def read_fod_for_dipy(path: str | Path) -> tuple[Float32[np.ndarray, "x y z coeff"], Float[np.ndarray, "4 4"]]:
    """Return coefficients in voxel axes, as DIPY tracks on, and the affine.

    The basis is DIPY's `tournier07` with `legacy=False`; pass both to every DIPY function that takes coefficients.
    Errors as in `read_fod`.
    """
    coefficients, affine, _ = read_fod(path)
    return to_voxel_axes(coefficients, affine), affine


def _finite_volumes(
    coefficients: Float[np.ndarray, "x y z coeff"], mask: Bool[np.ndarray, "x y z"] | None, name: str
) -> Iterator[Float32[np.ndarray, "x y z"]]:
    spoilt = np.zeros(coefficients.shape[:3], dtype=bool)
    for index in range(coefficients.shape[-1]):
        volume = np.asarray(coefficients[..., index], dtype=np.float32)
        if mask is not None:
            volume = np.where(mask, volume, np.float32(0))
        bad = ~np.isfinite(volume)
        spoilt |= bad
        yield np.where(bad, np.float32(0), volume)
    if spoilt.any():
        warnings.warn(
            f"{name}: {spoilt.sum()} of {spoilt.size} voxels hold values that are not finite; zeros were written",
            ShdWarning,
            stacklevel=2,
        )
