"""Simulated scans with their truth."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from shd.scans.scan import Scan
from shd.signal.gradients import Gradients
from shd.signal.noise import add_rician_noise
from shd.signal.response import Response
from shd.simulation.geometry import Ball, Bundle
from shd.simulation.tissues import B0_INTENSITY, CSF, GREY_MATTER, WHITE_MATTER, tissue_responses

__all__ = ["Phantom", "simulate"]

# Points per voxel along each axis: fractions at borders come in steps of 1/64.
SUBSAMPLES = 4


@dataclass(frozen=True, eq=False)
class Phantom:
    """A simulated scan and everything that is true of it.

    scan: with noise. noise_free: the same volumes without. directions: of each bundle, unit, scanner axes, zero where
    the bundle is absent. fractions: of the voxel's volume taken by each bundle. tissue_fractions: white matter, grey
    matter, CSF (sum 1). responses: exact, of the same three tissues.
    """

    scan: Scan
    noise_free: Float[np.ndarray, "x y z volume"]
    directions: Float[np.ndarray, "x y z fibre 3"]
    fractions: Float[np.ndarray, "x y z fibre"]
    tissue_fractions: Float[np.ndarray, "x y z tissue"]
    responses: tuple[Response, ...]


def simulate(
    bundles: tuple[Bundle, ...],
    csf: tuple[Ball, ...],
    gradients: Gradients,
    shape: tuple[int, int, int],
    affine: Float[np.ndarray, "4 4"],
    snr: float | None,
    seed: int,
    name: str,
) -> Phantom:
    """Return the phantom of a geometry: bundles before CSF before grey matter, which fills the rest.

    Every voxel is the mean over 4×4×4 points. A point inside several bundles is shared equally among them. Fibre
    directions of a voxel are the normalised mean of the tangents at its points; the signal is the mean of the signals,
    so curvature inside a voxel disperses the fibres as it would in tissue.

    shape: voxels along each axis. affine: voxel index → scanner RAS mm. snr: b=0 intensity over the Rician noise's σ;
    None is without noise. seed: of the noise.
    """
    noise_free, tangents, fractions, csf_fraction = _sample(bundles, csf, gradients, shape, affine)
    length = np.linalg.norm(tangents, axis=-1, keepdims=True)
    directions = np.divide(tangents, length, out=np.zeros_like(tangents), where=length > 0)
    white = fractions.sum(axis=-1)
    tissue_fractions = np.stack([white, 1.0 - white - csf_fraction, csf_fraction], axis=-1)
    data = noise_free
    if snr is not None:
        data = add_rician_noise(noise_free, B0_INTENSITY / snr, np.random.default_rng(seed))
    scan = Scan(data.astype(np.float32), affine, gradients, np.ones(shape, dtype=bool), name)
    responses = tissue_responses(np.array([shell.bvalue for shell in gradients.shells]))
    return Phantom(scan, noise_free, directions, fractions, tissue_fractions, responses)


def _sample(
    bundles: tuple[Bundle, ...],
    csf: tuple[Ball, ...],
    gradients: Gradients,
    shape: tuple[int, int, int],
    affine: Float[np.ndarray, "4 4"],
) -> tuple[
    Float[np.ndarray, "x y z volume"],
    Float[np.ndarray, "x y z fibre 3"],
    Float[np.ndarray, "x y z fibre"],
    Float[np.ndarray, "x y z"],
]:
    """Return signals, summed tangents, bundle fractions and CSF fraction, averaged over the points of each voxel."""
    voxels = np.indices(shape).reshape(3, -1).T
    steps = (np.arange(SUBSAMPLES) + 0.5) / SUBSAMPLES - 0.5
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    grey_signal, csf_signal = GREY_MATTER.signal(gradients.bvalues), CSF.signal(gradients.bvalues)
    signal = np.zeros((len(voxels), len(gradients.bvalues)))
    tangents = np.zeros((len(voxels), len(bundles), 3))
    fractions = np.zeros((len(voxels), len(bundles)))
    csf_fraction = np.zeros(len(voxels))
    for offset in offsets:
        points = (voxels + offset) @ affine[:3, :3].T + affine[:3, 3]
        inside = np.stack([bundle.contains(points) for bundle in bundles], axis=-1)
        share = inside / np.maximum(inside.sum(axis=-1, keepdims=True), 1) / len(offsets)
        for number, bundle in enumerate(bundles):
            here = inside[:, number]
            along = bundle.tangents(points[here])
            weight = share[here, number, None]
            tangents[here, number] += weight * along
            cosines = along @ gradients.directions.T
            signal[here] += weight * WHITE_MATTER.signal(gradients.bvalues[None], cosines)
        wet = np.zeros(len(points), dtype=bool)
        for ball in csf:
            wet |= ball.contains(points) & ~inside.any(axis=-1)
        dry = ~inside.any(axis=-1) & ~wet
        signal[wet] += csf_signal / len(offsets)
        signal[dry] += grey_signal / len(offsets)
        fractions += share
        csf_fraction += wet / len(offsets)
    count = len(bundles)
    return (
        signal.reshape(*shape, -1),
        tangents.reshape(*shape, count, 3),
        fractions.reshape(*shape, count),
        csf_fraction.reshape(shape),
    )
