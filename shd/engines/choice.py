"""Which engine a network uses: the fastest that runs here, or the one asked for."""

from functools import lru_cache

import torch
from torch import nn

from shd.engines.compiled.build import BuildError
from shd.engines.compiled.engine import RADII, CompiledEngine
from shd.engines.compiled.library import DTYPES
from shd.engines.eigenbasis import EigenbasisEngine
from shd.engines.engine import Engine
from shd.engines.fused import why_not_fused
from shd.engines.reference import ReferenceEngine
from shd.errors import ResourceError

__all__ = ["ENGINES", "choose_engine", "compiled_engine", "describe_engine", "set_engine"]

ENGINES = ("auto", "reference", "torch", "compiled")

_REFERENCE, _TORCH = ReferenceEngine(), EigenbasisEngine()


@lru_cache(maxsize=1)
def compiled_engine() -> CompiledEngine | str:
    """Return the compiled engine, or why there is none; built at the first call."""
    try:
        return CompiledEngine()
    except BuildError as error:
        return str(error)


def choose_engine(name: str, x: torch.Tensor, radii: int) -> Engine:
    """Return the engine `name` for a field like `x` and kernels with `radii` distances.

    "auto": the compiled engine where it runs (a CPU with a compiler, kernels of 1 or 3 voxels a side), else torch.
    Raises ResourceError where "compiled" is asked for and cannot be, ValueError for a name that is none of `ENGINES`.
    """
    if name == "reference":
        return _REFERENCE
    if name == "torch":
        return _TORCH
    if name not in ENGINES:
        raise ValueError(f"engine {name!r}: use one of {', '.join(ENGINES)}")
    suited = x.device.type == "cpu" and x.dtype in DTYPES and radii in RADII
    engine = compiled_engine() if suited else f"it takes {' and '.join(map(str, DTYPES))} on a CPU, 1 or 4 distances"
    if not isinstance(engine, str):
        return engine
    if name == "auto":
        return _TORCH
    given = f"{x.dtype} on {x.device.type} with {radii} distances"
    raise ResourceError(f"the compiled engine cannot run ({engine}; here {given}); use engine auto or torch")


def describe_engine(name: str, device: str, radii: int = 4) -> str:
    """Return in a few words what `name` means on this machine, with the reason where a faster one is missing.

    device: its name. radii: distances of the kernels, as in `choose_engine`.
    """
    if name != "auto":
        return name
    if device.startswith("cuda") and torch.cuda.is_available():
        reason = why_not_fused(torch.device(device))
        return "torch" if reason is None else f"torch; {reason}"
    if not device.startswith("cpu") or radii not in RADII:
        return "torch"
    engine = compiled_engine()
    return "compiled" if not isinstance(engine, str) else f"torch; {engine}"


def set_engine(module: nn.Module, name: str) -> None:
    """Let every convolution inside `module` use the engine `name`, one of `ENGINES`."""
    if name not in ENGINES:
        raise ValueError(f"engine {name!r}: use one of {', '.join(ENGINES)}")
    for part in module.modules():
        if hasattr(part, "engine"):
            part.engine = name  # type: ignore[assignment]
