"""What this machine can do, measured, and the least time a layer can take by that.

The floor counts the multiplications of the layer in the eigenbasis of the Laplacian, split into the blocks that the
grid's symmetries leave: the fewest known. Additions (of neighbours, and between mirrored vertices) are left out.
"""

import itertools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache

import numpy as np
import torch

from benchmarks.harness.timing import Patience, measure
from shd.graphs.hemisphere import symmetry_permutations, vertex_count

__all__ = ["LayerWork", "MachineRates", "block_multiplications", "measured_rates"]

_SHAPES = tuple(itertools.product((512, 2048), (256, 1024), (512, 4096)))  # (rows, inner, columns)
_CONVOLUTIONS = ((64, 18), (128, 18), (256, 10))  # (channels, voxels along each side)
_COPIED = 256 * 2**20  # bytes: far beyond any cache
_QUICK = Patience(seconds=0.15, least=3, most=2.0)


@dataclass(frozen=True)
class MachineRates:
    """Floating-point operations a second (a multiplication and an addition are two) and bytes a second."""

    float32: float
    bfloat16: float
    bandwidth: float

    def __str__(self) -> str:
        """Return one line for people."""
        return (
            f"matrix products {self.float32 / 1e9:.0f} GFLOP/s (float32), {self.bfloat16 / 1e9:.0f} GFLOP/s "
            f"(bfloat16), copy {self.bandwidth / 1e9:.1f} GB/s"
        )


def _products(dtype: torch.dtype) -> list[tuple[float, Callable[[], object]]]:
    """Return (operations, call) of torch.mm and of convolutions, which are matrix products by oneDNN.

    In single precision torch.mm is MKL, which on a processor that is not Intel's may be half as fast.
    """
    products: list[tuple[float, Callable[[], object]]] = []
    for rows, inner, columns in _SHAPES:
        left, right = torch.randn(rows, inner).to(dtype), torch.randn(inner, columns).to(dtype)
        products.append((2.0 * rows * inner * columns, lambda a=left, b=right: torch.mm(a, b)))
    for channels, side in _CONVOLUTIONS:
        order = {"dtype": dtype, "memory_format": torch.channels_last_3d}
        volume = torch.randn(1, channels, side, side, side).to(**order)
        kernel = torch.randn(channels, channels, 3, 3, 3).to(**order)
        work = 2.0 * 27 * channels**2 * (side - 2) ** 3
        products.append((work, lambda x=volume, w=kernel: torch.nn.functional.conv3d(x, w)))
    return products


@cache
def measured_rates(threads: int) -> MachineRates:
    """Return the best rates found on `threads` threads; takes about ten seconds."""
    torch.set_num_threads(threads)
    best = {}
    with torch.no_grad():
        for dtype in (torch.float32, torch.bfloat16):
            best[dtype] = max(work / measure(call, _QUICK).fastest for work, call in _products(dtype))
    source = torch.ones(_COPIED // 4)
    target = torch.empty_like(source)
    copied = measure(lambda: target.copy_(source), _QUICK).fastest
    return MachineRates(best[torch.float32], best[torch.bfloat16], 2 * _COPIED / copied)  # read and written


def block_multiplications(nside: int) -> int:
    """Return the multiplications of one change into L⁺'s eigenbasis, for one channel in one voxel.

    The square's group acts on the V vertices; its irreducible representation χ of dimension d occurs m times, by the
    characters m = (1/8) Σ_g χ(g)·(vertices that g leaves in place), and costs d blocks of m×m. Σ d·m = V. At nside 8
    that is 70 a vertex in place of 384.
    """
    identity, turn, half, back, *mirrors = (
        int(np.sum(permutation == np.arange(vertex_count(nside)))) for _, permutation in symmetry_permutations(nside)
    )
    quarter, axial, diagonal = turn + back, mirrors[0] + mirrors[2], mirrors[1] + mirrors[3]
    signs = itertools.product((1, -1), repeat=2)  # of a one-dimensional representation, for the two kinds of mirror
    singles = [(identity + half + a * b * quarter + a * axial + b * diagonal) // 8 for a, b in signs]
    double = 2 * (identity - half) // 8
    return sum(m * m for m in singles) + 2 * double**2


@dataclass(frozen=True)
class LayerWork:
    """What one spatio-spherical layer with a 3×3×3 kernel on the half-sphere has to do, at the least."""

    nside: int
    voxels: int
    channels_in: int
    channels_out: int

    def operations(self, backward: bool) -> float:
        """Return floating-point operations: four multiplications a channel pair, eigenvalue and voxel, and transforms.

        With the backward pass the mixing is done three times (answer, gradients of input and of weights) and each
        transform twice.
        """
        vertices = vertex_count(self.nside)
        mixing = 4 * vertices * self.channels_in * self.channels_out
        transforms = block_multiplications(self.nside) * (self.channels_in + self.channels_out)
        return 2.0 * self.voxels * ((3 if backward else 1) * mixing + (2 if backward else 1) * transforms)

    def traffic(self, backward: bool, width: int) -> float:
        """Return bytes of the input read and the answer written, at `width` bytes a number; twice with backward."""
        values = vertex_count(self.nside) * self.voxels * (self.channels_in + self.channels_out)
        return float((2 if backward else 1) * width * values)

    def floor(self, rates: MachineRates, backward: bool, dtype: str) -> float:
        """Return the least seconds: operations or traffic, whichever takes longer. dtype: of `MachineRates`."""
        width = {"float32": 4, "bfloat16": 2}[dtype]
        operations = self.operations(backward) / asdict(rates)[dtype]
        return max(operations, self.traffic(backward, width) / rates.bandwidth)
