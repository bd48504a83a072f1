"""What a fibre direction finds where it points to: the amplitude, along each vertex's own axis, in the next voxels."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from shd.just_in_time import compiled
from shd.scans.normalisation import NormalisedScan

__all__ = ["Continuation", "continuation"]

_STEPS = np.array(list(np.ndindex(3, 3, 3))) - 1
_CORNERS = np.array(list(np.ndindex(2, 2, 2)))
_BLOCK = 2048  # voxels that a thread takes at a time


@dataclass(frozen=True, eq=False)
class Continuation:
    """Mean of the non-negative part of f(x + h·u, u) and f(x − h·u, u), between voxels by trilinear interpolation.

    A fibre goes on beyond its voxel, so where an fODF has a lobe along u, the voxels ahead and behind have one too:
    fibre continuity, as Reisert and Kiselev, IEEE TMI 30 (2011), put it as a penalty. What crosses the fibre has no
    part in it, so no bundle is blurred into its neighbours, which isotropic smoothing does. It commutes with motions
    that turn voxels and directions together.

    weights: of each of the 3×3×3 neighbours, the sum over which is 1. neighbours: row of each, −1 outside the mask,
    where nothing is added: a fibre that ends there has half a continuation.
    """

    weights: Float[np.ndarray, "neighbour vertex"]
    neighbours: Int[np.ndarray, "voxel neighbour"]

    def __call__(self, state: Float[Tensor, "voxel unknown"]) -> Float[Tensor, "voxel vertex"]:
        """Return the mean for every voxel; the first unknowns are the vertices, others are not looked at."""
        out = state.new_empty((len(state), self.weights.shape[1]))
        if state.device.type != "cpu":
            return self._gathered(state, out)

        def work(start: int) -> None:
            rows = slice(start, start + _BLOCK)
            _along_fibres(state.numpy(), self.neighbours[rows], self.weights, out.numpy()[rows])

        with ThreadPoolExecutor(torch.get_num_threads()) as threads:
            list(threads.map(work, range(0, len(state), _BLOCK)))
        return out

    def _gathered(self, state: Tensor, out: Tensor) -> Tensor:
        """Do the same by torch, for any device: one neighbour after the other."""
        amplitudes = state[:, : self.weights.shape[1]].clamp(min=0)
        out.zero_()
        for step, weights in enumerate(torch.from_numpy(self.weights).to(state)):
            rows = torch.from_numpy(self.neighbours[:, step]).to(state.device).long()
            inside = rows >= 0
            out[inside] += weights * amplitudes[rows[inside]]
        return out


def continuation(scan: NormalisedScan, vertices: Float[np.ndarray, "vertex 3"]) -> Continuation:
    """Return the continuation on a scan's voxels; the step h is the shortest edge of a voxel.

    vertices: unit vectors, scanner axes.
    """
    linear = scan.affine[:3, :3]
    edge = np.linalg.norm(linear, axis=0).min()
    offsets = np.linalg.solve(linear, edge * vertices.T).T
    # shear could carry a step beyond the 3×3×3 neighbours
    offsets /= max(1.0, float(np.abs(offsets).max()))
    weights = np.zeros((len(_STEPS), len(vertices)))
    for ends in (offsets, -offsets):
        corner = np.floor(ends)[:, None] + _CORNERS
        share = 0.5 * np.prod(np.clip(1 - np.abs(ends[:, None] - corner), 0, 1), axis=2)
        place = np.clip(corner.astype(int), -1, 1) + 1  # a corner at 2 has no share
        index = place @ np.array([9, 3, 1])
        np.add.at(weights, (index, np.arange(len(vertices))[:, None]), share)
    rows = np.pad(scan.rows, 1, constant_values=-1)
    places = scan.voxels + 1
    neighbours = np.stack([rows[tuple((places + step).T)] for step in _STEPS], axis=1)
    return Continuation(weights.astype(np.float32), neighbours.astype(np.int32))


@compiled
@no_type_check
def _along_fibres(state, neighbours, weights, out):
    """Write the sum over neighbours (voxel, 27; −1: none) of weights (27, vertex) · max(state, 0) to `out`."""
    steps, vertices = weights.shape
    zero = np.float32(0)
    for voxel in range(len(out)):
        total = out[voxel]
        total[:] = 0
        for step in range(steps):
            if neighbours[voxel, step] >= 0:
                source, weight = state[neighbours[voxel, step]], weights[step]
                for vertex in range(vertices):
                    total[vertex] += weight[vertex] * max(source[vertex], zero)
