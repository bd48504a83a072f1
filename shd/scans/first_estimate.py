"""A first estimate of each voxel's tissues, on its own, by non-negative least squares.

It is what `coherent_estimate` begins with. It minimises ‖Am − s‖² + ρ‖m‖² over m ≥ 0, with the columns of A the signals
of fibres at the vertices and of the isotropic tissues (the problem of Jeurissen et al. 2014, with vertices in place of
harmonics). ADMM (Boyd et al. 2011, section 5.2) needs one matrix for all voxels: (AᵀA + κ)⁻¹, κ = ρ + penalty.

A response has few harmonics, so AᵀA = Q diag(s) Qᵀ has a low rank and the matrix is (1 − Q diag(s/(s + κ)) Qᵀ)/κ: an
iteration is two thin products for a block of voxels, on any device. In single precision it errs by 1e-6 of the largest
value; with the whole inverse, whose products cancel, that was 1e-3.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import leaky_relu

from shd.signal.forward_model import forward_model
from shd.signal.gradients import Gradients
from shd.signal.response import Response

__all__ = ["PENALTY", "RIDGE", "STEPS", "Design", "FirstEstimator", "design", "first_estimator"]

# Measured on crossings at SNR 20 (docs/method.md): the estimate separates 45° as well as after 200 iterations.
STEPS = 30
RIDGE = 1e-5
PENALTY = 5e-4

_LEAST_EIGENVALUE = 1e-14  # of the largest: A is known to single precision, so what is smaller is rounding
_ROUND_RANK = 16  # products of a multiple of the vector registers' width are up to twice as fast


@dataclass(frozen=True, eq=False)
class FirstEstimator:
    """Fixed matrices of the iteration; call it with signals.

    With AᵀA = Q diag(s) Qᵀ: start: A Q/(s + κ), A weighted. shrink: −β Q s/(s + κ), β = penalty/κ. lift: Qᵀ. scale: of
    each unknown's column. kappa, kept: κ and β. The unknowns are the vertices, then the isotropic tissues.
    """

    start: Float[Tensor, "volume rank"]
    shrink: Float[Tensor, "unknown rank"]
    lift: Float[Tensor, "rank unknown"]
    scale: Float[Tensor, " unknown"]
    kappa: float
    kept: float

    def __call__(self, signal: Float[Tensor, "voxel volume"]) -> Float[Tensor, "voxel unknown"]:
        """Return fractions (white matter a vertex, its mean its part; then the other tissues) of signals S/S₀."""
        return self.fractions(self.begin(signal))

    def begin(self, signal: Float[Tensor, "voxel volume"]) -> Float[Tensor, "voxel unknown"]:
        """Return the iteration's state for signals S/S₀ after its first steps, from nothing."""
        target = signal @ self.start
        return self.iterate(target @ self.lift, target, None, STEPS)

    def iterate(
        self,
        state: Float[Tensor, "voxel unknown"],
        target: Float[Tensor, "voxel rank"],
        pull: Float[Tensor, "voxel unknown"] | None,
        steps: int,
    ) -> Float[Tensor, "voxel unknown"]:
        """Take `steps` steps of the iteration, writing over `state`, and return it.

        ADMM's two variables are the positive and the negative part of one, `state`, and its step is
        state ← min(state, 0) + (AᵀA + κ)⁻¹(Aᵀs + pull + penalty·|state|).

        target: S/S₀ times `start`. pull: −½ the gradient of what is minimised beside the misfit and the ridge.
        """
        size = torch.empty_like(state)
        if pull is not None:
            pull = pull / self.kappa
            target = target + pull @ (self.shrink / self.kept)
        folded = torch.empty_like(target)
        for _ in range(steps):
            torch.abs(state, out=size)
            torch.addmm(target, size, self.shrink, out=folded)
            leaky_relu(state, (1 - self.kept) / self.kept, inplace=True)  # times β: min(state, 0) + β·|state|
            state.addmm_(folded, self.lift, beta=self.kept)
            if pull is not None:
                state.add_(pull)
        return state

    def fractions(self, state: Float[Tensor, "voxel unknown"]) -> Float[Tensor, "voxel unknown"]:
        """Return what a state stands for."""
        return state.clamp(min=0).mul_(self.scale)


@dataclass(frozen=True, eq=False)
class Design:
    """The linear model of a voxel: columns @ state predicts S/S₀.

    columns: signals of the unknowns, each times its `scale`. weight: of each volume in the misfit. volumes: the
    diffusion-weighted ones.
    """

    columns: Float[Tensor, "volume unknown"]
    weight: Float[Tensor, " volume"]
    scale: Float[Tensor, " unknown"]
    volumes: Int[Tensor, " weighted"]


def design(responses: tuple[Response, ...], gradients: Gradients, vertices: Float[np.ndarray, "vertex 3"]) -> Design:
    """Return the model of a scan's gradients (scanner axes) and responses, white matter first, in double precision.

    With several tissues each b=0 volume, to which their parts add up, counts as much as a weighted one (Jeurissen et
    al. 2014). To hold the sum to the measured b=0 signal predicts held-out directions of real scans 5 % worse: tissues
    differ in more than their responses say.
    """
    model = forward_model(responses, gradients, vertices)
    scale = torch.ones(len(vertices) + len(responses) - 1, dtype=torch.float64)
    scale[: len(vertices)] = len(vertices) ** 0.5  # one vertex holds 1/V of the white matter
    columns = torch.cat([model.wm, model.isotropic], dim=1) * scale
    weight = torch.zeros(len(gradients.bvalues), dtype=torch.float64)
    weighted = torch.from_numpy(np.concatenate([shell.volumes for shell in gradients.weighted_shells]))
    weight[weighted] = 1 / len(weighted)
    if len(responses) > 1:
        weight[torch.from_numpy(gradients.b0_volumes)] = 1 / len(weighted)
    return Design(columns, weight, scale, weighted)


def first_estimator(
    responses: tuple[Response, ...],
    gradients: Gradients,
    vertices: Float[np.ndarray, "vertex 3"],
    device: torch.device | str = "cpu",
    ridge: float = RIDGE,
) -> FirstEstimator:
    """Return the estimator for a scan; arguments as those of `design`. ridge: ρ."""
    model = design(responses, gradients, vertices)
    gather = model.weight[:, None] * model.columns
    values, vectors = torch.linalg.eigh(model.columns.T @ gather)
    rank = int((values > _LEAST_EIGENVALUE * values[-1]).sum())
    rank = min(-(-rank // _ROUND_RANK) * _ROUND_RANK, len(values))
    values, vectors = values[-rank:].clamp(min=0), vectors[:, -rank:]
    kappa = ridge + PENALTY
    kept = PENALTY / kappa  # of what lies outside the range of AᵀA, in one step
    spread = vectors / (values + kappa)
    parts = (gather @ spread, -kept * values * spread, vectors.T, model.scale)
    start, shrink, lift, scale = (part.to(device, torch.float32).contiguous() for part in parts)
    return FirstEstimator(start, shrink, lift, scale, kappa, kept)
