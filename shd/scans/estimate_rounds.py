"""A round of the coherent estimate: what neighbours ask for, the noise floor, and some iterations of every voxel.

In two ways that agree: torch's operations, on any device, which say what is computed; and the compiled engine's
kernels, which keep a few voxels in the processor's cache from the first step to the last. All voxels of a round see
their neighbours as they were before it, so the order of voxels, blocks and threads does not count.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from shd.engines.compiled.estimate import IterationArguments, RoundArguments, estimate_alone, estimate_round
from shd.scans.first_estimate import STEPS, FirstEstimator
from shd.scans.neighbourhood import Neighbourhood
from shd.signal.noise import rician_bias, rician_bias_polynomial

__all__ = ["CompiledRounds", "RoundModel", "TorchRounds"]

States = Float[Tensor, "voxel unknown"]


@dataclass(frozen=True, eq=False)
class RoundModel:
    """What all rounds of one scan share.

    alone, together: the iteration of a voxel on its own, and of one that is pulled. columns: (unknown, volume),
    prediction of S/S₀ from a state. floor: 1 for volumes with a noise floor, else 0. spread: over neighbouring
    directions. noise: deviation of S/S₀ in each voxel. continuity, sparsity: λ_c and λ_s. support: ε. steps: of the
    iteration in a round.
    """

    alone: FirstEstimator
    together: FirstEstimator
    columns: Float[Tensor, "unknown volume"]
    floor: Float[Tensor, " volume"]
    spread: Float[Tensor, "vertex vertex"]
    neighbours: Neighbourhood
    noise: Float[Tensor, " voxel"]
    continuity: float
    sparsity: float
    support: float
    steps: int


class TorchRounds:
    """The definition. block: voxels at a time, as many as the processor's cache likes; many on a GPU."""

    def __init__(self, model: RoundModel) -> None:
        self.model = model
        self.block = 2048 if model.spread.device.type == "cpu" else 65536

    def begin(self, signal: Float[Tensor, "chosen volume"], state: States, rows: slice) -> None:
        """Write the states of some voxels, each alone; signal: S/S₀ of these."""
        state[rows] = self.model.alone.begin(signal)

    def agree(self, signal: Float[Tensor, "chosen volume"], before: States, state: States, rows: slice) -> None:
        """Write the states of some voxels after one round; before: all states when it began."""
        model, noise = self.model, self.model.noise[rows, None]
        around = model.neighbours(before, rows)
        wm = slice(len(model.spread))
        pull = model.continuity * around
        pull[:, wm] -= model.sparsity * model.support * noise / (around[:, wm] @ model.spread + model.support)
        predicted = (before[rows].clamp(min=0) @ model.columns).clamp_(min=0)
        above = signal - model.floor * rician_bias(predicted, noise)
        part = state[rows].copy_(before[rows])
        model.together.iterate(part, above @ model.together.start, pull, model.steps)


class CompiledRounds:
    """The same by compiled kernels, equal to rounding."""

    block = 1 << 14

    def __init__(self, model: RoundModel) -> None:
        self.noise = model.noise
        self.alone, self.together = _arguments(model.alone, STEPS), _arguments(model.together, model.steps)
        self.around = RoundArguments(
            spread=model.spread,
            seen=model.together.lift @ model.columns,
            floor=model.floor,
            bias=torch.tensor(rician_bias_polynomial().tolist(), dtype=torch.float32),
            beside=model.neighbours.rows.contiguous(),
            support=model.support,
            sparsity=model.sparsity * model.support / model.together.kappa,
            continuity=model.continuity / model.together.kappa,
        )

    def begin(self, signal: Float[Tensor, "chosen volume"], state: States, rows: slice) -> None:
        """Write the states of some voxels, each alone; signal: S/S₀ of these."""
        estimate_alone(self.alone, signal, state, rows)

    def agree(self, signal: Float[Tensor, "chosen volume"], before: States, state: States, rows: slice) -> None:
        """Write the states of some voxels after one round; before: all states when it began."""
        estimate_round(self.together, self.around, signal, self.noise, before, state, rows)


def _arguments(estimator: FirstEstimator, steps: int) -> IterationArguments:
    return IterationArguments(estimator.start, estimator.shrink, estimator.lift, estimator.kept, steps)
