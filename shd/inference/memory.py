"""How much of a volume fits into memory at once."""

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from math import floor, log2, prod
from pathlib import Path

import torch

from shd.graphs.hemisphere import vertex_count
from shd.models.config import ModelConfig
from shd.scans.tiles import split_span

__all__ = ["available_memory", "best_cores", "bytes_per_voxel", "voxels_that_fit"]

_GROUPS, _PROCESS = Path("/sys/fs/cgroup"), Path("/proc/self")
_LIMITS = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))  # versions 2 and 1
_SHARE = 0.5  # of what is free: other programs, the scan and its results need some too
_MOST = 4 << 30  # bytes of a box: from there on a brain's boxes shrink by little (docs/pretrained.md)
_SMALLEST = 8  # voxels a side of a core, where the halo is most of the box


def available_memory(device: torch.device) -> int:
    """Return the bytes that this process can still take on `device`, by what the system says.

    The least of what the machine has free, what the process's control groups (those of a container or of a batch
    system) leave, and its own limit of address space (`ulimit -v`).
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2 if hasattr(os, "sysconf") else 4 << 30
    return max(0, min([free, *_left_by_groups(), *_left_by_limit()]))


def _left_by_groups() -> Iterator[int]:
    """Yield what each control group around this process leaves, its file cache, which gives way, counted as free."""
    for folder in _memory_groups():
        for limit, used in _LIMITS:
            with suppress(OSError, ValueError):
                most, now = int((folder / limit).read_text()), int((folder / used).read_text())
                yield most - now + _cached(folder / "memory.stat")


def _memory_groups() -> Iterator[Path]:
    """Yield the folders of the control groups that this process is in, from the innermost out."""
    names = {""}
    with suppress(OSError, ValueError):
        for line in (_PROCESS / "cgroup").read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controllers in ("", "memory"):
                names |= {str(folder).strip("/.") for folder in (Path(name), *Path(name).parents)}
    for name in sorted(names, reverse=True):
        yield from (_GROUPS / name, _GROUPS / "memory" / name)


def _cached(statistics: Path) -> int:
    """Return the bytes of files that a control group holds and would drop before it runs out of memory."""
    with suppress(OSError, ValueError):
        lines = dict(line.split(maxsplit=1) for line in statistics.read_text().splitlines())
        return int(lines.get("total_inactive_file", lines.get("inactive_file", 0)))
    return 0


def _left_by_limit() -> Iterator[int]:
    """Yield what `ulimit -v` leaves of the address space, where it is set."""
    with suppress(OSError, ValueError):  # "unlimited" is no number
        lines = (_PROCESS / "limits").read_text().splitlines()
        limit = next(int(line.split()[3]) for line in lines if line.startswith("Max address space"))
        yield limit - int((_PROCESS / "statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def bytes_per_voxel(config: ModelConfig, engine: str = "compiled") -> int:
    """Return what a voxel of a box takes at the peak: two fields of the finest width, and a margin.

    The peak is where the features enter the network, or where a convolution makes one field of another. As measured
    with the compiled engine (`tests/inference/test_memory.py`); deeper levels are smaller. Other engines make the
    neighbour sums whole: up to eight times as much.
    """
    floats = 2 * max(config.input_channels, config.width) + 4
    return (1 if engine == "compiled" else 16) * 4 * vertex_count(config.nside, config.hemisphere) * floats


def voxels_that_fit(
    config: ModelConfig, device: torch.device, engine: str = "compiled", sharers: int = 1
) -> int:
    """Return how many voxels a box may have to fit into half of the free memory.

    On a CPU no more than 4 GiB hold with the compiled engine. Rounded down to a power of √2, so that a little more or
    less free memory gives the same boxes. sharers: how many programs share the memory.
    """
    voxels = _SHARE * available_memory(device) / sharers / bytes_per_voxel(config, engine)
    if device.type == "cpu":
        voxels = min(voxels, _MOST / bytes_per_voxel(config))
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
