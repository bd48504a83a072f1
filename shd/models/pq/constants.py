"""Fixed tensors kept in double precision, and handed out in the precision and on the device where they are used."""

import torch
from torch import Tensor

__all__ = ["Constants"]


class Constants:
    """Named tensors that no optimiser, checkpoint or `module.to` touches.

    A buffer would be rounded by `module.float()` and stay rounded after `module.double()`; equivariance would then hold
    to single precision only.
    """

    def __init__(self, **tensors: Tensor) -> None:
        self._exact = {name: tensor.detach().to("cpu", torch.float64) for name, tensor in tensors.items()}
        self._cast: dict[tuple[str, torch.device, torch.dtype], Tensor] = {}

    def like(self, name: str, like: Tensor) -> Tensor:
        """Return a constant in the dtype and on the device of `like`."""
        key = (name, like.device, like.dtype)
        if key not in self._cast:
            self._cast[key] = self._exact[name].to(like.device, like.dtype)
        return self._cast[key]

    def exact(self, name: str) -> Tensor:
        """Return a constant in double precision on the processor."""
        return self._exact[name]

    def __getstate__(self) -> dict[str, object]:
        return {"_exact": self._exact, "_cast": {}}
