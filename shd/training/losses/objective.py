"""The whole loss of one forward pass: each intermediate is made once, each term with weight zero is left out."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from shd.models.deconvolver import TissueFractions
from shd.signal.forward_model import ForwardModel
from shd.sphere.harmonics import even_harmonics
from shd.training.losses.negativity import negativity
from shd.training.losses.reconstruction import reconstruction
from shd.training.losses.sparsity import cauchy_sparsity
from shd.training.losses.variation import total_variation

__all__ = ["LossWeights", "Objective"]


@dataclass(frozen=True)
class LossWeights:
    """Weights of the regularisers beside the reconstruction, which counts in units of the noise variance.

    So one set of weights serves scans of any noise: the data term is one where the model fits to the noise. The
    published weights (0.1, 5e-5) belong to a noise variance of 0.0025, a signal-to-noise ratio of 20 at b=0.
    """

    negativity: float = 40.0
    sparsity: float = 0.005
    variation: float = 1.2


class Objective:
    """Loss of tissue fractions against the measured signal, on the voxels chosen.

    forward: forward model of the scan. vertices: unit vectors of the network's finest sphere. weighted: indices of the
    diffusion-weighted volumes, the only ones predicted (the b=0 volumes are met exactly by the normalisation). degree:
    of the regularised fODF. noise_variance: of S/S₀, in whose units the reconstruction counts.
    """

    def __init__(
        self,
        forward: ForwardModel,
        vertices: Float[np.ndarray, "vertex 3"],
        weighted: Tensor,
        weights: LossWeights,
        degree: int = 8,
        noise_variance: float = 1.0,
    ) -> None:
        self.predict, self.weighted, self.weights = forward.at(weighted), weighted, weights
        self.noise_variance = noise_variance
        device = forward.wm.device
        basis = torch.from_numpy(even_harmonics(vertices, degree).astype(np.float32)).to(device)
        self.evaluate = basis
        self.project = basis.T.contiguous() / len(vertices)

    def terms(
        self,
        fractions: TissueFractions,
        signal: Float[Tensor, "voxel volume"],
        mask: Float[Tensor, "batch x y z"],
        scored: Bool[Tensor, " voxel"],
    ) -> dict[str, Tensor]:
        """Return the loss and its terms.

        signal: S/S₀ of the masked voxels, in the order of `mask`. scored: which of those voxels count (held-out ones
        are left out of the reconstruction and the sphere terms when training, and are the only ones when validating).
        """
        chosen = mask.flatten().nonzero().squeeze(1)[scored]
        field = fractions.wm.flatten(1)
        wm = field.index_select(1, chosen)
        isotropic = fractions.isotropic.flatten(0, 3).index_select(0, chosen)
        measured = signal[scored].index_select(1, self.weighted).T
        terms = {"data": reconstruction(self.predict(wm, isotropic), measured) / self.noise_variance}
        loss = terms["data"]
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
