"""Peaks of fODFs: their local maxima, found on a grid and refined on the harmonics themselves."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from scipy.spatial import ConvexHull

from shd.fodf.peak_kernel import peaks_of_block
from shd.processors import usable_processors
from shd.sphere.directions import half_sphere
from shd.sphere.harmonics import coefficient_count, degree_of_count, even_harmonics

__all__ = ["Peaks", "find_peaks", "half_sphere_neighbours", "peak_grid", "peaks_on_grid", "polynomial_map"]

GRID_SIZE = 1000  # 4.5° between neighbours: of the peaks that 8000 find, 1 in 1000 is missed, all barely separate
FLATNESS = 1e-4  # float32 coefficients of a ring leave curvatures up to 1e-5 of its height; those of fibres exceed 1
BLOCK = 1024  # voxels a thread takes at a time
_COPIED = 64 * BLOCK  # voxels whose coefficients are copied at a time


@dataclass(frozen=True, eq=False)
class Peaks:
    """The peaks of every voxel, highest first.

    directions: unit vectors with z ≥ 0 (an axis has no sign), in the axes of the coefficients; zero where absent.
    amplitudes: value of the fODF there, in its units; 0 where absent.
    """

    directions: Float[np.ndarray, "*grid peak 3"]
    amplitudes: Float[np.ndarray, "*grid peak"]

    @property
    def numbers(self) -> Int[np.ndarray, "*grid"]:
        """How many peaks each voxel has."""
        return np.count_nonzero(self.amplitudes, axis=-1)

    def on_grid(self, mask: Bool[np.ndarray, "x y z"]) -> "Peaks":
        """Return the peaks of the mask's voxels (in C order, as `volume[mask]` gives them) on the mask's grid."""
        directions = np.zeros((*mask.shape, *self.directions.shape[1:]), self.directions.dtype)
        amplitudes = np.zeros((*mask.shape, *self.amplitudes.shape[1:]), self.amplitudes.dtype)
        directions[mask], amplitudes[mask] = self.directions, self.amplitudes
        return Peaks(directions, amplitudes)


def half_sphere_neighbours(grid: Float[np.ndarray, "direction 3"]) -> Int[np.ndarray, "direction width"]:
    """Return, for each direction of a half-sphere grid, those next to it or to its antipode, padded with itself.

    Neighbours share an edge of the convex hull (the sphere's Delaunay triangulation) of the grid and its antipodes.
    """
    size = len(grid)
    around: list[set[int]] = [set() for _ in range(size)]
    for triangle in ConvexHull(np.concatenate([grid, -grid])).simplices % size:
        for corner in triangle:
            around[corner].update(int(other) for other in triangle if other != corner)
    table = np.tile(np.arange(size, dtype=np.int32)[:, None], (1, max(map(len, around))))
    for row, others in zip(table, around, strict=True):
        row[: len(others)] = sorted(others)
    return table


@lru_cache(maxsize=4)
def polynomial_map(degree: int) -> Float[np.ndarray, "monomial coeff"]:
    """Return the matrix from harmonic coefficients to a homogeneous polynomial of degree L equal to them on the sphere.

    Both spaces have (L+1)(L+2)/2 dimensions, so the map is square and exact; monomial x^a y^b z^c stands at index
    (b+c)(b+c+1)/2 + c. It is solved for on directions of the sphere, where it reproduces values to 1e-12 at degree 16.
    """
    x, y, z = half_sphere(100 + 4 * coefficient_count(degree)).T
    monomials = [x ** (degree - s) * y ** (s - c) * z**c for s in range(degree + 1) for c in range(s + 1)]
    return np.linalg.lstsq(np.stack(monomials, 1), even_harmonics(np.stack([x, y, z], 1), degree), rcond=None)[0]


@lru_cache(maxsize=1)
def peak_grid() -> tuple[Float[np.ndarray, "direction 3"], Int[np.ndarray, "direction width"]]:
    """Return the directions that the search starts from, unit vectors with z > 0, and their neighbours."""
    directions = half_sphere(GRID_SIZE)
    return directions, half_sphere_neighbours(directions)


@lru_cache(maxsize=4)
def _grid_basis(degree: int) -> Float32[np.ndarray, "row direction"]:
    """Return the harmonics at the grid directions, a row each, with rows of zeros up to a multiple of four."""
    rows = even_harmonics(peak_grid()[0], degree).T
    return np.ascontiguousarray(np.pad(rows, ((0, -len(rows) % 4), (0, 0))), np.float32)


def find_peaks(
    coefficients: Float[np.ndarray, "voxel coeff"],
    *,
    count: int = 5,
    relative_threshold: float = 0.1,
    absolute_threshold: float = 0.0,
    separation_degrees: float = 8.0,
    threads: int | None = None,
) -> Peaks:
    """Return the highest local maxima of the fODF of every voxel, as unit vectors and amplitudes in float32.

    Grid directions not below any neighbour start a Newton ascent on the sphere (`peak_kernel`), which ends within 1e-4
    of a degree. A function without an isolated maximum has no peak: isotropic, ring-shaped, zero, or not finite.

    coefficients: even harmonics, MRtrix3 basis; the peaks are in their axes. count: peaks to keep, at most.
    relative_threshold: share of the voxel's highest peak that a peak must reach. absolute_threshold: amplitude that it
    must exceed, in the units of the fODF (MRtrix tracks above 0.1). separation_degrees: of two peaks closer than this
    the higher is kept; MRtrix's `sh2peaks` uses 8°. threads: as many as processors that may be used if None.

    Raises ValueError for a number of coefficients no even degree has, or a setting out of range.

    >>> import numpy as np
    >>> from shd.sphere.harmonics import even_harmonics
    >>> fibre = np.array([[0.6, 0.0, 0.8]])
    >>> np.abs(find_peaks(even_harmonics(fibre, degree=8), count=1).directions[0]).astype(float).round(3).tolist()
    [[0.6, 0.0, 0.8]]
    """
    degree = degree_of_count(coefficients.shape[-1])
    if count < 1 or not 0.0 <= relative_threshold <= 1.0 or not 0.0 <= separation_degrees <= 90.0:
        raise ValueError(
            f"count {count}, relative_threshold {relative_threshold}, separation_degrees {separation_degrees}: "
            "must be at least 1, in 0 to 1 and in 0 to 90"
        )
    voxels = len(coefficients)
    directions = np.zeros((voxels, count, 3), np.float32)
    amplitudes = np.zeros((voxels, count), np.float32)
    if degree == 0:
        return Peaks(directions, amplitudes)
    grid, neighbours = peak_grid()
    basis = _grid_basis(degree)
    to_polynomial = np.ascontiguousarray(polynomial_map(degree).T)
    cosine = np.cos(np.radians(separation_degrees))
    spacing = np.sqrt(2 * np.pi / GRID_SIZE)

    def work(start: int) -> None:
        block = slice(start, start + BLOCK)
        peaks_of_block(
            np.ascontiguousarray(coefficients[block], np.float32), degree, basis, to_polynomial, grid, neighbours,
            spacing, count, relative_threshold, absolute_threshold, cosine, FLATNESS, directions[block],
            amplitudes[block],
        )  # fmt: skip

    with ThreadPoolExecutor(max_workers=threads or usable_processors()) as pool:
        list(pool.map(work, range(0, voxels, BLOCK)))
    return Peaks(directions, amplitudes)


def peaks_on_grid(
    coefficients: Float[np.ndarray, "x y z coeff"], mask: Bool[np.ndarray, "x y z"], **options: Any
) -> Peaks:
    """Return the peaks of the mask's voxels on its grid, zero elsewhere; options as those of `find_peaks`.

    The coefficients are copied some voxels at a time, not all.
    """
    places = np.flatnonzero(mask)
    blocks = [places[start : start + _COPIED] for start in range(0, max(1, len(places)), _COPIED)]
    found = [find_peaks(coefficients[np.unravel_index(block, mask.shape)], **options) for block in blocks]
    directions, amplitudes = ([getattr(part, name) for part in found] for name in ("directions", "amplitudes"))
    return Peaks(np.concatenate(directions), np.concatenate(amplitudes)).on_grid(mask)
