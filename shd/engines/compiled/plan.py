"""A block eigenbasis laid out in memory as the compiled kernels read it."""

import ctypes
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy.typing import DTypeLike

from shd.graphs.symmetry import Orbit

__all__ = ["PANEL_ROWS", "CPlan", "Plan", "make_plan"]

PANEL_ROWS = 6
"""WIDE_ROWS of vectors.h."""

_INTEGERS = ("orbit_start", "orbit_vertex", "orbit_coordinate", "orbit_matrix_start")
_EDGES = ("block_in", "block_out", "analysis_start", "synthesis_start")


class CPlan(ctypes.Structure):
    """struct Plan of sphere.h."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("vertices", "eigenvectors", "orbits", "blocks")),
        *((name, ctypes.c_void_p) for name in (*_INTEGERS, "orbit_matrix", *_EDGES, "analysis", "synthesis")),
    ]


@dataclass(frozen=True, eq=False)
class Plan:
    """A transform's tables; `structure` points into `arrays`, which live as long as this object."""

    vertices: int
    eigenvectors: int
    structure: CPlan
    arrays: dict[str, np.ndarray] = field(repr=False)


def _panels(matrix: Float[np.ndarray, "row depth"]) -> Float[np.ndarray, " packed"]:
    """Return the matrix in panels of PANEL_ROWS rows, (panel, depth, row), filled up with zero rows."""
    rows, depth = matrix.shape
    whole = np.zeros((-(-rows // PANEL_ROWS) * PANEL_ROWS, depth))
    whole[:rows] = matrix
    return whole.reshape(len(whole) // PANEL_ROWS, PANEL_ROWS, depth).swapaxes(1, 2).ravel()


def make_plan(
    orbits: tuple[Orbit, ...], blocks: tuple[Float[np.ndarray, "_eigenvector _coordinate"], ...], dtype: DTypeLike
) -> Plan:
    """Return the tables of x ↦ diag(blocks)·Qᵀ x, Q given by the orbits; its adjoint uses the same tables."""
    sizes = [len(orbit.vertices) for orbit in orbits]
    arrays = {
        "orbit_start": np.cumsum([0, *sizes]),
        "orbit_vertex": np.concatenate([orbit.vertices for orbit in orbits]),
        "orbit_coordinate": np.concatenate([orbit.coordinates for orbit in orbits]),
        "orbit_matrix_start": np.cumsum([0, *(size * size for size in sizes)]),
        "orbit_matrix": np.concatenate([orbit.matrix.ravel() for orbit in orbits]).astype(dtype),
        "block_in": np.cumsum([0, *(block.shape[1] for block in blocks)]),
        "block_out": np.cumsum([0, *(block.shape[0] for block in blocks)]),
    }
    for name, packed in (
        ("analysis", [_panels(block) for block in blocks]),
        ("synthesis", [_panels(block.T) for block in blocks]),
    ):
        arrays[f"{name}_start"] = np.cumsum([0, *(len(part) for part in packed)])
        arrays[name] = np.concatenate(packed).astype(dtype)
    for name in (*_INTEGERS, *_EDGES):
        arrays[name] = np.ascontiguousarray(arrays[name], dtype=np.int64)
    vertices, eigenvectors = int(arrays["block_in"][-1]), int(arrays["block_out"][-1])
    pointers = {name: array.ctypes.data for name, array in arrays.items()}
    structure = CPlan(vertices, eigenvectors, len(orbits), len(blocks), **pointers)
    return Plan(vertices, eigenvectors, structure, arrays)
