"""The lobes of fODFs, one a fibre population: fixels, with the density, the height and the spread of each."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float32, Int, Shaped

from shd.fodf.lobe_kernel import lobes_of_block
from shd.fodf.peaks import BLOCK, FLATNESS, peak_grid, polynomial_map
from shd.processors import usable_processors
from shd.sphere.harmonics import degree_of_count, even_harmonics

__all__ = ["Fixels", "fixels_of", "solid_angles"]

MOST = 32  # lobes of a voxel that are kept; the positive lobes of degree 16 are fewer
SAME_PEAK = np.cos(np.radians(0.5))  # tops of the grid that climb this close have climbed to one peak
EXACT_DEGREE = 16  # the weights of the grid integrate harmonics up to here exactly


@dataclass(frozen=True, eq=False)
class Fixels:
    """The lobes of every voxel's fODF, largest first; those of voxel v are rows offsets[v] to offsets[v+1].

    directions: mean direction of the lobe, weighted by amplitude, a unit vector in the axes of the coefficients on the
    side of peak_directions. peak_directions: where the lobe is highest, unit vectors with z ≥ 0. afd: integral of the
    fODF over the lobe and its antipode (apparent fibre density; a full voxel of one fibre population has about 1).
    amplitudes: the fODF at its peak. Units of the fODF; float32.
    """

    offsets: Int[np.ndarray, " voxel_and_one"]
    directions: Float32[np.ndarray, "fixel 3"]
    peak_directions: Float32[np.ndarray, "fixel 3"]
    afd: Float32[np.ndarray, " fixel"]
    amplitudes: Float32[np.ndarray, " fixel"]

    @property
    def dispersion(self) -> Float32[np.ndarray, " fixel"]:
        """Integral over peak amplitude, in steradians: what `fod2fixel -disp` gives. Wider lobes have more."""
        return self.afd / self.amplitudes

    @property
    def numbers(self) -> Int[np.ndarray, " voxel"]:
        """How many fixels each voxel has."""
        return np.diff(self.offsets)

    def table(self, values: Shaped[np.ndarray, "fixel *each"], count: int) -> Shaped[np.ndarray, "voxel count *each"]:
        """Return values of the fixels as rows of voxels: those of the `count` largest lobes, zero where absent."""
        rank = np.arange(len(values)) - np.repeat(self.offsets[:-1], self.numbers)
        voxel = np.repeat(np.arange(len(self.numbers)), self.numbers)
        kept = rank < count
        rows = np.zeros((len(self.numbers), count, *values.shape[1:]), values.dtype)
        rows[voxel[kept], rank[kept]] = values[kept]
        return rows


def fixels_of(
    coefficients: Float[np.ndarray, "voxel coeff"],
    *,
    amplitude_threshold: float = 0.1,
    afd_threshold: float = 0.0,
    count: int | None = None,
) -> Fixels:
    """Return the lobes of the fODF of every voxel.

    A lobe holds the directions from which the steepest way up ends at one peak, as far as the function is positive;
    its integral is over both ends of the axis. This is the segmentation of MRtrix3's `fod2fixel` (Smith et al.,
    NeuroImage 67 (2013), appendix) on a grid of 1000 directions, but that a direction between two lobes belongs to the
    higher neighbour's and that lobes are those of the true peaks (`find_peaks`), not of the grid's. A function
    without an isolated maximum has no lobe. Source of the density: Raffelt et al., NeuroImage 59 (2012).

    coefficients: even harmonics, MRtrix3 basis; the directions are in their axes. amplitude_threshold, afd_threshold:
    least height and integral of a lobe, in the units of the fODF; by default those of `fod2fixel`. count: lobes a voxel
    to keep, the largest. Raises ValueError for a number of coefficients no even degree has, or a setting out of range.

    >>> import numpy as np
    >>> from shd.sphere.harmonics import even_harmonics
    >>> two = even_harmonics(np.array([[0.6, 0.0, 0.8], [0.0, 1.0, 0.0]]), degree=8)
    >>> np.abs(fixels_of((two[0] + 0.5 * two[1])[None], count=2).peak_directions).astype(float).round(2).tolist()
    [[0.6, 0.0, 0.8], [0.0, 1.0, 0.0]]
    """
    degree = degree_of_count(coefficients.shape[-1])
    most = MOST if count is None else count
    if not 1 <= most <= MOST or amplitude_threshold < 0 or afd_threshold < 0:
        raise ValueError(
            f"count {count}, amplitude_threshold {amplitude_threshold}, afd_threshold {afd_threshold}: must be in 1 to "
            f"{MOST}, and 0 or more"
        )
    starts = range(0, len(coefficients) if degree else 0, BLOCK)
    grid, neighbours = peak_grid()
    basis = np.ascontiguousarray(even_harmonics(grid, degree).T, np.float32)
    to_polynomial = np.ascontiguousarray(polynomial_map(degree).T)
    spacing = np.sqrt(2 * np.pi / len(grid))

    def work(start: int) -> tuple[Float32[np.ndarray, "lobe 8"], Int[np.ndarray, " voxel"]]:
        block = np.ascontiguousarray(coefficients[start : start + BLOCK], np.float32)
        lobes, numbers = np.empty((len(block), most, 8), np.float32), np.empty(len(block), np.int64)
        lobes_of_block(
            block, degree, basis, to_polynomial, grid, solid_angles(), neighbours, spacing, SAME_PEAK, FLATNESS,
            amplitude_threshold, afd_threshold, lobes, numbers,
        )  # fmt: skip
        return lobes[np.arange(most) < numbers[:, None]], numbers

    with ThreadPoolExecutor(max_workers=usable_processors()) as threads:
        done = list(threads.map(work, starts))
    rows = np.concatenate([np.empty((0, 8), np.float32), *(lobes for lobes, _ in done)])
    numbers = np.concatenate([numbers for _, numbers in done]) if done else np.zeros(len(coefficients), np.int64)
    offsets = np.concatenate([[0], np.cumsum(numbers)])
    return Fixels(offsets, rows[:, :3], rows[:, 3:6], rows[:, 6], rows[:, 7])


@lru_cache(maxsize=1)
def solid_angles() -> Float[np.ndarray, " direction"]:
    """Return the weights with which values at `peak_grid` integrate even functions over the sphere, steradians.

    The equal weights 4π/N, changed as little as makes the integrals of harmonics up to degree 16 exact.
    """
    grid, _ = peak_grid()
    harmonics = even_harmonics(grid, EXACT_DEGREE)
    equal = np.full(len(grid), 4 * np.pi / len(grid))
    wanted = np.zeros(harmonics.shape[1])
    wanted[0] = np.sqrt(4 * np.pi)
    return equal + np.linalg.lstsq(harmonics.T, wanted - harmonics.T @ equal, rcond=None)[0]
