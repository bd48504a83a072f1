"""Where and by what to compute: the processor or a GPU, and an engine, by name."""

import torch

from shd.engines.choice import ENGINES, choose_engine
from shd.errors import ResourceError, SettingsError
from shd.graphs.spatial import distance_classes
from shd.training.settings import default_device

__all__ = ["check_engine", "usable_device"]


def usable_device(name: str | None) -> str:
    """Return `name` if this machine can compute on it, or its best device for None.

    Raises ResourceError for any other name than cpu, cuda or cuda:N, and for a GPU that is not there.

    >>> usable_device("cpu")
    'cpu'
    """
    if name is None:
        return default_device()
    kind, _, index = name.partition(":")
    if name != "cpu" and (kind != "cuda" or name.endswith(":") or not (index or "0").isdecimal()):
        raise ResourceError(
            f"device {name!r} is not one of cpu, cuda, cuda:0, cuda:1, …; leave --device out to have it chosen"
        )
    if kind == "cuda":
        usable = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= usable:
            raise ResourceError(
                f"device {name}: torch {torch.__version__} can use {usable} CUDA devices here; give --device cpu, or "
                "install a torch built for this GPU's driver"
            )
    return name


def check_engine(name: str, device: str, kernel: int) -> None:
    """Raise ResourceError where the engine `name` cannot run on `device` with kernels of `kernel` voxels a side.

    Raises SettingsError for a name that is none.
    """
    if name not in ENGINES:
        raise SettingsError(f"engine {name!r}: give one of {', '.join(ENGINES)}")
    choose_engine(name, torch.empty(0, dtype=torch.float32, device=device), len(distance_classes(kernel)))
