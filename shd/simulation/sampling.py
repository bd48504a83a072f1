"""From a geometry to what every voxel of a grid holds: fibres, tissues and the signal without noise."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int

from shd.errors import SimulationError
from shd.processors import usable_processors
from shd.signal.gradients import Gradients
from shd.simulation.candidate_kernel import count_candidates, list_candidates
from shd.simulation.centreline import Centreline, trace
from shd.simulation.fibre_signal import FOD_DEGREE, harmonic_recurrence, sufficient_degree, volume_responses
from shd.simulation.geometry import Geometry, Region
from shd.simulation.sampling_kernel import sample_block
from shd.simulation.tissues import CSF, GREY_MATTER, Fibre
from shd.sphere.harmonics import coefficient_count

__all__ = ["SUBSAMPLES", "Samples", "contains", "sample"]

SUBSAMPLES = 4  # points per voxel along each axis: fractions at borders come in steps of 1/64
BLOCK = 1024  # voxels a thread takes at a time
END_VOXELS = 2.0  # length of the regions where a bundle starts and ends, in the longest edge of a voxel
_END_SAMPLES = 1001  # points along a bundle at which its part inside the phantom is told
_TISSUE_NUMBERS = {"gm": 0, "csf": 1}


@dataclass(frozen=True, eq=False)
class Samples:
    """What the voxels of a grid hold; the fields are those of `Phantom`."""

    noise_free: Float32[np.ndarray, "x y z volume"]
    directions: Float32[np.ndarray, "x y z fibre 3"]
    fractions: Float32[np.ndarray, "x y z fibre"]
    bundles: Int[np.ndarray, "x y z fibre"]
    tissue_fractions: Float[np.ndarray, "x y z tissue"]
    fods: Float32[np.ndarray, "x y z coeff"]
    endpoints: Int[np.ndarray, "x y z"]


def sample(
    geometry: Geometry,
    gradients: Gradients,
    shape: tuple[int, int, int],
    affine: Float[np.ndarray, "4 4"],
    subsamples: int = SUBSAMPLES,
    advance: Callable[[float], None] | None = None,
) -> Samples:
    """Return what every voxel holds, each the mean over subsamples³ points inside it.

    affine: voxel index → scanner RAS mm. Voxels are shared among threads; each is computed alone, so the numbers do not
    depend on how many there are. advance: told the share of the voxels that is done. Raises SimulationError where a
    bundle nowhere enters the volume.
    """
    lines = [trace(bundle) for bundle in geometry.bundles]
    kinds, groups = _fibre_kinds(geometry)
    degree = sufficient_degree(kinds, float(gradients.bvalues.max()))
    grid = np.array(shape, dtype=np.int64)
    zones = np.array([_zones(geometry, number, line, shape, affine) for number, line in enumerate(lines)])
    curves, first_sample = _joined(lines)
    candidates = _candidates(curves, first_sample, grid, affine)
    most = max(1, int(np.diff(candidates[0]).max(initial=0)))
    steps = (np.arange(subsamples) + 0.5) / subsamples - 0.5
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    isotropic = np.stack([tissue.signal(gradients.bvalues) for tissue in (GREY_MATTER, CSF)])
    regions, bounded = _region_arrays(geometry)
    fixed = (
        grid, np.ascontiguousarray(affine[:3], dtype=np.float64), offsets, candidates, curves, groups, zones, regions,
        bounded, _TISSUE_NUMBERS[geometry.fill], harmonic_recurrence(degree),
        volume_responses(kinds, gradients, degree), isotropic,
    )  # fmt: skip
    return _sampled(fixed, shape, len(gradients.bvalues), most, advance)


def contains(region: Region, points: Float[np.ndarray, "point 3"]) -> Any:
    """Return which points (mm) lie inside a region."""
    scaled = (points - region.centre) / region.semi_axes
    radius = np.linalg.norm(scaled, axis=-1)
    if region.amplitude == 0.0:
        return radius <= 1.0
    unit = scaled / np.maximum(radius, 1e-12)[:, None]
    folds = np.sin(unit @ region.waves[:, :3].T + region.waves[:, 3]).mean(axis=-1)
    return radius <= 1.0 + region.amplitude * folds


def _sampled(
    fixed: tuple[Any, ...],
    shape: tuple[int, int, int],
    volumes: int,
    most: int,
    advance: Callable[[float], None] | None,
) -> Samples:
    """Run the kernel over all voxels, block by block."""
    count = int(np.prod(shape))
    noise_free = np.zeros((count, volumes), np.float32)
    fods = np.zeros((count, coefficient_count(FOD_DEGREE)), np.float32)
    tissues, endpoints = np.zeros((count, 3)), np.zeros(count, np.int16)

    def run(start: int) -> tuple[Any, ...]:
        stop = min(count, start + BLOCK)
        size = stop - start
        fractions, directions = np.zeros((size, most), np.float32), np.zeros((size, most, 3), np.float32)
        bundles = np.full((size, most), -1, np.int16)
        part = slice(start, stop)
        sample_block(
            start, stop, *fixed, noise_free[part], fods[part], tissues[part], fractions, directions, bundles,
            endpoints[part],
        )  # fmt: skip
        kept = int((fractions > 0).sum(axis=1).max(initial=0))
        return fractions[:, :kept].copy(), directions[:, :kept].copy(), bundles[:, :kept].copy()

    with ThreadPoolExecutor(usable_processors()) as pool:
        parts = []
        for part in pool.map(run, range(0, count, BLOCK)):
            parts.append(part)
            if advance is not None:
                advance(min(1.0, len(parts) * BLOCK / count))
    fibres = max(1, *(part[0].shape[1] for part in parts))
    fractions, directions = np.zeros((count, fibres), np.float32), np.zeros((count, fibres, 3), np.float32)
    bundles = np.full((count, fibres), -1, np.int16)
    for start, part in zip(range(0, count, BLOCK), parts, strict=True):
        for whole, piece in zip((fractions, directions, bundles), part, strict=True):
            whole[start : start + BLOCK, : piece.shape[1]] = piece
    return Samples(
        noise_free.reshape(*shape, -1),
        directions.reshape(*shape, fibres, 3),
        fractions.reshape(*shape, fibres),
        bundles.reshape(*shape, fibres),
        tissues.reshape(*shape, 3),
        fods.reshape(*shape, -1),
        endpoints.reshape(shape),
    )


def _fibre_kinds(geometry: Geometry) -> tuple[tuple[Fibre, ...], Int[np.ndarray, " bundle"]]:
    """Return the different diffusivities, and which of them each bundle has."""
    kinds = tuple(dict.fromkeys(bundle.fibre for bundle in geometry.bundles))
    return kinds, np.array([kinds.index(bundle.fibre) for bundle in geometry.bundles], dtype=np.int64)


def _zones(
    geometry: Geometry, number: int, line: Centreline, shape: tuple[int, int, int], affine: Float[np.ndarray, "4 4"]
) -> tuple[float, float, float, float]:
    """Return up to which s a bundle starts, from which it ends, and 1/R² at both: of the part that the phantom has.

    Where ends of several bundles share a voxel the thinner one needs it more: hence 1/R².
    """
    inverse = np.linalg.inv(affine)
    at = line.points @ inverse[:3, :3].T + inverse[:3, 3]
    reach = np.max(line.radii) * np.linalg.norm(inverse[:3, :3], axis=1)
    if not ((at >= -0.5 - reach) & (at <= np.array(shape) - 0.5 + reach)).all(axis=1).any():
        low, high = line.points.min(axis=0), line.points.max(axis=0)
        raise SimulationError(
            f"{geometry.name}: bundle {geometry.bundles[number].name}, from {np.round(low, 1).tolist()} to "
            f"{np.round(high, 1).tolist()} mm, lies outside the volume of {' × '.join(map(str, shape))} voxels; "
            "move it, or give a larger shape or another affine"
        )
    lengths = np.linspace(0.0, line.lengths[-1], _END_SAMPLES)
    points = np.stack([np.interp(lengths, line.lengths, line.points[:, axis]) for axis in range(3)], axis=1)
    at = points @ inverse[:3, :3].T + inverse[:3, 3]
    inside = ((at >= -0.5) & (at <= np.array(shape) - 0.5)).all(axis=1)
    for boundary in (geometry.outline, geometry.white_surface):
        if boundary is not None:
            inside &= contains(boundary, points)
    held = lengths[inside] if inside.any() else lengths
    first, last = np.interp([held[0], held[-1]], line.lengths, line.radii)
    length = END_VOXELS * float(np.linalg.norm(affine[:3, :3], axis=0).max())
    return float(held[0]) + length, float(held[-1]) - length, float(first) ** -2, float(last) ** -2


def _joined(lines: list[Centreline]) -> tuple[tuple[Any, ...], Int[np.ndarray, " bundle_plus_one"]]:
    """Return the samples of all centrelines, one after another, and where each begins."""
    names = ("points", "tangents", "curvatures", "radii", "slopes", "lengths")
    curves = tuple(np.ascontiguousarray(np.concatenate([getattr(line, name) for line in lines])) for name in names)
    return curves, np.cumsum([0, *(len(line.radii) for line in lines)])


def _candidates(
    curves: tuple[Any, ...],
    first_sample: Int[np.ndarray, " bundle_plus_one"],
    grid: Int[np.ndarray, "3"],
    affine: Float[np.ndarray, "4 4"],
) -> tuple[Any, ...]:
    """Return which bundles may reach each voxel, and with which segments."""
    corners = (np.array(list(np.ndindex(2, 2, 2))) - 0.5) @ affine[:3, :3].T
    half_diagonal = float(np.linalg.norm(corners, axis=1).max())
    place = (
        curves[0], curves[1], curves[3], first_sample, np.ascontiguousarray(affine[:3], dtype=np.float64),
        np.ascontiguousarray(np.linalg.inv(affine)[:3]), grid, half_diagonal,
    )  # fmt: skip
    counts = np.zeros(int(grid.prod()), np.int64)
    count_candidates(*place, counts)
    starts = np.concatenate([[0], np.cumsum(counts)])
    bundles, first, last = (np.empty(int(starts[-1]), np.int32) for _ in range(3))
    list_candidates(*place, starts, bundles, first, last)
    return starts, bundles, first, last


def _region_arrays(geometry: Geometry) -> tuple[tuple[Any, ...], tuple[bool, bool]]:
    """Return outline, white surface and regions as arrays, and whether the first two are there."""
    absent = Region.ball("absent", np.zeros(3), 1.0)
    boundaries = (geometry.outline, geometry.white_surface)
    shapes = [boundary or absent for boundary in boundaries] + list(geometry.regions)
    waves = np.zeros((len(shapes), max(1, *(len(shape.waves) for shape in shapes)), 4))
    for row, shape in zip(waves, shapes, strict=True):
        row[: len(shape.waves)] = shape.waves
    return (
        np.array([shape.centre for shape in shapes], dtype=np.float64),
        1.0 / np.array([shape.semi_axes for shape in shapes], dtype=np.float64),
        np.array([shape.amplitude for shape in shapes], dtype=np.float64),
        waves,
        np.array([max(1, len(shape.waves)) for shape in shapes], dtype=np.int64),
        np.array([_TISSUE_NUMBERS[region.tissue] for region in geometry.regions], dtype=np.int64),
        np.array([region.volume_fraction for region in geometry.regions], dtype=np.float64),
        np.array([region.over_bundles for region in geometry.regions], dtype=np.bool_),
    ), (boundaries[0] is not None, boundaries[1] is not None)
