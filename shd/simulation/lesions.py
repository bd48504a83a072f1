"""Lesions in simulated white matter: where, of which shape, and what they do to the signal.

A lesion is tissue in which free diffusion has taken the place of a share of what was there, fibres and all: diffusivity
rises and anisotropy falls, as in lesions of multiple sclerosis (Filippi et al., Neurology 56 (2001)). With the defaults
the mean diffusivity of white matter goes from 0.75e-3 to 0.9…1.3e-3 mm²/s. Relaxation is left out as in all of the
simulation, so nothing shows at b=0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.ndimage import distance_transform_edt

from shd.errors import SimulationError
from shd.signal.gradients import Gradients
from shd.simulation.geometry import Region
from shd.simulation.sampling import Samples, contains
from shd.simulation.tissues import CSF, FreeWater
from shd.sphere.directions import normalised
from shd.sphere.rotations import random_rotation

__all__ = ["Lesion", "LesionPlan", "draw_lesions", "lesion_share", "with_lesions"]

_WAVES, _FREQUENCY, _DEPTH = 4, 3.0, 0.3  # of the bulges: waves on the unit sphere, and their amplitude
_STRETCH = 0.3  # spread (of the logarithm) between a lesion's semi-axes
_NEAR_FLUID = 6.0  # mm: within this distance of a ventricle …
_FAVOUR = 4.0  # … a lesion is this much more likely
_LEAST_WHITE = 0.7  # of the voxel that holds a lesion's centre
_DEEP = 0.5  # fluid counts as a ventricle within this share of the head's radius from its middle
_TRIES = 200  # for a place where lesions do not overlap


@dataclass(frozen=True)
class LesionPlan:
    """How many lesions of which kind. radius_mm: range of the radius of a ball of equal volume, drawn evenly in its
    logarithm. severity: range of the share of the tissue that free diffusion replaces. diffusivity: range of that free
    diffusion, mm²/s.

    Raises SimulationError for ranges that cannot be.
    """

    count: int
    radius_mm: tuple[float, float] = (2.0, 7.0)
    severity: tuple[float, float] = (0.3, 0.7)
    diffusivity: tuple[float, float] = (1.2e-3, 1.8e-3)

    def __post_init__(self) -> None:
        if self.count < 0:
            raise SimulationError(f"{self.count} lesions: give 0 or more")
        low, high = self.radius_mm
        if not 0.0 < low <= high:
            raise SimulationError(f"lesions of {low:g} to {high:g} mm radius: give two radii above 0, ascending")
        low, high = self.severity
        if not 0.0 <= low <= high <= 1.0:
            raise SimulationError(f"severity {low:g} to {high:g}: give two shares from 0 to 1, ascending")
        low, high = self.diffusivity
        if not 0.0 < low <= high <= 0.01:
            raise SimulationError(f"diffusivity {low:g} to {high:g} mm²/s: free water has 3e-3; give two, ascending")


@dataclass(frozen=True, eq=False)
class Lesion:
    """One lesion: a bulging ellipsoid and what fills it.

    shape: around the origin; its tissue is not looked at. centre: mm, scanner axes. rotation: from the shape's axes to
    the scanner's. severity, diffusivity: as in `LesionPlan`.
    """

    shape: Region
    centre: Float[np.ndarray, "3"]
    rotation: Float[np.ndarray, "3 3"]
    severity: float
    diffusivity: float

    @property
    def reach(self) -> float:
        """No point of the lesion is further from its centre, mm."""
        return float(self.shape.semi_axes.max() * (1.0 + self.shape.amplitude))

    def holds(self, points: Float[np.ndarray, "point 3"]) -> np.ndarray:
        """Return which points (scanner mm) lie inside."""
        return np.asarray(contains(self.shape, (points - self.centre) @ self.rotation))


def draw_lesions(
    plan: LesionPlan,
    tissue_fractions: Float[np.ndarray, "x y z tissue"],
    affine: Float[np.ndarray, "4 4"],
    generator: np.random.Generator,
) -> tuple[Lesion, ...]:
    """Return random lesions with their centres in white matter, more likely beside the ventricles.

    tissue_fractions: shares of white matter, grey matter and CSF. affine: voxel index → scanner RAS mm. Lesions keep
    apart: no two share a point. Raises SimulationError where there is no room for as many.
    """
    chance = _chance(tissue_fractions, affine)
    places = np.argwhere(chance > 0)
    if plan.count and not len(places):
        raise SimulationError(f"0 voxels with {100 * _LEAST_WHITE:.0f} % white matter; lesions need some")
    weights = chance[tuple(places.T)]
    weights = weights / weights.sum() if len(places) else weights
    lesions: list[Lesion] = []
    for number in range(plan.count):
        for _ in range(_TRIES):
            index = places[generator.choice(len(places), p=weights)] + generator.uniform(-0.5, 0.5, 3)
            lesion = _drawn(number, index @ affine[:3, :3].T + affine[:3, 3], plan, generator)
            if all(np.linalg.norm(lesion.centre - o.centre) > lesion.reach + o.reach for o in lesions):
                lesions.append(lesion)
                break
        else:
            raise SimulationError(
                f"{len(lesions)} of {plan.count} lesions of up to {plan.radius_mm[1]:g} mm found room; give fewer, or "
                "a larger head"
            )
    return tuple(lesions)


def _chance(
    tissue_fractions: Float[np.ndarray, "x y z tissue"], affine: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, "x y z"]:
    """Return how likely a lesion's centre is in each voxel, up to a factor."""
    white = tissue_fractions[..., 0] >= _LEAST_WHITE
    held = np.argwhere(tissue_fractions.sum(axis=-1) >= 0.5)
    if not len(held):
        return np.zeros(white.shape)
    low, high = held.min(axis=0), held.max(axis=0)
    offsets = (np.indices(white.shape).T - (low + high) / 2) / np.maximum((high - low) / 2, 1.0)
    deep = np.linalg.norm(offsets, axis=-1).T <= _DEEP
    fluid = (tissue_fractions[..., 2] > 0.5) & deep
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    near = distance_transform_edt(~fluid, sampling=sizes) <= _NEAR_FLUID if fluid.any() else np.zeros_like(white)
    return white * np.where(near, _FAVOUR, 1.0)


