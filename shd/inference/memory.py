"""How much of a volume fits into memory at once."""

import os
from contextlib import suppress
from itertools import product
from math import floor, log2, prod
from pathlib import Path

import torch

from shd.graphs.hemisphere import vertex_count
from shd.models.config import ModelConfig
from shd.scans.tiles import split_span

__all__ = ["available_memory", "best_cores", "bytes_per_voxel", "voxels_that_fit"]

_CGROUP = Path("/sys/fs/cgroup")
_CONTAINER = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
_SHARE = 0.5  # of what is free: other programs, the scan and its results need some too
_SMALLEST = 8  # voxels a side of a core, where the halo is most of the box


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
    width 32; deeper levels are smaller. Other engines make the neighbour sums whole: up to eight times as much.
    """
    floats = 3 * (config.input_channels + config.width) + 8
    return (1 if engine == "compiled" else 8) * 4 * vertex_count(config.nside, config.hemisphere) * floats


def voxels_that_fit(config: ModelConfig, device: torch.device, engine: str = "compiled") -> int:
    """Return how many voxels a box may have to fit into half of the free memory.

    Rounded down to a power of √2, so that a little more or less free memory gives the same boxes.
    """
    voxels = _SHARE * available_memory(device) / bytes_per_voxel(config, engine)
    return int(2 ** (floor(2 * log2(max(voxels, 1))) / 2))


def best_cores(
    spans: tuple[tuple[int, int], ...], halo: int, factor: int, voxels: int
) -> tuple[int, int, int]:
    """Return the sides of cores that cover `spans` (first voxel and end along each axis) with the least work.

    Work is the voxels of all boxes, which are cores with their halo, as far as the spans reach. No box has more than
    `voxels` voxels, unless cores of 8 voxels a side need more.
    """
    choices = [_ways_to_split(first, end, halo, factor) for first, end in spans]
    fitting = [way for way in product(*choices) if prod(box for _, box, _ in way) <= voxels]
    best = min(fitting, key=lambda way: prod(work for _, _, work in way)) if fitting else [way[-1] for way in choices]
    x, y, z = (core for core, _, _ in best)
    return x, y, z


def _ways_to_split(first: int, end: int, halo: int, factor: int) -> list[tuple[int, int, int]]:
    """Return (core, longest box, sum of the boxes) along one axis, for one part, two parts and so on."""
    ways = []
    smallest = -(-_SMALLEST // factor) * factor
    for parts in range(1, max(1, (end - first) // smallest) + 1):
        core = -(-(end - first) // (parts * factor)) * factor
        boxes = [
            min(start + length + halo, end) - max(start - halo, first)
            for start, length in split_span(first, end, core, factor)
        ]
        ways.append((core, max(boxes), sum(boxes)))
    return ways
