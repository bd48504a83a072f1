"""From one telling of fODFs or peaks to another: basis, axes, degree, layout and file format, exactly.

What is not said of the input is taken from its sidecar, else guessed from the functions, else refused.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32

from shd.errors import FormatError, ScanError, SettingsError, ShdWarning
from shd.fodf.encoding import AXES, Encoding
from shd.fodf.peaks import find_peaks
from shd.io.atomic import check_writable
from shd.io.harmonics import read_harmonics, stated_encoding, write_harmonics
from shd.io.images import image_files
from shd.io.peak_layouts import LAYOUTS, read_laid_out, stated_layout, values_path, write_laid_out
from shd.scans.encoding_guess import Guess, axes_are_same, guess_axes, guess_basis
from shd.scans.scan import finite_voxels
from shd.sphere.bases import BASES, change_basis

__all__ = ["Converted", "Known", "convert_harmonics", "convert_peaks", "guess_axes_of", "guess_basis_of"]

_ENOUGH, _LOOKED_AT = 150_000, 50_000  # voxels for the axes and for the basis: quick, and in little memory
_UNIT = 1e-3  # by which the length of a unit vector may differ from 1
_TOLD = ("OrientationEncoding", "Frame", "DipyBasis", "PeakLayout")  # keys of a sidecar that a conversion changes


@dataclass(frozen=True)
class Known:
    """value: what the input is told in. how: said, stated by its sidecar, or guessed, with the figures."""

    value: str
    how: str


@dataclass(frozen=True)
class Converted:
    """known: what was known of the input, and how. old, new: both in words. files: what was written."""

    known: tuple[Known, ...]
    old: str
    new: str
    files: tuple[Path, ...]


def convert_harmonics(
    source: str | Path,
    out: str | Path,
    *,
    from_basis: str | None = None,
    from_axes: str | None = None,
    to_basis: str = "mrtrix3",
    to_axes: str | None = None,
    degree: int | None = None,
    force: bool = False,
) -> Converted:
    """Write harmonics of `source` in another basis, along other axes, up to another degree; NIfTI or .mif either side.

    to_axes: by default scanner for mrtrix3 and voxel for DIPY's bases, which is where those programs want them. Raises
    ScanError where `source` cannot be read, SettingsError for an unknown basis or axes, FormatError where those of the
    input are not said, stated, nor clear, or its volumes fit no even degree; OutputError where `out` exists (unless
    `force`) or cannot be written. Voxels with values that are not finite become zero, with a warning.
    """
    source, out = Path(source), Path(out)
    _check("basis", BASES, from_basis, to_basis)
    _check("axes", AXES, from_axes, to_axes)
    files = image_files(out)
    check_writable(files, force)
    _refuse_folder(source, "wm_fod.nii.gz")
    coefficients, affine, sidecar = read_harmonics(source, degree)
    coefficients = _finite(coefficients, source.name)
    stated = stated_encoding({} if from_basis and from_axes else sidecar, source.name)
    basis = _known("basis", from_basis, stated[0], lambda: guess_basis_of(coefficients), source.name)
    axes = _known("axes", from_axes, stated[1], lambda: guess_axes_of(coefficients, basis.value, affine), source.name)
    old = _encoding(basis.value, axes.value)
    new = _encoding(to_basis, to_axes or ("scanner" if to_basis == "mrtrix3" else "voxel"))
    kept = {key: value for key, value in sidecar.items() if key not in _TOLD}
    write_harmonics(out, coefficients, affine, new, old, metadata=kept)
    return Converted((basis, axes), str(old), str(new), tuple(files))


def convert_peaks(
    source: str | Path,
    out: str | Path,
    *,
    from_layout: str | None = None,
    to_layout: str = "mrtrix",
    force: bool = False,
) -> Converted:
    """Write peaks of `source` in another layout (`LAYOUTS`); NIfTI or .mif either side.

    Raises as `convert_harmonics`. Peaks beyond those that a layout holds are left out, the lowest first.
    """
    source, out = Path(source), Path(out)
    _check("layout", tuple(LAYOUTS), from_layout, to_layout)
    files = image_files(out) + (image_files(values_path(out)) if LAYOUTS[to_layout].unit else [])
    check_writable(files, force)
    _refuse_folder(source, "peaks.nii.gz")
    read, affine, sidecar = read_laid_out(source, LAYOUTS["mrtrix"], ranked=False)  # unit vectors have no rank
    known = _known(
        "layout", from_layout, stated_layout(sidecar), lambda: _guess_layout(read.directions, read.amplitudes, affine),
        source.name,
    )  # fmt: skip
    peaks, affine, sidecar = read_laid_out(source, LAYOUTS[known.value])
    kept: dict[str, Any] = {key: value for key, value in sidecar.items() if key not in _TOLD}
    write_laid_out(out, peaks, affine, LAYOUTS[to_layout], kept)
    return Converted((known,), f"{known.value} layout", f"{to_layout} layout", tuple(files))


def _refuse_folder(source: Path, image: str) -> None:
    if source.is_dir():
        raise ScanError(f"{source}: is a folder; give one image, as {source / image}")


def _finite(coefficients: Float32[np.ndarray, "x y z coeff"], name: str) -> Float32[np.ndarray, "x y z coeff"]:
    """Return the coefficients with zeros in voxels where any is not finite, and warn of them."""
    finite = finite_voxels(coefficients)
    if finite.all():
        return coefficients
    warnings.warn(
        f"{name}: {(~finite).sum()} of {finite.size} voxels hold values that are not finite; zeros are written",
        ShdWarning,
        stacklevel=3,
    )
    return np.where(finite[..., None], coefficients, np.float32(0))


def _known(what: str, said: str | None, stated: str | None, guess: Any, name: str) -> Known:
    if said is not None:
        return Known(said, f"{what} {said}, as said")
    if stated is not None:
        return Known(stated, f"{what} {stated}, as its sidecar states")
    found: Guess = guess()
    if not found.sure:
        raise FormatError(f"{name}: its {what} cannot be told: {found.words}; say --from-{what}")
    return Known(found.best, f"{what} {found.best}, guessed: {found.words}")


def guess_basis_of(coefficients: Float32[np.ndarray, "x y z coeff"]) -> Guess:
    """Return the basis in which an image of harmonics seems to be told, by 50,000 of its voxels."""
    present = np.flatnonzero(coefficients[..., 0] != 0)
    drawn = np.sort(np.random.default_rng(0).permutation(present)[:_LOOKED_AT])
    return guess_basis(coefficients[np.unravel_index(drawn, coefficients.shape[:3])])


def guess_axes_of(
    coefficients: Float32[np.ndarray, "x y z coeff"], basis: str, affine: Float[np.ndarray, "4 4"]
) -> Guess:
    """Return the axes along which an image of harmonics in a basis seems to be told.

    By the highest peaks of the middle slices; each counts by its height over the mean of its function.
    """
    middle = _middle(coefficients[..., 0] > 0)
    coefficients = coefficients[:, :, middle]
    present = coefficients[..., 0] > 0
    chosen = change_basis(coefficients[present], basis, "mrtrix3")
    peaks = find_peaks(chosen, count=1).on_grid(present)
    mean = np.where(present, coefficients[..., 0], 1.0)
    return guess_axes(peaks.directions[..., 0, :], peaks.amplitudes[..., 0] / mean, affine)


def _middle(present: Bool[np.ndarray, "x y z"]) -> slice:
    """Return as many slices in the middle of those present as hold 150,000 voxels: enough, and quick."""
    counts = present.sum(axis=(0, 1))
    centre = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
    reach = 1
    while counts[max(0, centre - reach) : centre + reach + 1].sum() < min(_ENOUGH, counts.sum()):
        reach += 1
    return slice(max(0, centre - reach), centre + reach + 1)


def _guess_layout(
    directions: Float32[np.ndarray, "x y z peak 3"],
    lengths: Float32[np.ndarray, "x y z peak"],
    affine: Float[np.ndarray, "4 4"],
) -> Guess:
    """Return the layout by the axes of the first peaks; where these say nothing, by lengths that are no amplitudes."""
    axes = guess_axes(directions[..., 0, :], (lengths[..., 0] > 0).astype(np.float32), affine)
    highest = lengths.max(axis=-1)
    unit = highest.any() and np.allclose(highest[highest > 0], 1.0, atol=_UNIT)
    if unit and (axes_are_same(affine) or not axes.sure):
        return Guess("scilpy", True, f"each voxel's longest peak has length 1, as scilpy writes them; {axes.words}")
    return Guess("scilpy" if axes.best == "voxel" else "mrtrix", axes.sure, axes.words)


def _encoding(basis: str, axes: str) -> Encoding:
    return Encoding(basis, "scanner" if axes == "scanner" else "voxel")


def _check(what: str, known: tuple[str, ...], *given: str | None) -> None:
    for value in given:
        if value is not None and value not in known:
            raise SettingsError(f"{what} {value}: unknown; give one of {', '.join(known)}")
