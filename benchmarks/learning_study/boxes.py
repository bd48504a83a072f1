"""The simulated boxes that networks of the study learn from, and the scans that they are tested on."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float16

from benchmarks.accuracy_table.problems import Problem
from shd.fodf.frames import to_voxel_axes
from shd.graphs.hemisphere import vertex_directions
from shd.io.examples import KeptExamples
from shd.scans.coherent_estimate import estimate_scan
from shd.scans.normalisation import normalise
from shd.signal.gradients import Gradients
from shd.simulation import Phantom
from shd.simulation.geometry import Geometry
from shd.simulation.phantoms import Measurement, measured, simulate
from shd.simulation.protocols import CLINICAL, protocol_gradients
from shd.simulation.random_scans import SNR, random_protocol, reaching
from shd.simulation.tangle import tangle_geometry
from shd.sphere.rotations import grid_rotation
from shd.training.examples import DrawnExamples, Example, Examples, MixedExamples, SimulatedExamples, example_of

__all__ = ["ANY", "FLAT", "FlatExamples", "UnseenScan", "VoxelAxes", "drawn", "flat_tangle", "unseen_scan", "validated"]

ANY, FLAT = "any", "flat"
"""What is learned from: random scans as `shd train` makes them; tangles whose fibres lie near one plane of the grid."""

SIDE, TILE = 12, 6
"""Voxels along each axis of a box, and of the part of it that a step takes."""

VALIDATED = 6
"""Boxes of a validation."""

FIRST_TEST = 1000
_VALIDATION = 1 << 20  # beyond the seeds of the boxes learned from
_EXTENT_MM, _BUNDLES = 36.0, 10
_SQUEEZED = 0.35  # of what is across the plane
_THINNER = 0.7


@dataclass(frozen=True)
class VoxelAxes:
    """Examples as seen in their own grid: directions, truth and affine turned together, an exact change of names.

    A network that compares directions with steps from voxel to voxel needs both in one frame, and a plain CNN can only
    learn how they belong together where that is the same in every scan. To ours it is no matter.
    """

    examples: Examples

    def __getitem__(self, number: int) -> Example:
        """Return one example."""
        example = self.examples[number]
        scan, truth = example.scan, example.truth
        assert truth is not None
        rotation, affine = grid_rotation(scan.affine), scan.affine.copy()
        affine[:3] = rotation.T @ affine[:3]
        table = scan.gradients
        gradients = Gradients(table.bvalues, table.directions @ rotation, table.shells)
        return replace(
            example,
            scan=replace(scan, gradients=gradients, affine=affine),
            truth=replace(truth, fods=to_voxel_axes(truth.fods, scan.affine)),
        )


def flat_tangle(seed: int, *, turned: bool = False) -> Geometry:
    """Return a tangle squeezed along x, so that fibres lie near the plane of y and z; turned: near that of z and x."""
    whole = tangle_geometry(_BUNDLES, extent_mm=_EXTENT_MM, seed=seed)
    bundles = []
    for bundle in whole.bundles:
        points = bundle.control_points * np.array([_SQUEEZED, 1.0, 1.0])
        points = np.roll(points, int(turned), axis=1)
        bundles.append(replace(bundle, control_points=points, radii=_THINNER * bundle.radii))
    drops = tuple(replace(drop, centre=np.roll(drop.centre, int(turned))) for drop in whole.regions)
    return replace(whole, bundles=tuple(bundles), regions=drops)


@dataclass(frozen=True)
class FlatExamples:
    """Boxes of flat tangles, none of them turned, with random protocols and noise, and exact responses."""

    seed: int
    side: int = SIDE

    def __getitem__(self, number: int) -> Example:
        """Return one example."""
        generator = np.random.default_rng([self.seed, number, 9])
        gradients = protocol_gradients(random_protocol(generator))
        snr = float(np.exp(generator.uniform(*np.log(SNR))))
        affine = np.diag([*np.full(3, generator.uniform(1.5, 2.5)), 1.0])
        affine[:3, 3] = generator.uniform(-4.0, 4.0, 3) - affine[0, 0] * (self.side - 1) / 2
        geometry = reaching(flat_tangle(int(generator.integers(1 << 40, 1 << 41))), affine, self.side)
        phantom = simulate(geometry, gradients, (self.side,) * 3, affine, Measurement(snr, 1, number, subsamples=3))
        return example_of(phantom, phantom.responses)


def _series(folder: Path, training: str, seed: int) -> Examples:
    examples = VoxelAxes(SimulatedExamples(seed, SIDE)) if training == ANY else FlatExamples(seed)
    return KeptExamples(examples, folder / f"{training}-{seed}")


def drawn(folder: Path, training: str, seed: int, count: int) -> DrawnExamples:
    """Return the series of tiles that a training on the first `count` boxes of a seed takes, without end."""
    return DrawnExamples(MixedExamples(((_series(folder, training, seed), count),)), seed, TILE)


def validated(folder: Path, training: str) -> list[Example]:
    """Return the tiles of a validation, the same for every seed."""
    series = MixedExamples(((_series(folder, training, _VALIDATION), VALIDATED),))
    return [DrawnExamples(series, _VALIDATION, TILE)[number] for number in range(VALIDATED)]


@dataclass(frozen=True, eq=False)
class UnseenScan:
    """A phantom that nothing was learned from, and its estimate, the same for all networks."""

    phantom: Phantom

    @cached_property
    def estimates(self) -> Float16[np.ndarray, "voxel scale unknown"]:
        """The coherent estimate at the vertices of the networks."""
        vertices = vertex_directions(8, hemisphere=True)
        return estimate_scan(normalise(self.phantom.scan), self.phantom.responses, vertices)


def unseen_scan(training: str, name: str, seed: int, phantom: str, snr: float) -> UnseenScan:
    """Return a scan to test on: after `ANY`, of the protocol `name`; after `FLAT`, one that is "flat" or "turned"."""
    if training == ANY:
        return UnseenScan(Problem(phantom, name, snr, FIRST_TEST + seed).make())
    geometry = flat_tangle(FIRST_TEST + seed, turned=name != FLAT)
    return UnseenScan(measured(geometry, protocol=CLINICAL, snr=snr, seed=FIRST_TEST + seed))
