"""Probabilities of a whole scan, box by box: boxes with the network's sight around them answer as one pass does."""

from collections.abc import Callable
from itertools import product

import numpy as np
import torch
from jaxtyping import Float32
from torch import nn

from shd.errors import ResourceError, is_out_of_memory
from shd.scans.q_table import Points
from shd.scans.tiles import split_span

__all__ = ["TILE", "label_probabilities"]

Corner = tuple[int, int, int]

TILE = 24
"""Longest side of a box without what lies around it, in voxels."""


@torch.no_grad()
def label_probabilities(
    network: nn.Module,
    signal: Points,
    *,
    tile: int = TILE,
    on_tile: Callable[[int], None] = lambda voxels: None,
) -> Float32[np.ndarray, "label x y z"]:
    """Return the probability of each label in every voxel; outside the mask zero, also of the background.

    network: in evaluation mode, with `receptive_radius`, the voxels by which an answer sees further than itself; its
    device is used. Each box reaches that far beyond its core, or to the edge of the scan, beyond which all is zero in
    one pass too: so the core's answers are those of one pass. tile: longest side of a core. on_tile: told how many
    voxels each box finished. Raises ResourceError when a box does not fit into memory.
    """
    device = next(network.parameters()).device
    halo, mask = int(network.receptive_radius), signal.mask  # type: ignore[arg-type]
    held = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    spans = [split_span(int(each[0]), int(each[-1]) + 1, tile, 1) for each in held]
    found: Float32[np.ndarray, "label x y z"] | None = None
    for parts in product(*spans):
        core = tuple(slice(first, first + length) for first, length in parts)
        inside = mask[core]
        if not inside.any():
            continue
        start, stop = _reached(core, halo, mask.shape)
        box = torch.from_numpy(signal.block(start, stop))[None].to(device)
        try:
            chances = network(box)[0].softmax(dim=0)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise ResourceError(
                f"a box of {' × '.join(map(str, box.shape[2:]))} voxels does not fit into memory; give a smaller "
                f"--tile than {tile}"
            ) from error
        window = tuple(slice(part.start - low, part.stop - low) for part, low in zip(core, start, strict=True))
        answer = chances.movedim(0, -1)[window].movedim(-1, 0).cpu().numpy()
        if found is None:
            found = np.zeros((len(answer), *mask.shape), dtype=np.float32)
        np.moveaxis(found, 0, -1)[core] = np.moveaxis(answer * inside, 0, -1)
        on_tile(int(inside.sum()))
    assert found is not None  # a scan's mask is not empty
    return found


def _reached(core: tuple[slice, ...], halo: int, grid: tuple[int, ...]) -> tuple[Corner, Corner]:
    """Return first voxel and end of a core with what the network sees around it, inside the grid."""
    x, y, z = (
        (max(part.start - halo, 0), min(part.stop + halo, limit)) for part, limit in zip(core, grid, strict=True)
    )
    return (x[0], y[0], z[0]), (x[1], y[1], z[1])
