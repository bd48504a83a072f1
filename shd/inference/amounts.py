"""How much of each tissue, once the shape of the fODF is known: what explains the measured signal.

A network learns shapes from simulated scans, and amounts less well: of tissues that it rarely met together, or where a
response is unusual. Given the shape, amounts are few numbers, and the forward model knows them. With â what the network
says, p_t the signal of a unit of each tissue (of white matter, of its shape) and σ the noise, they are

    argmin_a  ‖s − Σ_t a_t p_t‖²/σ²  +  ‖a − â‖²/τ² ,  a ≥ 0 :

the network's where the gradients cannot tell tissues apart, the signal's where they can.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from shd.scans.first_estimate import Design
from shd.signal.noise import rician_bias

__all__ = ["Amounts", "amounts_by_signal"]

_TRUST = 0.15  # τ: how far the networks' amounts are off in validation, as parts of the b=0 signal
_LEAST = 1e-3  # amount of white matter below which it has no shape


@dataclass(frozen=True, eq=False)
class Amounts:
    """Fixed matrices of a scan. columns: (volume, unknown) prediction of S/S₀. data: 1 for volumes that count.

    floor: 1 for those whose noise floor counts.
    """

    columns: Float[Tensor, "volume unknown"]
    data: Float[Tensor, " volume"]
    floor: Float[Tensor, " volume"]

    def __call__(
        self,
        wm: Float[Tensor, "vertex voxel"],
        isotropic: Float[Tensor, "voxel tissue"],
        signal: Float[Tensor, "voxel volume"],
        noise: Float[Tensor, " voxel"],
    ) -> tuple[Float[Tensor, "vertex voxel"], Float[Tensor, "voxel tissue"]]:
        """Return both, with the amounts that explain S/S₀; noise: deviation of S/S₀ in each voxel."""
        vertices = len(wm)
        amount = wm.mean(0)
        fibres = (self.columns[:, :vertices] @ wm).T
        shape = fibres / amount.clamp(min=_LEAST)[:, None]
        others = self.columns[:, vertices:].T.expand(len(shape), -1, -1)
        units = torch.cat([shape[:, None], others], dim=1) * self.data
        said = torch.cat([amount[:, None], isotropic], dim=1)
        predicted = torch.einsum("nt,ntv->nv", said, units)
        measured = (signal - self.floor * rician_bias(predicted.clamp(min=0), noise[:, None])) * self.data
        precision = (noise / _TRUST).square()[:, None]
        normal = units @ units.transpose(1, 2) + torch.diag_embed(precision.expand_as(said))
        target = torch.einsum("ntv,nv->nt", units, measured) + precision * said
        found = _non_negative(normal, target)
        factor = torch.where(amount > _LEAST, found[:, 0] / amount.clamp(min=_LEAST), torch.ones_like(amount))
        return wm * factor, found[:, 1:]


def _non_negative(
    normal: Float[Tensor, "voxel tissue tissue"], target: Float[Tensor, "voxel tissue"]
) -> Float[Tensor, "voxel tissue"]:
    """Return the minimiser over non-negative amounts, by setting those that come out negative to zero, in turn."""
    free = torch.ones_like(target)
    identity = torch.eye(target.shape[1], device=target.device, dtype=target.dtype)
    for _ in range(target.shape[1]):
        system = normal * free[:, :, None] * free[:, None, :] + identity * (1 - free)[:, :, None]
        found = torch.linalg.solve(system, (target * free)[..., None])[..., 0]
        free = free * (found >= 0)
    return found.clamp(min=0) * free


def amounts_by_signal(model: Design, device: torch.device | str = "cpu") -> Amounts:
    """Return what finds the amounts of a scan. model: `shd.scans.first_estimate.design` at the network's vertices."""
    floor = np.zeros(len(model.weight))
    floor[model.volumes] = 1.0
    parts = (model.columns / model.scale).numpy(), (model.weight > 0).numpy(), floor
    return Amounts(*(torch.from_numpy(np.asarray(part, dtype=np.float32)).to(device) for part in parts))
