"""How much of a volume fits into memory at once."""

import os
from contextlib import suppress
from pathlib import Path

import torch

from shd.graphs.hemisphere import vertex_count
from shd.models.config import ModelConfig

__all__ = ["available_memory", "bytes_per_voxel", "largest_core"]

_CGROUP = Path("/sys/fs/cgroup")
_CONTAINER = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
_SHARE = 0.5  # of what is free: other programs, the scan and its results need some too
_SIDES = (8, 12, 16, 24, 32, 48, 64)  # few, so that a little more or less free memory gives the same boxes


def available_memory(device: torch.device) -> int:
    """Return the bytes that this process can still take on `device`, by what the system says."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2 if hasattr(os, "sysconf") else 4 << 30
    for limit, used in _CONTAINER:
        with suppress(OSError, ValueError):  # a container may have less than its machine
            free = min(free, int((_CGROUP / limit).read_text()) - int((_CGROUP / used).read_text()))
    return free


def bytes_per_voxel(config: ModelConfig, engine: str = "compiled") -> int:
    """Return what a voxel of a box takes at the peak: three copies of its input, and three fields of the finest width.

    Those are what is mixed, what comes of it, and the skip. As measured with the compiled engine, 206 kB at nside 8 and
    width 32; deeper levels are smaller. Other engines make the neighbour sums whole, and take four times as much.
    """
    floats = 3 * (config.input_channels + config.width) + 8
    return (1 if engine == "compiled" else 4) * 4 * vertex_count(config.nside, config.hemisphere) * floats


def largest_core(config: ModelConfig, halo: int, device: torch.device, engine: str = "compiled") -> int:
    """Return the longest side of a core (voxels) whose box, with its halo, fits into half of the free memory."""
    side = (_SHARE * available_memory(device) / bytes_per_voxel(config, engine)) ** (1 / 3) - 2 * halo
    core = max([_SIDES[0], *(length for length in _SIDES if length <= side)])
    return -(-core // config.spatial_factor) * config.spatial_factor
