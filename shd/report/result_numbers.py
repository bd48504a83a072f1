"""The numbers of a result: how much was fitted, how many fibres, how strong, of which tissue."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Real

__all__ = ["NEEDED_MAPS", "ResultNumbers", "result_numbers"]

NEEDED_MAPS = ("afd_total", "nufo", "peak_amplitudes", "fraction_wm", "fraction_gm", "fraction_csf", "tissue_sum")
_SHARES = {"wm": "fraction_wm", "gm": "fraction_gm", "csf": "fraction_csf"}
_MOSTLY = 0.5  # share of white matter from which a voxel counts as white matter
_COUNTED = 5  # fibres a voxel at most in the histogram


@dataclass(frozen=True)
class ResultNumbers:
    """Numbers over the mask, or over its white matter: voxels more than half of it, all where no other tissue was fit.

    voxels, white_voxels: how many. volume: of the mask, ml. fibres, white_fibres: voxels with 0, 1, … 5 or more peaks
    above the threshold. density, amplitude: medians over white matter of the total AFD and of the highest peak. mean,
    median: of each tissue's share. tissue_sum: median, where several tissues were fit. residual: median over white
    matter, where it was stored.
    """

    voxels: int
    volume: float
    white_voxels: int
    fibres: tuple[int, ...]
    white_fibres: tuple[int, ...]
    density: float
    amplitude: float
    mean: dict[str, float]
    median: dict[str, float]
    tissue_sum: float | None
    residual: float | None

    @property
    def without_fibre(self) -> float:
        """Share of the mask without a peak above the threshold."""
        return self.fibres[0] / self.voxels

    @property
    def white_without_fibre(self) -> float:
        """The same share of white matter; NaN where there is none."""
        return self.white_fibres[0] / self.white_voxels if self.white_voxels else float("nan")

    @property
    def crossing(self) -> float:
        """Share of white matter with two fibres or more; NaN where there is none."""
        return sum(self.white_fibres[2:]) / self.white_voxels if self.white_voxels else float("nan")


def result_numbers(
    maps: Mapping[str, Real[np.ndarray, "x y z *each"]],
    mask: Bool[np.ndarray, "x y z"],
    affine: Float[np.ndarray, "4 4"],
    residual: Float[np.ndarray, "x y z"] | None = None,
) -> ResultNumbers:
    """Return the numbers. maps: those of `NEEDED_MAPS` that the result allows. mask: not empty. affine: mm a voxel."""
    shares = {tissue: maps[name][mask] for tissue, name in _SHARES.items() if name in maps}
    white = shares["wm"] > _MOSTLY if shares else np.ones(np.count_nonzero(mask), bool)
    count = np.minimum(maps["nufo"][mask].astype(np.int64), _COUNTED)
    return ResultNumbers(
        voxels=len(white),
        volume=float(len(white) * abs(np.linalg.det(affine[:3, :3])) / 1000),
        white_voxels=int(white.sum()),
        fibres=_histogram(count),
        white_fibres=_histogram(count[white]),
        density=_median(maps["afd_total"][mask][white]),
        amplitude=_median(maps["peak_amplitudes"][mask][white, 0]),
        mean={tissue: float(share.mean()) for tissue, share in shares.items()},
        median={tissue: _median(share) for tissue, share in shares.items()},
        tissue_sum=_median(maps["tissue_sum"][mask]) if "tissue_sum" in maps else None,
        residual=None if residual is None else _median(residual[mask][white]),
    )


def _histogram(count: Real[np.ndarray, " voxel"]) -> tuple[int, ...]:
    return tuple(int(voxels) for voxels in np.bincount(count, minlength=_COUNTED + 1))


def _median(values: Real[np.ndarray, " voxel"]) -> float:
    return float(np.median(values)) if len(values) else float("nan")
