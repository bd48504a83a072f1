"""Peak images in MRtrix3's layout: three volumes a peak, in scanner axes, as long as the fODF is high."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from shd.errors import ScanError
from shd.fodf.peaks import Peaks
from shd.io.images import read_with_sidecar, write_image

__all__ = ["read_peaks", "write_peaks"]


def write_peaks(
    path: str | Path, peaks: Peaks, affine: Float[np.ndarray, "4 4"], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write peaks on a grid (x, y, z, peak) as 3·N volumes, NaN where absent: what MRtrix3's `sh2peaks` writes.

    peaks: scanner axes (`Peaks.on_grid` puts those of a mask on its grid). affine: voxel index → scanner RAS mm.
    metadata: BEP016 keys for the sidecar. Image and sidecar appear whole or not at all. Raises `OutputError` where the
    file cannot be written, ValueError for peaks that lie on no grid.
    """
    if peaks.amplitudes.ndim != 4:
        raise ValueError(f"peaks of shape {peaks.amplitudes.shape}: an image needs (x, y, z, peak); see Peaks.on_grid")
    shape = (*peaks.amplitudes.shape[:3], 3 * peaks.amplitudes.shape[3])
    encoding = {"EncodingAxis": 3, "Reference": "xyz", "Type": "3vector", "AntipodalSymmetry": True}
    write_image(path, _components(peaks), shape, affine, {**(metadata or {}), "OrientationEncoding": encoding})


def read_peaks(path: str | Path) -> tuple[Peaks, Float[np.ndarray, "4 4"], dict[str, Any]]:
    """Return peaks (scanner axes), affine and sidecar of an image in MRtrix3's layout, absent ones NaN or zero.

    Raises `ScanError` where the file cannot be read or its volumes do not come in threes.
    """
    data, affine, sidecar = read_with_sidecar(path)
    if data.ndim != 4 or data.shape[-1] % 3:
        raise ScanError(f"{path}: shape {data.shape}, but peaks come as (x, y, z, 3·N); is it a peaks image?")
    vectors = np.nan_to_num(data, nan=0.0).reshape(*data.shape[:3], -1, 3)
    amplitudes = np.linalg.norm(vectors, axis=-1)
    directions = np.divide(vectors, amplitudes[..., None], out=np.zeros_like(vectors), where=amplitudes[..., None] > 0)
    return Peaks(directions, amplitudes), affine, sidecar


def _components(peaks: Peaks) -> Iterator[Float32[np.ndarray, "x y z"]]:
    for peak in range(peaks.amplitudes.shape[3]):
        amplitude = peaks.amplitudes[..., peak]
        for axis in range(3):
            component = peaks.directions[..., peak, axis] * amplitude
            yield np.where(amplitude > 0, component, np.nan).astype(np.float32)
