"""The choices of a tractogram, and which of them cannot be."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from shd.errors import SettingsError

__all__ = ["ALGORITHMS", "DEFAULT_ANGLES", "TrackSettings", "settings_for"]

ALGORITHMS = ("deterministic", "probabilistic", "particle")
DEFAULT_ANGLES = {"deterministic": 45.0, "probabilistic": 20.0, "particle": 20.0}
"""Degrees between steps of half a voxel."""
_STEP = 0.5  # of a voxel's smallest edge
_SEEDS_PER_VOXEL = 1
_MOST_SEEDS = 1000  # for each streamline of `select`: as in MRtrix3's tckgen


@dataclass(frozen=True)
class TrackSettings:
    """How streamlines are made.

    step: mm. angle: degrees that a step may turn by, at most. cutoff: fODF amplitude below which no streamline goes, in
    the units of the fODF (per response). min_length, max_length: mm; streamlines outside are left out. seeds_per_voxel,
    seed_count: one of them says how many seeds there are. select: stop when so many streamlines are found, None for
    never. seed: of all that is random.
    """

    algorithm: str
    step: float
    angle: float
    cutoff: float
    min_length: float
    max_length: float
    seeds_per_voxel: int | None
    seed_count: int | None
    select: int | None
    seed: int


def settings_for(
    voxel_sizes: Float[np.ndarray, " 3"],
    *,
    algorithm: str = "probabilistic",
    step: float | None = None,
    angle: float | None = None,
    cutoff: float = 0.1,
    min_length: float = 10.0,
    max_length: float = 250.0,
    seeds_per_voxel: int | None = None,
    seed_count: int | None = None,
    select: int | None = None,
    seed: int = 0,
) -> TrackSettings:
    """Return the settings with what is None filled in for voxels of these sizes (mm).

    step: half the smallest edge. angle: `DEFAULT_ANGLES`. Without a number of seeds, one in each voxel; with `select`
    alone, as many as it takes, up to 1000 for each streamline. Raises SettingsError for what cannot be.
    """
    smallest = round(float(voxel_sizes.min()), 5)  # affines in files are of single precision
    if algorithm not in ALGORITHMS:
        raise SettingsError(f"algorithm {algorithm!r}: give one of {', '.join(ALGORITHMS)}")
    step = _STEP * smallest if step is None else step
    angle = DEFAULT_ANGLES[algorithm] if angle is None else angle
    if not 0.0 < step <= smallest:
        raise SettingsError(f"a step of {step:g} mm: it must be above 0 and no larger than a voxel, {smallest:g} mm")
    if not 0.0 < angle <= 90.0:
        raise SettingsError(f"an angle of {angle:g}° between steps: give one above 0 and at most 90")
    if not cutoff > 0.0:
        raise SettingsError(f"a cutoff of {cutoff:g}: streamlines need an fODF amplitude above 0; 0.1 is usual")
    if not 0.0 <= min_length <= max_length < np.inf:
        raise SettingsError(f"lengths from {min_length:g} to {max_length:g} mm: give 0 ≤ shortest ≤ longest")
    if seeds_per_voxel is not None and seed_count is not None:
        raise SettingsError(f"{seeds_per_voxel} seeds a voxel and {seed_count} seeds in all: give one of them")
    if seeds_per_voxel is None and seed_count is None:
        seeds_per_voxel, seed_count = (_SEEDS_PER_VOXEL, None) if select is None else (None, _MOST_SEEDS * select)
    counts = {"streamlines": select, "seeds a voxel": seeds_per_voxel, "seeds": seed_count}
    for name, count in counts.items():
        if count is not None and count < 1:
            raise SettingsError(f"{count} {name}: give 1 or more")
    if seed < 0:
        raise SettingsError(f"random seed {seed}: give 0 or more")
    return TrackSettings(
        algorithm, step, angle, cutoff, min_length, max_length, seeds_per_voxel, seed_count, select, seed
    )
