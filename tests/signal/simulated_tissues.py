"""A block of voxels with known tissues: stick-and-zeppelin fibres in random directions, grey matter and CSF."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from shd.signal.gradients import Gradients, gradient_table
from shd.simulation.tissues import CSF, GREY_MATTER, WHITE_MATTER
from shd.sphere.directions import half_sphere, normalised

SHAPE = (10, 10, 6)
FIBRES, CROSSINGS, GREY = 220, 100, 160  # the other 120 voxels are CSF


class TissueBlock(NamedTuple):
    signal: Float[np.ndarray, "voxel volume"]
    gradients: Gradients
    mask: Bool[np.ndarray, "x y z"]


def shells_gradients(shells: dict[float, int], b0_count: int = 4) -> Gradients:
    bvalues = [np.zeros(b0_count), *(np.full(count, bvalue) for bvalue, count in shells.items())]
    # Each shell's spiral is turned by another permutation of the axes, so that no axis is measured twice.
    directions = [np.roll(half_sphere(count), index, axis=1) for index, count in enumerate(shells.values())]
    return gradient_table(np.concatenate(bvalues), np.concatenate([np.zeros((b0_count, 3)), *directions]))


def tissue_block(gradients: Gradients, snr: float, seed: int = 0) -> TissueBlock:
    """Return single fibres first, then 90° crossings, grey matter and CSF with partial volume of grey matter."""
    generator = np.random.default_rng(seed)
    total = int(np.prod(SHAPE))
    first = normalised(generator.standard_normal((FIBRES + CROSSINGS, 3)))
    second = normalised(np.cross(first, generator.standard_normal(first.shape)))

    def fibre(axes: np.ndarray) -> np.ndarray:
        return WHITE_MATTER.signal(gradients.bvalues[None], axes @ gradients.directions.T)

    single, crossing = fibre(first[:FIBRES]), (fibre(first[FIBRES:]) + fibre(second[FIBRES:])) / 2
    grey, water = GREY_MATTER.signal(gradients.bvalues), CSF.signal(gradients.bvalues)
    fluid = np.minimum(np.linspace(0.4, 1.3, total - FIBRES - CROSSINGS - GREY), 1.0)[:, None]
    clean = np.concatenate([single, crossing, np.tile(grey, (GREY, 1)), fluid * water + (1 - fluid) * grey])
    noise = generator.standard_normal((2, *clean.shape)) * 1000 / snr
    measured = np.hypot(clean + noise[0], noise[1]).astype(np.float32)
    return TissueBlock(measured, gradients, np.ones(SHAPE, dtype=bool))
