"""The same module in another precision, and how far an answer is from the one in double precision."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

__all__ = ["built_in", "default_dtype", "relative_error"]

Module = TypeVar("Module", bound=nn.Module)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Make new tensors and modules of `dtype`."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def built_in(dtype: torch.dtype, build: Callable[[], Module], weights: dict[str, Tensor] | None = None) -> Module:
    """Return a module whose fixed matrices were computed in `dtype`, which `module.to(dtype)` could not do.

    weights: a state in any precision that it gets.
    """
    with default_dtype(dtype):
        module = build()
    if weights is not None:
        module.load_state_dict(weights)
    return module


def relative_error(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the largest ‖found − expected‖ / ‖expected‖ over pairs of tensors (Euclidean norms)."""
    pairs = zip(found, expected, strict=True)
    return max(float((ours.detach().double() - truth).norm() / truth.norm()) for ours, truth in pairs)
