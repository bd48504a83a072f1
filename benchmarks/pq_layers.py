"""Layers over p-q-space beside a plain 3-D convolution of equal width: time, memory, error.

    python -m benchmarks.pq_layers [--samples 21] [--voxels 12] [--kernel 3] [--threads 2]

The plain convolution has as many channels as the layer has numbers a voxel: q-space samples times components. Each
kernel is built anew in every call, as in a training step. Layers whose kernel is in two factors appear three times:
folded into one convolution, applied factor by factor, and as the layer itself does by its plan (docs/pq.md), with the
multiplications of each in thousands a voxel. The samples are one of b=0 and the others of one shell. The error is
against the same in double precision.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.harness import tables
from benchmarks.harness.cases import Case, Work
from benchmarks.harness.entry import option_parser, prepare, show, store
from shd.models.pq.contraction import factored_convolution, folded_convolution
from shd.models.pq.convolution import PQConvolution
from shd.models.pq.fields import FieldType
from shd.models.pq.gate import Gate
from shd.models.pq.plan import Block, Sizes, factored_multiplications, folded_multiplications

PASSES = {"forward": False, "forward and backward": True}
SEPARABLE = (("tp", "same_q"), ("p", "q"), ("p",))
CHANNELS_IN, CHANNELS_OUT = FieldType((7, 4)), Gate(FieldType((10, 5))).type_in


@dataclass(frozen=True)
class Problem:
    """q-space samples, voxels a side of the image and of the kernel."""

    samples: int
    voxels: int
    kernel: int

    @property
    def q(self) -> Tensor:
        """b=0 and random directions."""
        directions = torch.randn(self.samples, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        directions /= directions.norm(dim=1, keepdim=True)
        directions[0] = 0.0
        return directions

    def field(self, components: int) -> Tensor:
        """Return a random field."""
        shape = (1, self.samples, components, *3 * [self.voxels])
        return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def plain_case(problem: Problem, backward: bool) -> Case:
    """Return the row of torch's convolution of equal width."""

    def build() -> Work:
        torch.manual_seed(0)
        widths = (problem.samples * fields.dimension for fields in (CHANNELS_IN, CHANNELS_OUT))
        layer = nn.Conv3d(*widths, problem.kernel, padding=problem.kernel // 2)
        return _work(layer, layer, problem.field(CHANNELS_IN.dimension).flatten(1, 2), backward)

    return Case("plain convolution", build)


def layer_case(problem: Problem, angular: Sequence[str], way: str, backward: bool) -> Case:
    """Return the row of a layer, by one of the ways to apply its kernel."""

    def build() -> Work:
        torch.manual_seed(0)
        layer = PQConvolution(CHANNELS_IN, CHANNELS_OUT, problem.kernel, problem.q, problem.q, angular=angular)
        padding = problem.kernel // 2
        ways = {
            "folded": lambda x: folded_convolution(x, layer.dense_kernel(), 1, padding),
            "factored": lambda x: factored_convolution(x, layer.factors(), 1, padding),
            "as planned": layer,
        }
        return _work(layer, ways[way], problem.field(CHANNELS_IN.dimension), backward)

    return Case(f"{' + '.join(angular)}, {way}", build)


def _work(layer: nn.Module, apply: Callable[[Tensor], Tensor], x: Tensor, backward: bool) -> Work:
    def call() -> Sequence[Tensor]:
        here = x.detach().to(next(layer.parameters()).dtype, copy=True).requires_grad_(backward)
        with torch.set_grad_enabled(backward):
            y = apply(here)
        if not backward:
            return (y,)
        layer.zero_grad()
        y.square().sum().backward()
        return (y, here.grad, *(weight.grad for weight in layer.parameters() if weight.grad is not None))

    def in_double() -> Sequence[Tensor]:
        layer.double()
        truth = [tensor.detach().clone() for tensor in call()]
        layer.float()
        return truth

    return Work(call, lambda: [tensor.detach().clone() for tensor in call()], in_double)


def multiplications(problem: Problem) -> str:
    """Return how many thousand multiplications a voxel each way needs, as a table."""
    rows = ["| bases | functions of q, their harmonics | folded | factored | as planned |", "|---|---|---|---|---|"]
    for angular in SEPARABLE:
        layer = PQConvolution(CHANNELS_IN, CHANNELS_OUT, problem.kernel, problem.q, problem.q, angular=angular)
        every = list(range(problem.samples))
        counts = [
            sum(_count(block, layer.sizes) for block in blocks)
            for blocks in ([Block(every, every, False, False)], [Block(every, every, False, True)], layer.blocks)
        ]
        functions = f"{layer.sizes.functions}, {layer.sizes.harmonics}"
        rows.append(f"| {' + '.join(angular)} | {functions} | {' | '.join(f'{c / 1000:.0f}' for c in counts)} |")
    return "\n".join(rows)


def _count(block: Block, sizes: Sizes) -> int:
    out, into = len(block.out), len(block.into)
    if not block.factored:
        return folded_multiplications(out, into, sizes)
    return factored_multiplications(out, into, sizes.harmonics if block.one_length else sizes.functions, sizes)


def main(options: Sequence[str] = ()) -> None:
    """Print the counts, then one table for the forward pass and one with the backward pass."""
    parser = option_parser(__doc__)
    parser.add_argument("--samples", type=int, default=21, help="of q-space, b=0 included")
    parser.add_argument("--voxels", type=int, default=12, help="along each side of the image")
    parser.add_argument("--kernel", type=int, default=3, help="voxels along each side of the kernel")
    arguments = parser.parse_args(options)
    prepare(arguments.threads)
    problem = Problem(arguments.samples, arguments.voxels, arguments.kernel)
    sizes = (
        f"{CHANNELS_IN} → {CHANNELS_OUT}, {problem.samples} samples, {problem.kernel}³ taps, {problem.voxels}³ voxels"
    )
    print(f"thousand multiplications a voxel, {sizes}\n\n{multiplications(problem)}")
    results = {}
    for passes, backward in PASSES.items():
        cases = [plain_case(problem, backward), layer_case(problem, ("pq_diff",), "folded", backward)]
        for angular in SEPARABLE:
            cases += [layer_case(problem, angular, way, backward) for way in ("folded", "factored", "as planned")]
        title = f"Layers over p-q-space, {passes}: {sizes}, {arguments.threads} threads"
        results[title] = show(title, cases, (tables.ERROR, tables.MEMORY), rival="plain convolution")
    store(arguments, results)


if __name__ == "__main__":
    main(sys.argv[1:])
