"""Peak images in MRtrix3's layout: three volumes a peak, in scanner axes, as long as the fODF is high."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from shd.fodf.peaks import Peaks
from shd.io.peak_layouts import LAYOUTS, read_laid_out, write_laid_out

__all__ = ["read_peaks", "write_peaks"]


def write_peaks(
    path: str | Path, peaks: Peaks, affine: Float[np.ndarray, "4 4"], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write peaks on a grid (x, y, z, peak) as 3·N volumes, NaN where absent: what MRtrix3's `sh2peaks` writes.

    peaks: scanner axes (`Peaks.on_grid` puts those of a mask on its grid). affine: voxel index → scanner RAS mm.
    metadata: BEP016 keys for the sidecar. Errors as in `write_laid_out`.
    """
    write_laid_out(path, peaks, affine, LAYOUTS["mrtrix"], metadata)


def read_peaks(path: str | Path, ranked: bool = True) -> tuple[Peaks, Float[np.ndarray, "4 4"], dict[str, Any]]:
    """Return peaks (scanner axes), affine and sidecar of an image in MRtrix3's layout, absent ones NaN or zero.

    ranked: the highest first; else in the order of the file. Errors as in `read_laid_out`.
    """
    return read_laid_out(path, LAYOUTS["mrtrix"], ranked)
