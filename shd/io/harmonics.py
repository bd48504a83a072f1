"""Images of harmonic coefficients in any basis and axes in use, with a sidecar that says which (BIDS BEP016 draft)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32

from shd.errors import FormatError
from shd.fodf.encoding import OURS, Encoding, conversion_matrix, converted_volumes
from shd.io.images import read_with_sidecar, write_image
from shd.sphere.bases import BASES, dipy_arguments
from shd.sphere.harmonics import coefficient_count, degree_of_count

__all__ = ["degree_of_image", "harmonic_encoding", "read_harmonics", "stated_encoding", "truncated", "write_harmonics"]

_REFERENCES = {"xyz": "scanner", "ijk": "voxel"}
_ALSO = {"descoteaux": "descoteaux07_legacy", "tournier": "tournier07"}  # what BEP016 and older files call them


def write_harmonics(
    path: str | Path,
    coefficients: Float[np.ndarray, "x y z coeff"],
    affine: Float[np.ndarray, "4 4"],
    new: Encoding,
    old: Encoding = OURS,
    mask: Bool[np.ndarray, "x y z"] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write coefficients given as `old` told as `new`, float32, with a sidecar that says so.

    One volume is held in memory beyond `coefficients`. affine: voxel index → scanner RAS mm. mask: zero outside.
    Raises OutputError where the file cannot be written.
    """
    degree = degree_of_count(coefficients.shape[-1])
    volumes = converted_volumes(coefficients, conversion_matrix(degree, old, new, affine), mask)
    write_image(path, volumes, coefficients.shape, affine, {**(metadata or {}), **harmonic_encoding(new, degree)})


def read_harmonics(
    path: str | Path, degree: int | None = None
) -> tuple[Float32[np.ndarray, "x y z coeff"], Float[np.ndarray, "4 4"], dict[str, Any]]:
    """Return coefficients as they are in the file, affine and sidecar; up to `degree`, if given.

    Raises ScanError for a file that cannot be read, FormatError where its volumes fit no even degree, or have less
    than `degree`.
    """
    coefficients, affine, sidecar = read_with_sidecar(path)
    if coefficients.ndim == 3:
        coefficients = coefficients[..., None]
    held = degree_of_image(coefficients.shape, Path(path).name)
    return truncated(coefficients, held, degree, Path(path).name), affine, sidecar


def degree_of_image(shape: tuple[int, ...], name: str) -> int:
    """Return the degree of an image of harmonics by its shape; raises FormatError where there is none."""
    try:
        if len(shape) != 4:
            raise ValueError(f"{len(shape)} axes: (x, y, z, coefficient) are needed")
        return degree_of_count(shape[3])
    except ValueError as error:
        raise FormatError(f"{name}: {error}; is it an image of even harmonics?") from None


def truncated(
    coefficients: Float32[np.ndarray, "x y z coeff"], held: int, degree: int | None, name: str
) -> Float32[np.ndarray, "x y z fewer"]:
    """Return the coefficients up to `degree`, a view; raises FormatError for a degree that is odd or not held."""
    if degree is None:
        return coefficients
    if degree < 0 or degree % 2 or degree > held:
        raise FormatError(
            f"degree {degree} is asked for but {name} has degree {held}; give an even number up to {held}"
        )
    return coefficients[..., : coefficient_count(degree)]


def stated_encoding(sidecar: Mapping[str, Any], name: str) -> tuple[str | None, str | None]:
    """Return basis and axes that a sidecar states, None where it says nothing; raises FormatError for others."""
    stated = sidecar.get("OrientationEncoding")
    stated = stated if isinstance(stated, Mapping) else {}
    basis, reference = stated.get("SphericalHarmonicBasis"), stated.get("Reference")
    if basis is not None:
        basis = _ALSO.get(str(basis).lower(), str(basis).lower())
        if basis not in BASES:
            raise FormatError(
                f"{name}: its sidecar states basis {basis}, which is none of {', '.join(BASES)}; say --from-basis"
            )
    if reference is not None and reference not in _REFERENCES:
        raise FormatError(
            f"{name}: its sidecar states axes {reference}, neither xyz (scanner) nor ijk (voxel); say --from-axes"
        )
    return basis, _REFERENCES[reference] if reference is not None else None


def harmonic_encoding(encoding: Encoding, degree: int) -> dict[str, Any]:
    """Return the keys of a sidecar that tell how coefficients are told."""
    name, legacy = dipy_arguments(encoding.basis)
    scanner, reader = encoding.axes == "scanner", ": shd.io.fodf.read_fod_for_dipy" if encoding == OURS else ""
    return {
        "OrientationEncoding": {
            "EncodingAxis": 3,
            "Reference": "xyz" if scanner else "ijk",
            "SphericalHarmonicBasis": encoding.basis,
            "SphericalHarmonicDegree": degree,
            "Type": "sh",
        },
        "Frame": "scanner (RAS mm), whatever the image's affine" if scanner else "axes of the voxel grid",
        "DipyBasis": f"{name}, legacy={legacy}" + (f"; DIPY needs voxel axes{reader}" if scanner else ""),
    }
