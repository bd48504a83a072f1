"""What a network for many scans learns from: boxes of scans, simulated or real, each with its own protocol."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float16, Float32

from shd.scans.coherent_estimate import relative_noise
from shd.scans.normalisation import NormalisedScan, normalise
from shd.signal.response import Response
from shd.simulation.phantoms import Phantom
from shd.simulation.random_scans import random_scan

__all__ = ["Example", "ExampleTruth", "Examples", "SimulatedExamples"]


@dataclass(frozen=True, eq=False)
class ExampleTruth:
    """The right answer for the rows of a scan, as parts of the b=0 signal.

    fods: harmonics of degree 12 of the fibres' distribution (MRtrix3 basis, scanner axes; l=0 is the part that is white
    matter over √4π). tissues: parts of the tissues of the responses, white matter first.
    """

    fods: Float32[np.ndarray, "voxel coeff"]
    tissues: Float32[np.ndarray, "voxel tissue"]


@dataclass(frozen=True, eq=False)
class Example:
    """A box of a scan.

    responses: white matter first. noise: deviation of S/S₀ a voxel. truth: where it is known. estimates: of
    `shd.scans.coherent_estimate`, if they are made already.
    """

    scan: NormalisedScan
    responses: tuple[Response, ...]
    noise: Float32[np.ndarray, " voxel"]
    truth: ExampleTruth | None = None
    estimates: Float16[np.ndarray, "voxel scale unknown"] | None = None


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
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        phantom, responses = random_scan(seed, self.side)
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
