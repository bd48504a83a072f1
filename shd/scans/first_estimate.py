"""A first estimate of each voxel's tissues, alone and with its neighbours, by non-negative least squares.

It is what the network refines. It minimises ‖Am − s‖² + ρ‖m‖² over m ≥ 0, with the columns of A the signals of fibres
at the vertices and of the isotropic tissues (the problem of Jeurissen et al. 2014, with vertices in place of
harmonics). ADMM (Boyd et al. 2011, section 5.2) needs one fixed matrix for all voxels, so a block of voxels is a few
matrix products on any device.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float16
from torch import Tensor

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


@dataclass(frozen=True, eq=False)
class FirstEstimator:
    """Fixed matrices of the iteration; call it with signals.

    gather: Aᵀ, weighted. inverse: (AᵀA + ρ + penalty)⁻¹. scale: of each unknown's column. The unknowns are the
    vertices, then the isotropic tissues.
    """

    gather: Float[Tensor, "unknown volume"]
    inverse: Float[Tensor, "unknown unknown"]
    scale: Float[Tensor, " unknown"]

    def __call__(self, signal: Float[Tensor, "voxel volume"]) -> Float[Tensor, "unknown voxel"]:
        """Return fractions (white matter a vertex, its mean its part; then the other tissues) of signals S/S₀."""
        target = self.inverse @ (self.gather @ signal.T)
        pull = self.inverse * _PENALTY
        positive = target.clamp(min=0)
        dual = target - positive
        for _ in range(_ITERATIONS):
            free = torch.addmm(target, pull, positive - dual)
            dual = dual + free
            positive = dual.clamp(min=0)
            dual = dual - positive
        return positive * self.scale[:, None]


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
    gather = columns.T * weight
    gram = gather @ columns + (_RIDGE + _PENALTY) * torch.eye(len(scale), dtype=torch.float64)
    parts = (gather, torch.linalg.inv(gram), scale)
    return FirstEstimator(*(part.to(device, torch.float32) for part in parts))


def estimate_scan(
    scan: NormalisedScan,
    responses: tuple[Response, ...],
    vertices: Float[np.ndarray, "vertex 3"],
    device: torch.device | str = "cpu",
    block: int = 4096,
    on_block: Callable[[int], None] = lambda voxels: None,
) -> Float16[np.ndarray, "voxel scale unknown"]:
    """Return the first estimates of every voxel of a scan at both scales, in half precision, `block` voxels at a time.

    on_block: told how many voxels each block finished.
    """
    estimator = first_estimator(responses, scan.gradients, vertices, device)
    out = np.empty((len(scan.signal), SCALES, len(vertices) + len(responses) - 1), dtype=np.float16)
    for start in range(0, len(scan.signal), block):
        rows = np.arange(start, min(start + block, len(scan.signal)))
        for scale, signal in enumerate((scan.signal[rows], neighbourhood_mean(scan, rows))):
            estimates = estimator(torch.from_numpy(signal).to(device))
            out[rows, scale] = estimates.T.half().cpu().numpy()
        on_block(len(rows))
    return out
