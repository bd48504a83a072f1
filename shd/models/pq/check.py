"""A check of networks that mix these layers with ordinary ones."""

import warnings
from collections.abc import Iterator

from torch import nn

from shd.errors import ShdWarning
from shd.models.pq.fields import FieldType

__all__ = ["check_nonlinearities"]

_POINTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Sigmoid, nn.LogSigmoid, nn.Tanh, nn.Softplus, nn.Softsign, nn.Hardswish, nn.Hardtanh, nn.Hardsigmoid,
    nn.BatchNorm3d, nn.InstanceNorm3d, nn.GroupNorm, nn.LayerNorm,
)  # fmt: skip


def check_nonlinearities(network: nn.Module) -> bool:
    """Return whether no ordinary nonlinearity or norm stands right after a layer that gives tensors of order above 0.

    Component by component, ReLU or an ordinary norm does not commute with rotations: what comes after is no field any
    more, and the network is not equivariant. Each case gets a `ShdWarning` that names it. Modules are taken in the
    order in which they are registered, as `nn.Sequential` runs them; nonlinearities called as functions in a `forward`
    are not seen.
    """
    now: FieldType | None = None
    sound = True
    for name, module in _steps(network, ""):
        if isinstance(module, _POINTWISE):
            if now is None or not now.tensors:
                continue
            sound = False
            warnings.warn(
                f"{name or 'network'} ({type(module).__name__}) is put on {now}: {now.tensors} of these channels are "
                "of order above 0, which it does not turn with; use Gate (shd.models.pq.gate) or FieldBatchNorm there",
                ShdWarning,
                stacklevel=2,
            )
        else:
            given = getattr(module, "type_out", None)
            now = given if isinstance(given, FieldType) else None
    return sound


def _steps(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """Yield layers of fields as a whole, and of all else what has no modules inside, in order."""
    inside = list(module.named_children())
    if not inside or isinstance(getattr(module, "type_out", None), FieldType):
        yield name, module
        return
    for part, child in inside:
        yield from _steps(child, f"{name}.{part}" if name else part)
