"""The families of phantoms by name, with what can be chosen of each."""

from collections.abc import Callable
from dataclasses import dataclass

from shd.errors import SimulationError
from shd.simulation.bending import bending_geometry
from shd.simulation.brain import brain_geometry
from shd.simulation.challenge import challenge_geometry
from shd.simulation.crossing import crossing_geometry
from shd.simulation.fanning import fanning_geometry
from shd.simulation.geometry import Geometry
from shd.simulation.kissing import kissing_geometry
from shd.simulation.tangle import tangle_geometry

__all__ = ["FAMILIES", "Family", "family_geometry"]


@dataclass(frozen=True)
class Family:
    """One family. make: its function, which takes `seed`. choices: what else it takes, by the name it is asked for
    ("angle", "bundles", "extent") and that of the argument. voxel_mm: default edge of a voxel. about: one line.
    """

    make: Callable[..., Geometry]
    choices: dict[str, str]
    voxel_mm: float
    about: str


_ANGLE = {"angle": "angle_degrees"}
FAMILIES = {
    "crossing": Family(crossing_geometry, _ANGLE, 2.0, "two bundles that cross at an angle (60°)"),
    "fanning": Family(fanning_geometry, _ANGLE, 2.0, "a bundle that spreads to a cone (60°), and one across it"),
    "kissing": Family(kissing_geometry, _ANGLE, 2.0, "two bundles that touch and part (60°)"),
    "bending": Family(bending_geometry, _ANGLE, 2.0, "a bundle that turns a corner (90°)"),
    "tangle": Family(
        tangle_geometry, {"bundles": "bundles", "extent": "extent_mm"}, 2.0, "random curved bundles (16) in a ball"
    ),
    "challenge": Family(challenge_geometry, {}, 2.0, "27 bundles like those of the ISBI 2013 challenge"),
    "brain": Family(brain_geometry, {"extent": "extent_mm"}, 2.0, "a head with tracts, cortex, ventricles and fluid"),
}


def family_geometry(name: str, *, seed: int = 0, **choices: float | int | None) -> Geometry:
    """Return the geometry of a family; choices that are None are left at their defaults.

    Raises SimulationError for an unknown family, or a choice that the family has not or cannot take.
    """
    if name not in FAMILIES:
        raise SimulationError(f"family {name!r}: give one of {', '.join(FAMILIES)}, or a geometry file (.json)")
    family = FAMILIES[name]
    given = {key: value for key, value in choices.items() if value is not None}
    foreign = [key for key in given if key not in family.choices]
    if foreign:
        known = ", ".join(family.choices) or "nothing but the seed"
        raise SimulationError(f"{name}: {foreign[0]} {given[foreign[0]]:g} cannot be chosen; of {name} {known} can")
    if seed < 0:
        raise SimulationError(f"seed {seed}: give 0 or more")
    return family.make(seed=seed, **{family.choices[key]: value for key, value in given.items()})
