"""Which way a separable kernel is applied: counted once, when a layer is built."""

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

__all__ = ["Block", "Sizes", "factored_multiplications", "folded_multiplications", "plan"]

# Both ways do about as many multiplications a second, but the factored one writes and reads what lies between.
_FEWER = 1.5
_MOST_SHELLS = 8


class Sizes(NamedTuple):
    """Numbers of a layer: components out and in, taps, harmonics of q, and those times its radial functions."""

    out: int
    into: int
    taps: int
    harmonics: int
    functions: int


class Block(NamedTuple):
    """Samples of output and input, whether all of each are of one length, and whether their kernel stays factored."""

    out: list[int]
    into: list[int]
    one_length: bool
    factored: bool


def folded_multiplications(samples_out: int, samples_in: int, sizes: Sizes) -> int:
    """Return the multiplications a voxel of one convolution with a kernel for every pair of samples."""
    return samples_out * samples_in * sizes.out * sizes.into * sizes.taps


def factored_multiplications(samples_out: int, samples_in: int, functions: int, sizes: Sizes) -> int:
    """Return the multiplications a voxel of a convolution for every function of q, and of their sum over samples."""
    return samples_in * functions * sizes.out * (sizes.into * sizes.taps + samples_out)


def plan(lengths_out: Float[Tensor, " q_out"], lengths_in: Float[Tensor, " q_in"], sizes: Sizes) -> list[Block]:
    """Return how to go through all pairs of samples with the fewest multiplications.

    Either all at once, folded or factored; or shell by shell, where the radial functions of q are constants and its
    harmonics alone are left, each pair of shells in its own cheapest way. A factored multiplication counts as 1.5.
    lengths: of the samples, equal within a shell.
    """
    count_out, count_in = len(lengths_out), len(lengths_in)
    every = list(range(count_out)), list(range(count_in))
    folded = folded_multiplications(count_out, count_in, sizes)
    factored = factored_multiplications(count_out, count_in, sizes.functions, sizes)
    ways: list[tuple[float, list[Block]]] = [
        (folded, [Block(*every, False, False)]),
        (_FEWER * factored, [Block(*every, False, True)]),
    ]
    shells_out, shells_in = _shells(lengths_out), _shells(lengths_in)
    if max(len(shells_out), len(shells_in)) <= _MOST_SHELLS:
        pairs = [_cheapest(out, into, sizes) for out in shells_out for into in shells_in]
        ways.append((sum(cost for cost, _ in pairs), [block for _, block in pairs]))
    return min(ways, key=lambda way: way[0])[1]


def _cheapest(out: list[int], into: list[int], sizes: Sizes) -> tuple[float, Block]:
    """Return the better way between two shells, and what it costs."""
    folded = folded_multiplications(len(out), len(into), sizes)
    factored = _FEWER * factored_multiplications(len(out), len(into), sizes.harmonics, sizes)
    return float(min(folded, factored)), Block(out, into, True, factored < folded)


def _shells(lengths: Float[Tensor, " q"]) -> list[list[int]]:
    """Return the samples of each length."""
    values: Sequence[float] = lengths.tolist()
    return [[place for place, value in enumerate(values) if value == length] for length in sorted(set(values))]
