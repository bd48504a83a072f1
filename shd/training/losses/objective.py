"""The whole loss of one forward pass: each intermediate is made once, each term with weight zero is left out."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from shd.models.deconvolver import TissueFractions
from shd.scans.coherent_estimate import Coherence, direction_spread
from shd.signal.forward_model import ForwardModel
from shd.signal.noise import rician_bias
from shd.sphere.harmonics import even_harmonics
from shd.training.losses.negativity import negativity
from shd.training.losses.reconstruction import reconstruction
from shd.training.losses.sparsity import cauchy_sparsity
from shd.training.losses.support import beside, structured_sparsity, unlikeness
from shd.training.losses.variation import total_variation

__all__ = ["LossWeights", "Objective"]


@dataclass(frozen=True)
class LossWeights:
    """Weights of the regularisers beside the data term, which is one where the model fits to the noise.

    support, likeness: structured sparsity and continuity, in units of the noise's pull (`Coherence.sparsity` and
    `Coherence.continuity`). negativity, sparsity, variation: of the published terms (Elaldi et al. 2024), whose 0.1,
    5e-5 and 0.5 belong to a noise variance of 0.0025.
    """

    support: float = 16.0
    likeness: float = 2.0
    negativity: float = 0.0
    sparsity: float = 0.0
    variation: float = 0.0


class Objective:
    """Loss of tissue fractions against the measured signal, on the voxels chosen.

    All volumes are data, but b=0 where white matter is alone: one response cannot explain the b=0 signal of grey matter
    or fluid, and the voxel's estimate leaves it out as well.

    forward: forward model of the scan. vertices: unit vectors of the network's finest sphere. weighted: indices of the
    diffusion-weighted volumes, whose noise floor is accounted for. degree: of the regularised fODF. pull: of noise of
    deviation 1 on a direction (`noise_pull`). coherence: the shape of the structured sparsity. volumes: that are data,
    all but the exception above if None.
    """

    def __init__(
        self,
        forward: ForwardModel,
        vertices: Float[np.ndarray, "vertex 3"],
        weighted: Tensor,
        weights: LossWeights,
        degree: int = 8,
        pull: float = 0.0,
        coherence: Coherence = Coherence(),  # frozen
        volumes: Int[Tensor, " counted"] | None = None,
    ) -> None:
        self.weights, self.pull, self.coherence = weights, pull, coherence
        device = forward.wm.device
        floor = torch.zeros(len(forward.wm), 1, device=device)
        floor[weighted] = float(coherence.noise_floor)
        every = torch.arange(len(floor), device=device) if forward.isotropic.shape[1] else weighted
        self.volumes = every if volumes is None else volumes
        self.predict, self.floor = forward.at(self.volumes), floor[self.volumes]
        self.root = len(vertices) ** 0.5
        basis = torch.from_numpy(even_harmonics(vertices, degree).astype(np.float32)).to(device)
        self.evaluate = basis
        self.project = basis.T.contiguous() / len(vertices)
        spread = direction_spread(vertices, coherence.spread_degrees)
        self.spread = torch.from_numpy(spread.astype(np.float32)).to(device)

    def terms(
        self,
        fractions: TissueFractions,
        signal: Float[Tensor, "voxel volume"],
        mask: Float[Tensor, "batch x y z"],
        scored: Bool[Tensor, " voxel"],
        noise: Float[Tensor, " voxel"],
    ) -> dict[str, Tensor]:
        """Return the loss and its terms.

        signal: S/S₀ of the masked voxels, in the order of `mask`. scored: which of those voxels count (held-out ones
        are left out of the data and the sphere terms when training, and are the only ones when validating). noise: the
        deviation of S/S₀ in those voxels.
        """
        chosen = mask.flatten().nonzero().squeeze(1)[scored]
        field = fractions.wm.flatten(1)
        wm = field.index_select(1, chosen)
        isotropic = fractions.isotropic.flatten(0, 3).index_select(0, chosen)
        noise = noise[scored]
        predicted, measured = self.predict(wm, isotropic), signal[scored][:, self.volumes].T
        with torch.no_grad():  # what magnitude noise adds to the mean is taken off the measured signal
            measured = measured - self.floor * rician_bias(predicted.clamp(min=0), noise)
        terms = {"data": reconstruction(predicted / noise, measured / noise)}
        loss = terms["data"] + self._neighbours(fractions.wm, mask, chosen, noise, terms)
        if self.weights.sparsity:
            terms["sparsity"] = cauchy_sparsity(wm / (4 * np.pi))
            loss = loss + self.weights.sparsity * terms["sparsity"]
        if self.weights.negativity or self.weights.variation:
            coefficients = self.project @ field
        if self.weights.negativity:
            terms["negativity"] = negativity(self.evaluate @ coefficients.index_select(1, chosen))
            loss = loss + self.weights.negativity * terms["negativity"]
        if self.weights.variation:
            terms["variation"] = total_variation(coefficients.unflatten(1, mask.shape), mask)
            loss = loss + self.weights.variation * terms["variation"]
        return {"loss": loss, **terms}

    def _neighbours(
        self, field: Tensor, mask: Tensor, chosen: Tensor, noise: Float[Tensor, " voxel"], terms: dict[str, Tensor]
    ) -> Tensor | float:
        """Return the terms of the coherent estimate, in units of the data term, and add them to `terms`."""
        if not (self.weights.support or self.weights.likeness):
            return 0.0
        around = beside(field, mask).flatten(1).index_select(1, chosen) / self.root
        state = field.flatten(1).index_select(1, chosen) / self.root
        # ½‖Am − s‖² is σ²/2 times the data term (but for the b=0 volumes), and both weights are multiples of pull·σ
        per_noise = 2 * self.pull / noise
        total: Tensor | float = 0.0
        if self.weights.support:
            shape = structured_sparsity(state * per_noise, around, self.spread, self.coherence.support)
            terms["support"] = shape
            total = total + self.weights.support * shape
        if self.weights.likeness:
            root = per_noise.sqrt()
            terms["likeness"] = unlikeness(state * root, around * root)
            total = total + self.weights.likeness * terms["likeness"]
        return total
