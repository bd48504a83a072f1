"""Losses of voxel-wise segmentation: cross-entropy with weights of classes, and one minus Dice."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

__all__ = ["IGNORED", "cross_entropy", "dice_loss"]

IGNORED = 255
"""The label of voxels that no loss looks at: those outside the mask."""


def cross_entropy(
    logits: Float[Tensor, "batch label x y z"],
    labels: Int[Tensor, "batch x y z"],
    weights: Float[Tensor, " label"],
) -> Float[Tensor, ""]:
    """Return the mean over voxels of −w_k log p_k, k a voxel's label, over the mean of the w_k.

    Zero where every voxel is ignored.
    """
    total = functional.cross_entropy(logits, labels, weights, ignore_index=IGNORED, reduction="sum")
    held = labels != IGNORED
    return total / weights[labels.where(held, 0)].mul(held).sum().clamp_min(1e-12)


def dice_loss(
    logits: Float[Tensor, "batch label x y z"], labels: Int[Tensor, "batch x y z"], smoothing: float = 1.0
) -> Float[Tensor, ""]:
    """Return one minus the mean over foreground labels of (2 Σ p t + s) / (Σ p + Σ t + s).

    p: probability; t: 1 in voxels of the label, else 0; sums over all voxels of the batch that are not ignored. Source:
    Milletari et al., 3DV (2016), eq. 3, without squares, as Sudre et al., DLMIA (2017). smoothing: voxels s that make a
    batch without the label harmless.
    """
    held = (labels != IGNORED)[:, None]
    present = torch.zeros_like(logits).scatter_(1, labels.where(held[:, 0], 0)[:, None], 1.0) * held
    chances = logits.softmax(dim=1) * held
    axes = (0, 2, 3, 4)
    both, each = (chances * present).sum(axes)[1:], (chances.sum(axes) + present.sum(axes))[1:]
    return 1.0 - ((2.0 * both + smoothing) / (each + smoothing)).mean()
