"""The first estimate of voxels and the rounds of the coherent one, by the kernels of estimate.h.

What is computed, and what the matrices are, `shd.scans.first_estimate` and `shd.scans.estimate_rounds` say. All tensors
are contiguous, float32 and on the CPU.
"""

import ctypes
from dataclasses import dataclass

import torch
from torch import Tensor

from shd.engines.compiled.library import kernels

__all__ = ["IterationArguments", "RoundArguments", "estimate_alone", "estimate_round"]

_Address, _Count, _Float = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
_LONGEST_VECTOR = 16  # float32 in a register: arrays that are read in whole vectors reach beyond their end


class _Iteration(ctypes.Structure):
    _fields_ = [
        *((name, _Count) for name in ("unknowns", "rank", "volumes", "steps")),
        *((name, _Address) for name in ("start", "shrink", "lift")),
        ("kept", _Float),
    ]


class _Round(ctypes.Structure):
    _fields_ = [
        *((name, _Count) for name in ("vertices", "faces", "powers")),
        *((name, _Address) for name in ("spread", "seen", "floor", "bias", "beside")),
        *((name, _Float) for name in ("support", "sparsity", "continuity")),
    ]


@dataclass(frozen=True, eq=False)
class IterationArguments:
    """start (volume, rank), shrink (unknown, rank), lift (rank, unknown), kept: of a `FirstEstimator`."""

    start: Tensor
    shrink: Tensor
    lift: Tensor
    kept: float
    steps: int

    def structure(self) -> _Iteration:
        """Return struct Iteration of estimate.h; the tensors must outlive it."""
        sizes = (self.lift.shape[1], self.lift.shape[0], len(self.start))
        addresses = (tensor.data_ptr() for tensor in (self.start, self.shrink, self.lift))
        return _Iteration(*sizes, self.steps, *addresses, self.kept)


@dataclass(frozen=True, eq=False)
class RoundArguments:
    """What a round needs beside its iteration.

    spread: (vertex, vertex). seen: (rank, volume), what `lift` projects a state on times it is the predicted signal.
    floor: 1 for volumes with a noise floor, else 0. bias: of `shd.signal.noise.rician_bias_polynomial`. beside: rows of
    (voxel, neighbour), int64. support: ε. sparsity: λ_s·ε/κ. continuity: λ_c/κ.
    """

    spread: Tensor
    seen: Tensor
    floor: Tensor
    bias: Tensor
    beside: Tensor
    support: float
    sparsity: float
    continuity: float

    def __post_init__(self) -> None:
        """Make room for the last vector of `floor`."""
        padded = torch.nn.functional.pad(self.floor, (0, -len(self.floor) % _LONGEST_VECTOR))
        object.__setattr__(self, "floor", padded)

    def structure(self) -> _Round:
        """Return struct Round of estimate.h; the tensors must outlive it."""
        tensors = (self.spread, self.seen, self.floor, self.bias, self.beside)
        return _Round(
            len(self.spread), self.beside.shape[1], len(self.bias), *(tensor.data_ptr() for tensor in tensors),
            self.support, self.sparsity, self.continuity,
        )  # fmt: skip


def estimate_alone(iteration: IterationArguments, signal: Tensor, states: Tensor, rows: slice) -> None:
    """Write the states of some voxels after the first steps; signal: of these voxels alone."""
    _call("estimate_alone", (ctypes.byref(iteration.structure()),), (signal, states), rows)


def estimate_round(
    iteration: IterationArguments, around: RoundArguments, signal: Tensor, noise: Tensor, before: Tensor,
    states: Tensor, rows: slice,
) -> None:  # fmt: skip
    """Write the states of some voxels after a round that began with `before`, as another tensor; signal: of these."""
    structures = (ctypes.byref(iteration.structure()), ctypes.byref(around.structure()))
    _call("estimate_round", structures, (signal, noise, before, states), rows)


def _call(name: str, structures: tuple[object, ...], tensors: tuple[Tensor, ...], rows: slice) -> None:
    addresses = (_Address(tensor.data_ptr()) for tensor in tensors)
    kernels().call(name, torch.float32, *structures, *addresses, _Count(rows.start), _Count(rows.stop))
