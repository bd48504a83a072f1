"""Memory for time: what a block computed inside is not kept but computed again in the backward pass."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from shd.models.pq.normalisation import FieldBatchNorm

__all__ = ["recomputed"]


def recomputed(block: nn.Module, x: Tensor) -> Tensor:
    """Return block(x), of which only x and the answer are kept (Chen et al. 2016, arXiv 1604.06174).

    Values and gradients are those of block(x), and running statistics follow the batch once.
    """
    answer = checkpoint(block, x, use_reentrant=False, context_fn=lambda: (nullcontext(), _counted(block)))
    assert isinstance(answer, Tensor)
    return answer


@contextmanager
def _counted(block: nn.Module) -> Iterator[None]:
    """Leave running statistics alone: this batch has been counted."""
    norms = [module for module in block.modules() if isinstance(module, FieldBatchNorm | nn.BatchNorm3d)]
    momenta = [norm.momentum for norm in norms]
    counts = [count for norm in norms if (count := getattr(norm, "num_batches_tracked", None)) is not None]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for count in counts:
            count.sub_(1)
