"""Peak images as other programs lay them out: axes, how many, how long, and what stands where there is none."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from shd.errors import FormatError
from shd.fodf.encoding import Axes
from shd.fodf.frames import peaks_to_scanner_axes, peaks_to_voxel_axes
from shd.fodf.peaks import Peaks
from shd.io.images import read_with_sidecar, write_image

__all__ = ["LAYOUTS", "PeakLayout", "peak_encoding", "read_laid_out", "stated_layout", "values_path", "write_laid_out"]

_ROUNDING = 5  # digits to which amplitudes count, over the voxel's highest, when peaks are ranked


@dataclass(frozen=True)
class PeakLayout:
    """axes: scanner or voxel. absent: written where a voxel has no more peaks. count: peaks a voxel, as many as there
    are if None. unit: directions of length one, with the amplitudes in a second image; else as long as the amplitude.
    """

    name: str
    axes: Axes
    absent: float
    count: int | None
    unit: bool


# scilpy: what `scil_fodf_metrics --abs_peaks_and_values` writes. tractseg: TractSeg reads what `sh2peaks` writes, three
# peaks, and sets NaN to zero.
LAYOUTS = {
    "mrtrix": PeakLayout("mrtrix", "scanner", np.nan, None, False),
    "scilpy": PeakLayout("scilpy", "voxel", 0.0, 5, True),
    "tractseg": PeakLayout("tractseg", "scanner", 0.0, 3, False),
}


def values_path(path: Path) -> Path:
    """Return the name of the image of amplitudes that goes with one of unit directions."""
    stem, ending = path.name.split(".", 1)
    return path.with_name(f"{stem}_values.{ending}")


def write_laid_out(
    path: str | Path,
    peaks: Peaks,
    affine: Float[np.ndarray, "4 4"],
    layout: PeakLayout,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write peaks on a grid (scanner axes, highest first) in a layout, float32, with a sidecar that says which.

    affine: voxel index → scanner RAS mm. Image and sidecar appear whole or not at all. Raises OutputError where a file
    cannot be written, ValueError for peaks that lie on no grid.
    """
    path = Path(path)
    if peaks.amplitudes.ndim != 4:
        raise ValueError(f"peaks of shape {peaks.amplitudes.shape}: an image needs (x, y, z, peak); see Peaks.on_grid")
    told = peaks_to_voxel_axes(peaks, affine) if layout.axes == "voxel" else peaks
    count = layout.count or peaks.amplitudes.shape[-1]
    shape = peaks.amplitudes.shape[:3]
    sidecar = {**(metadata or {}), "OrientationEncoding": peak_encoding(layout), "PeakLayout": layout.name}
    write_image(path, _components(told, count, layout), (*shape, 3 * count), affine, sidecar)
    if layout.unit:
        heights = (_amplitude(peaks, number) for number in range(count))
        write_image(values_path(path), heights, (*shape, count), affine, {"Description": "fODF amplitude of each peak"})


def read_laid_out(
    path: str | Path, layout: PeakLayout, ranked: bool = True
) -> tuple[Peaks, Float[np.ndarray, "4 4"], dict[str, Any]]:
    """Return peaks (scanner axes), affine and sidecar of an image in a layout; absent peaks may be NaN or zero.

    Amplitudes are the lengths, or those of the image beside it for unit directions (one, without it). ranked: peaks
    come the highest first, whatever the order of the file, which those of equal amplitude keep. Raises ScanError where
    a file cannot be read, FormatError where volumes do not come in threes.
    """
    path = Path(path)
    data, affine, sidecar = read_with_sidecar(path)
    if data.ndim != 4 or data.shape[-1] % 3:
        raise FormatError(f"{path.name}: shape {data.shape}, but peaks come as (x, y, z, 3·N); is it a peaks image?")
    vectors = np.nan_to_num(data, nan=0.0, posinf=0.0, neginf=0.0).reshape(*data.shape[:3], -1, 3)
    lengths = np.linalg.norm(vectors, axis=-1)
    directions = np.divide(vectors, lengths[..., None], out=np.zeros_like(vectors), where=lengths[..., None] > 0)
    if layout.unit:
        lengths = np.where(lengths > 0, _values_beside(path, lengths.shape), np.float32(0))
    peaks = _ranked(Peaks(directions, lengths)) if ranked else Peaks(directions, lengths)
    return (peaks_to_scanner_axes(peaks, affine) if layout.axes == "voxel" else peaks), affine, sidecar


def _values_beside(path: Path, shape: tuple[int, ...]) -> Float32[np.ndarray, "x y z peak"]:
    """Return the amplitudes of unit directions, one without an image of them; raises FormatError for another shape."""
    file = values_path(path)
    if not file.is_file():
        return np.ones(shape, np.float32)
    values = read_with_sidecar(file)[0]
    if values.shape != shape:
        raise FormatError(
            f"{file.name} is {values.shape} but {path.name} has {shape[-1]} peaks on {shape[:3]}; are they of one scan?"
        )
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)


def _ranked(peaks: Peaks) -> Peaks:
    """Return the peaks of each voxel, the highest first."""
    heights = peaks.amplitudes
    top = np.maximum(heights.max(axis=-1, keepdims=True, initial=0.0), np.finfo(np.float32).tiny)
    shares = np.round(heights / top, _ROUNDING)
    if (shares[..., 1:] <= shares[..., :-1]).all():
        return peaks
    order = np.argsort(-shares, axis=-1, kind="stable")
    directions = np.take_along_axis(peaks.directions, order[..., None], axis=-2)
    return Peaks(directions, np.take_along_axis(heights, order, axis=-1))


def stated_layout(sidecar: Mapping[str, Any]) -> str | None:
    """Return the layout that a sidecar of `write_laid_out` names, if it is one."""
    layout = sidecar.get("PeakLayout")
    return layout if layout in LAYOUTS else None


def peak_encoding(layout: PeakLayout) -> dict[str, Any]:
    """Return OrientationEncoding of peaks in a layout (BEP016 draft)."""
    return {
        "EncodingAxis": 3,
        "Reference": "xyz" if layout.axes == "scanner" else "ijk",
        "Type": "unit3vector" if layout.unit else "3vector",
        "AntipodalSymmetry": True,
    }


def _amplitude(peaks: Peaks, number: int) -> Float32[np.ndarray, "x y z"]:
    if number < peaks.amplitudes.shape[-1]:
        return peaks.amplitudes[..., number].astype(np.float32)
    return np.zeros(peaks.amplitudes.shape[:3], np.float32)


def _components(peaks: Peaks, count: int, layout: PeakLayout) -> Iterator[Float32[np.ndarray, "x y z"]]:
    for number in range(count):
        amplitude = _amplitude(peaks, number)
        for axis in range(3):
            if number >= peaks.amplitudes.shape[-1]:
                yield np.full(amplitude.shape, layout.absent, np.float32)
                continue
            component = peaks.directions[..., number, axis] * (1.0 if layout.unit else amplitude)
            yield np.where(amplitude > 0, component, layout.absent).astype(np.float32)