def _drawn(number: int, centre: Float[np.ndarray, "3"], plan: LesionPlan, generator: np.random.Generator) -> Lesion:
    radius = float(np.exp(generator.uniform(*np.log(plan.radius_mm))))
    stretch = _STRETCH * generator.standard_normal(3)
    waves = np.zeros((_WAVES, 4))
    waves[:, :3] = _FREQUENCY * normalised(generator.standard_normal((_WAVES, 3)))
    waves[:, 3] = generator.uniform(0, 2 * np.pi, _WAVES)
    axes = radius * np.exp(stretch - stretch.mean())
    shape = Region(f"lesion {number + 1}", np.zeros(3), axes, amplitude=_DEPTH, waves=waves)
    return Lesion(
        shape, centre, random_rotation(generator), generator.uniform(*plan.severity),
        generator.uniform(*plan.diffusivity),
    )  # fmt: skip


Box = tuple[slice, slice, slice]


def lesion_share(
    lesion: Lesion, shape: tuple[int, int, int], affine: Float[np.ndarray, "4 4"], subsamples: int
) -> tuple[Box, Float[np.ndarray, "bx by bz"]]:
    """Return a box of voxels around a lesion and the share of each one's subsamples³ points that lies inside.

    shape: of the grid, beyond which no box reaches. affine: voxel index → scanner RAS mm.
    """
    steps = (np.arange(subsamples) + 0.5) / subsamples - 0.5
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    inverse = np.linalg.inv(affine)
    middle = lesion.centre @ inverse[:3, :3].T + inverse[:3, 3]
    span = lesion.reach * np.linalg.norm(inverse[:3, :3], axis=1)
    low = np.clip(np.floor(middle - span + 0.5).astype(int), 0, shape)
    high = np.clip(np.ceil(middle + span + 0.5).astype(int), low, shape)
    places = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), axis=-1)
    points = (places[..., None, :] + offsets) @ affine[:3, :3].T + affine[:3, 3]
    inside = lesion.holds(points.reshape(-1, 3)).reshape(points.shape[:-1])
    x, y, z = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return (x, y, z), inside.mean(axis=-1)


def with_lesions(
    samples: Samples,
    lesions: Sequence[Lesion],
    gradients: Gradients,
    affine: Float[np.ndarray, "4 4"],
    subsamples: int,
) -> tuple[Samples, Float[np.ndarray, "x y z"]]:
    """Return what the voxels hold once they have lesions, and the share of each voxel that is lesion.

    Fluid stays as it is: a lesion that covers a share g of a voxel is g(1 − f) of its volume, f the voxel's share of
    CSF, and replaces by free diffusion a share `severity` of that, of white and grey matter alike: S becomes
    S + g·severity·((1 − f)·S_free − (S − f·S_csf)), in proportion also where a voxel holds several tissues. Fractions,
    fODFs and tissues are what is left of the fibres; their sum is less where there is a lesion.
    """
    shape = samples.endpoints.shape
    solid = samples.tissue_fractions[..., 0] + samples.tissue_fractions[..., 1]
    signal, share = samples.noise_free.copy(), np.zeros(shape)
    left = np.ones(shape)
    csf = CSF.signal(gradients.bvalues)
    for lesion in lesions:
        box, covered = lesion_share(lesion, shape, affine, subsamples)
        taken = lesion.severity * covered
        free = FreeWater(lesion.diffusivity).signal(gradients.bvalues)
        tissue = samples.noise_free[box] - samples.tissue_fractions[box][..., 2, None] * csf
        signal[box] += (taken[..., None] * (solid[box][..., None] * free - tissue)).astype(np.float32)
        share[box] += covered * solid[box]
        left[box] -= taken
    tissues = samples.tissue_fractions.copy()
    tissues[..., :2] *= left[..., None]
    single = left.astype(np.float32)[..., None]
    changed = replace(
        samples,
        noise_free=np.maximum(signal, np.float32(0.0)),
        fractions=samples.fractions * single,
        tissue_fractions=tissues,
        fods=samples.fods * single,
    )
    return changed, share
