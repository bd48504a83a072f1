"""A block eigenbasis laid out in memory as the compiled kernels read it."""

import ctypes
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float

from shd.graphs.symmetry import Orbit

__all__ = ["NUMPY", "PANEL_ROWS", "CPlan", "Plan", "make_plan"]

PANEL_ROWS = 6
"""WIDE_ROWS of vectors.h."""

NUMPY = {torch.float32: np.float32, torch.float64: np.float64, torch.bfloat16: np.float32}
"""What numbers are computed with that are stored as the given type."""

_INTEGERS = ("orbit_start", "orbit_vertex", "orbit_coordinate", "orbit_matrix_start")
_EDGES = ("block_in", "block_out", "analysis_start", "synthesis_start")


class CPlan(ctypes.Structure):
    """struct Plan of sphere.h."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("vertices", "eigenvectors", "coordinates", "orbits", "blocks")),
        *((name, ctypes.c_void_p) for name in (*_INTEGERS, "orbit_matrix", *_EDGES, "analysis", "synthesis")),
    ]


@dataclass(frozen=True, eq=False)
class Plan:
    """A transform's tables; `structure` points into `arrays`, which live as long as this object."""

    vertices: int
    eigenvectors: int
    structure: CPlan
    arrays: dict[str, np.ndarray] = field(repr=False)


def _together(dtype: torch.dtype) -> int:
    """Return how many terms of a product the kernels take at a time."""
    return 2 if dtype == torch.bfloat16 else 1


def _filled_up(count: int, unit: int) -> int:
    return -(-count // unit) * unit


def _words(matrix: Float[np.ndarray, "row depth"], dtype: torch.dtype) -> np.ndarray:
    """Return the matrix in panels, (panel, depth, row, a word's numbers of the depth), filled up with zeros."""
    (rows, depth), together = matrix.shape, _together(dtype)
    whole = np.zeros((_filled_up(rows, PANEL_ROWS), _filled_up(depth, together)))
    whole[:rows, :depth] = matrix
    parts = whole.reshape(len(whole) // PANEL_ROWS, PANEL_ROWS, whole.shape[1] // together, together)
    numbers = torch.from_numpy(parts.swapaxes(1, 2).ravel()).to(dtype)
    return (numbers.view(torch.float32) if together > 1 else numbers).numpy()  # numpy knows no bfloat16


def make_plan(
    orbits: tuple[Orbit, ...], blocks: tuple[Float[np.ndarray, "_eigenvector _coordinate"], ...], dtype: torch.dtype
) -> Plan:
    """Return the tables of x ↦ diag(blocks)·Qᵀ x, Q given by the orbits; its adjoint uses the same tables.

    Where products take several terms at a time, each block's coordinates are filled up to a multiple of those. The
    first block, where constants lie, keeps the precision of what is computed with, a number a word.
    """
    sizes, together = [len(orbit.vertices) for orbit in orbits], _together(dtype)
    widths = [block.shape[1] for block in blocks]
    padded = [_filled_up(width, together) for width in widths]
    begin = np.cumsum([0, *padded])
    place = np.concatenate([start + np.arange(width) for start, width in zip(begin[:-1], widths, strict=True)])
    wide = [np.pad(block, ((0, 0), (0, -block.shape[1] % together))) for block in blocks]
    words = torch.float32 if dtype == torch.bfloat16 else dtype
    arrays = {
        "orbit_start": np.cumsum([0, *sizes]),
        "orbit_vertex": np.concatenate([orbit.vertices for orbit in orbits]),
        "orbit_coordinate": place[np.concatenate([orbit.coordinates for orbit in orbits])],
        "orbit_matrix_start": np.cumsum([0, *(size * size for size in sizes)]),
        "orbit_matrix": np.concatenate([orbit.matrix.ravel() for orbit in orbits]).astype(NUMPY[dtype]),
        "block_in": begin,
        "block_out": np.cumsum([0, *(block.shape[0] for block in blocks)]),
    }
    for name, packed in (
        ("analysis", [_words(block, dtype if index else words) for index, block in enumerate(wide)]),
        ("synthesis", [_words(block.T, dtype if index else words) for index, block in enumerate(wide)]),
    ):
        arrays[f"{name}_start"] = np.cumsum([0, *map(len, packed)])
        arrays[name] = np.concatenate(packed)
    for name in (*_INTEGERS, *_EDGES):
        arrays[name] = np.ascontiguousarray(arrays[name], dtype=np.int64)
    vertices, eigenvectors = sum(sizes), int(arrays["block_out"][-1])
    pointers = {name: array.ctypes.data for name, array in arrays.items()}
    structure = CPlan(vertices, eigenvectors, int(begin[-1]), len(orbits), len(blocks), **pointers)
    return Plan(vertices, eigenvectors, structure, arrays)
