"""What a network for many scans learns from: boxes of scans, simulated or real, each with its own protocol."""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float16, Float32

from shd.errors import SimulationError
from shd.scans.coherent_estimate import relative_noise
from shd.scans.normalisation import NormalisedScan, normalise
from shd.scans.tiles import random_tile, tile_rows
from shd.signal.response import Response
from shd.simulation.phantoms import Phantom
from shd.simulation.random_scans import random_scan

__all__ = [
    "DrawnExamples", "Example", "ExampleTarget", "ExampleTruth", "Examples", "MixedExamples", "SimulatedExamples",
    "example_of", "part_of",
]  # fmt: skip

_BOXES_TRIED = 5  # random scans whose box may hold too little white matter before that is an error


@dataclass(frozen=True, eq=False)
class ExampleTruth:
    """The right answer for the rows of a scan, as parts of the b=0 signal.

    fods: harmonics of degree 12 of the fibres' distribution (MRtrix3 basis, scanner axes; l=0 is the part that is white
    matter over √4π). tissues: parts of the tissues of the responses, white matter first.
    """

    fods: Float32[np.ndarray, "voxel coeff"]
    tissues: Float32[np.ndarray, "voxel tissue"]


@dataclass(frozen=True, eq=False)
class ExampleTarget:
    """What an answer has to explain where that is more than the network is shown: the same voxels, measured better.

    scan: has the rows of the example's. responses: at its shells. noise: deviation of S/S₀ a voxel.
    """

    scan: NormalisedScan
    responses: tuple[Response, ...]
    noise: Float32[np.ndarray, " voxel"]


@dataclass(frozen=True, eq=False)
class Example:
    """A box of a scan.

    responses: white matter first. noise: deviation of S/S₀ a voxel. truth: where it is known. estimates: of
    `shd.scans.coherent_estimate`, if they are made already. target: of the loss without truth; None is the scan itself.
    """

    scan: NormalisedScan
    responses: tuple[Response, ...]
    noise: Float32[np.ndarray, " voxel"]
    truth: ExampleTruth | None = None
    estimates: Float16[np.ndarray, "voxel scale unknown"] | None = None
    target: ExampleTarget | None = None


@runtime_checkable
class Examples(Protocol):
    """Examples by number: the same number is the same example, in every process."""

    def __getitem__(self, number: int) -> Example:
        """Return one example."""
        ...


@dataclass(frozen=True)
class SimulatedExamples:
    """Random scans (`shd.simulation.random_scans`). seed: of the whole series. side: voxels along each axis."""

    seed: int = 0
    side: int = 20

    def __getitem__(self, number: int) -> Example:
        """Return one example."""
        for attempt in range(_BOXES_TRIED):
            words = [self.seed, number, attempt] if attempt else [self.seed, number]
            seed = int(np.random.SeedSequence(words).generate_state(1)[0])
            try:
                phantom, responses = random_scan(seed, self.side)
            except SimulationError:
                if attempt + 1 == _BOXES_TRIED:
                    raise
                continue
            break
        return example_of(phantom, responses)


@dataclass(frozen=True)
class MixedExamples:
    """Several series as one: first so many of the first, then so many of the second, …"""

    series: tuple[tuple[Examples, int], ...]

    def __len__(self) -> int:
        return sum(count for _, count in self.series)

    def __getitem__(self, number: int) -> Example:
        """Return one example. Raises IndexError beyond the last."""
        for examples, count in self.series:
            if number < count:
                return examples[number]
            number -= count
        raise IndexError(f"example {number} after the last")


@dataclass(frozen=True)
class DrawnExamples:
    """Examples as training sees them: each once, in random order, then all again in another.

    seed: of the orders and boxes. tile: side of a random box of each example, another each time; None is the whole.
    """

    examples: MixedExamples
    seed: int = 0
    tile: int | None = None

    def __getitem__(self, draw: int) -> Example:
        """Return what comes at this place of the endless series."""
        turn, place = divmod(draw, len(self.examples))
        order = np.random.default_rng([self.seed, 1, turn]).permutation(len(self.examples))
        example = self.examples[int(order[place])]
        if self.tile is None:
            return example
        return part_of(example, self.tile, np.random.default_rng([self.seed, 2, draw]))


def part_of(example: Example, side: int, generator: np.random.Generator) -> Example:
    """Return a random box of an example, `side` voxels along each axis or as many as there are."""
    rows = example.scan.rows
    tile = random_tile(rows, example.scan.voxels, _box(rows.shape, side), generator)
    inner = tile_rows(rows, tile)
    chosen = inner[inner >= 0]
    numbered = np.full_like(inner, -1)
    numbered[inner >= 0] = np.arange(len(chosen))

    def cut(scan: NormalisedScan) -> NormalisedScan:
        affine = scan.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ np.array(tile.start)
        return NormalisedScan(scan.signal[chosen], scan.b0[chosen], numbered, scan.gradients, affine)

    truth, estimates, target = example.truth, example.estimates, example.target
    return replace(
        example,
        scan=cut(example.scan),
        noise=example.noise[chosen],
        truth=truth and ExampleTruth(truth.fods[chosen], truth.tissues[chosen]),
        estimates=None if estimates is None else estimates[chosen],
        target=target and replace(target, scan=cut(target.scan), noise=target.noise[chosen]),
    )


def _box(shape: tuple[int, ...], side: int) -> tuple[int, int, int]:
    x, y, z = (min(side, length) for length in shape)
    return x, y, z


def example_of(phantom: Phantom, responses: tuple[Response, ...]) -> Example:
    """Return a phantom with its truth. responses: that the network is given, white matter first."""
    scan = normalise(phantom.scan)
    return Example(scan, responses, relative_noise(scan), _truth(phantom, responses))


def _truth(phantom: Phantom, responses: tuple[Response, ...]) -> ExampleTruth:
    inside = phantom.scan.mask
    tissues = phantom.tissue_fractions[inside]
    total = tissues.sum(axis=1, keepdims=True)  # half at least: of the b=0 signal, which all tissues have alike
    places = [("wm", "gm", "csf").index(response.tissue) for response in responses]
    return ExampleTruth(
        (phantom.fods[inside] / total).astype(np.float32), (tissues / total)[:, places].astype(np.float32)
    )
