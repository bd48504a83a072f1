"""A first estimate of each voxel's tissues, alone and with its neighbours, by non-negative least squares.

It is what the network refines. It minimises ‖Am − s‖² + ρ‖m‖² over m ≥ 0, with the columns of A the signals of fibres
at the vertices and of the isotropic tissues (the problem of Jeurissen et al. 2014, with vertices in place of
harmonics). ADMM (Boyd et al. 2011, section 5.2) needs one matrix for all voxels: (AᵀA + κ)⁻¹, κ = ρ + penalty.

A response has few harmonics, so AᵀA = Q diag(s) Qᵀ has a low rank and the matrix is (1 − Q diag(s/(s + κ)) Qᵀ)/κ: an
iteration is two thin products for a block of voxels, on any device. In single precision it errs by 1e-6 of the largest
value; with the whole inverse, whose products cancel, that was 1e-3.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float16
from torch import Tensor
from torch.nn.functional import leaky_relu

from shd.scans.neighbourhood import neighbourhood_mean
from shd.scans.normalisation import NormalisedScan
from shd.signal.forward_model import forward_model
from shd.signal.gradients import Gradients
from shd.signal.response import Response

__all__ = ["SCALES", "FirstEstimator", "estimate_scan", "first_estimator"]

SCALES = 2
"""The voxel's own signal, and the weighted mean over its 3×3×3 neighbours."""

# Measured on crossings at SNR 20 (docs/method.md): the estimate separates 45° as well as after 200 iterations.
_ITERATIONS = 30
_RIDGE = 1e-5
_PENALTY = 5e-4
_KEPT = _PENALTY / (_RIDGE + _PENALTY)  # of what lies outside the range of AᵀA, in one step

_LEAST_EIGENVALUE = 1e-14  # of the largest: A is known to single precision, so what is smaller is rounding
_ROUND_RANK = 16  # products of a multiple of the vector registers' width are up to twice as fast


@dataclass(frozen=True, eq=False)
class FirstEstimator:
    """Fixed matrices of the iteration; call it with signals.

    With AᵀA = Q diag(s) Qᵀ: start: A Q/(s + κ), A weighted. shrink: −β Q s/(s + κ), β = penalty/κ. lift: Qᵀ. scale: of
    each unknown's column. The unknowns are the vertices, then the isotropic tissues.
    """

    start: Float[Tensor, "volume rank"]
    shrink: Float[Tensor, "unknown rank"]
    lift: Float[Tensor, "rank unknown"]
    scale: Float[Tensor, " unknown"]

    def __call__(self, signal: Float[Tensor, "voxel volume"]) -> Float[Tensor, "voxel unknown"]:
        """Return fractions (white matter a vertex, its mean its part; then the other tissues) of signals S/S₀.

        ADMM's two variables are the positive and the negative part of one, `state`, and its step is
        state ← min(state, 0) + (AᵀA + κ)⁻¹(Aᵀs + penalty·|state|).
        """
        target = signal @ self.start
        state = target @ self.lift
        size, folded = torch.empty_like(state), torch.empty_like(target)
        for _ in range(_ITERATIONS):
            torch.abs(state, out=size)
            torch.addmm(target, size, self.shrink, out=folded)
            leaky_relu(state, (1 - _KEPT) / _KEPT, inplace=True)  # times β: min(state, 0) + β·|state|
            state.addmm_(folded, self.lift, beta=_KEPT)
        return state.clamp_(min=0).mul_(self.scale)


def first_estimator(
    responses: tuple[Response, ...],
    gradients: Gradients,
    vertices: Float[np.ndarray, "vertex 3"],
    device: torch.device | str = "cpu",
) -> FirstEstimator:
    """Return the estimator for a scan's gradients (scanner axes) and responses, white matter first.

    With several tissues the b=0 signal, to which their parts must add up, counts as much as all weighted volumes.
    """
    model = forward_model(responses, gradients, vertices)
    scale = torch.ones(len(vertices) + len(responses) - 1, dtype=torch.float64)
    scale[: len(vertices)] = len(vertices) ** 0.5  # one vertex holds 1/V of the white matter
    columns = torch.cat([model.wm, model.isotropic], dim=1) * scale
    weight = torch.zeros(len(gradients.bvalues), dtype=torch.float64)
    weighted = torch.from_numpy(np.concatenate([shell.volumes for shell in gradients.weighted_shells]))
    weight[weighted] = 1 / len(weighted)
    if len(responses) > 1:
        weight[torch.from_numpy(gradients.b0_volumes)] = 1 / len(gradients.b0_volumes)
    gather = weight[:, None] * columns
    values, vectors = torch.linalg.eigh(columns.T @ gather)
    rank = int((values > _LEAST_EIGENVALUE * values[-1]).sum())
    rank = min(-(-rank // _ROUND_RANK) * _ROUND_RANK, len(values))
    values, vectors = values[-rank:].clamp(min=0), vectors[:, -rank:]
    spread = vectors / (values + _RIDGE + _PENALTY)
    parts = (gather @ spread, -_KEPT * values * spread, vectors.T, scale)
    return FirstEstimator(*(part.to(device, torch.float32).contiguous() for part in parts))


def estimate_scan(
    scan: NormalisedScan,
    responses: tuple[Response, ...],
    vertices: Float[np.ndarray, "vertex 3"],
    device: torch.device | str = "cpu",
    block: int = 2048,
    on_block: Callable[[int], None] = lambda voxels: None,
) -> Float16[np.ndarray, "voxel scale unknown"]:
    """Return the first estimates of every voxel of a scan at both scales, in half precision, `block` voxels at a time.

    on_block: told how many voxels each block finished.
    """
    estimator = first_estimator(responses, scan.gradients, vertices, device)
    out = np.empty((len(scan.signal), SCALES, len(vertices) + len(responses) - 1), dtype=np.float16)
    for start in range(0, len(scan.signal), block):
        rows = np.arange(start, min(start + block, len(scan.signal)))
        filled = torch.from_numpy(out[start : start + block])
        for scale, signal in enumerate((scan.signal[rows], neighbourhood_mean(scan, rows))):
            filled[:, scale] = estimator(torch.from_numpy(signal).to(device))
        on_block(len(rows))
    return out
