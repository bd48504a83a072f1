"""A phantom's truth and signal by direct sums over points, from analytic bundles: slow, and nothing of the kernel."""

from dataclasses import dataclass

import numpy as np

from shd.simulation.tissues import CSF, GREY_MATTER, WHITE_MATTER
from shd.sphere.harmonics import even_harmonics

__all__ = ["Direct", "direct_sum"]


@dataclass(frozen=True, eq=False)
class Direct:
    """fractions, tangents: by bundle, in the order given. The rest as in `Phantom`."""

    signal: np.ndarray
    fractions: np.ndarray
    tangents: np.ndarray
    tissues: np.ndarray
    fods: np.ndarray


def direct_sum(bundles, balls, gradients, shape, affine, subsamples=4, fibres=None, outline=None) -> Direct:
    """Sample a grid point by point: bundles, then balls of CSF, then grey matter; nothing outside the outline."""
    fibres = fibres or [WHITE_MATTER] * len(bundles)
    voxels = np.indices(shape).reshape(3, -1).T
    steps = (np.arange(subsamples) + 0.5) / subsamples - 0.5
    count = len(voxels)
    signal, tissues = np.zeros((count, len(gradients.bvalues))), np.zeros((count, 3))
    fractions, tangents = np.zeros((count, len(bundles))), np.zeros((count, len(bundles), 3))
    fods = np.zeros((count, 91))
    share = 1.0 / subsamples**3
    for offset in np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3):
        points = (voxels + offset) @ affine[:3, :3].T + affine[:3, 3]
        held = np.ones(count, bool) if outline is None else outline.contains(points)
        inside = np.stack([bundle.contains(points) & held for bundle in bundles], axis=-1)
        for number, (bundle, fibre) in enumerate(zip(bundles, fibres, strict=True)):
            here = inside[:, number]
            along = bundle.tangents(points[here])
            weight = share / inside[here].sum(axis=1, keepdims=True)
            signal[here] += weight * fibre.signal(gradients.bvalues[None], along @ gradients.directions.T)
            fractions[here, number] += weight[:, 0]
            tangents[here, number] += weight * along
            fods[here] += weight * even_harmonics(along, 12)
        tissues[:, 0] += share * inside.any(axis=1)
        wet = np.zeros(count, bool)
        for ball in balls:
            wet |= ball.contains(points)
        wet &= held & ~inside.any(axis=1)
        dry = held & ~inside.any(axis=1) & ~wet
        tissues[:, 1] += share * dry
        tissues[:, 2] += share * wet
        signal[wet] += share * CSF.signal(gradients.bvalues)
        signal[dry] += share * GREY_MATTER.signal(gradients.bvalues)
    grid = (*shape, -1)
    return Direct(
        signal.reshape(grid), fractions.reshape(grid), tangents.reshape(*shape, len(bundles), 3),
        tissues.reshape(grid), fods.reshape(grid),
    )  # fmt: skip
