"""On a GPU: a layer and the U-Net in three precisions, with fused kernels and without them.

    python -m benchmarks gpu [--voxels 24] [--nside 8] [--channels-in 32] [--channels-out 64] [--width 32] [--levels 4]

A layer is a block of the network: mixing, normalisation, activation; it starts and ends in the eigenbasis. The shares
are of what the card was measured to do at best: a copy, and square matrix products in the row's precision. They count
what the function itself has to do, in convolutions and activations alone: each reads its input and writes its output
once, the transforms are dense, and the backward pass does twice the forward one's work. The error is that of the
forward pass against double precision. Kernels are compiled before the clock runs. Peak memory is the card's.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.harness import tables
from benchmarks.harness.cases import Case, Result, Work
from benchmarks.harness.entry import option_parser, show, store
from benchmarks.harness.timing import Patience, measure
from shd.engines import fused, set_engine
from shd.engines.eigenbasis import EigenbasisEngine
from shd.graphs.hierarchy import sphere_hierarchy
from shd.models.blocks import ConvolutionBlock
from shd.models.config import ModelConfig
from shd.models.unet import UNet

PATIENCE = Patience(seconds=0.4, least=3, most=3.0, warm_up=0.1)
SIDE = 8192  # of the square matrices whose product is timed
PRECISIONS = ("float32", "TF32", "bfloat16")


@dataclass(frozen=True)
class Mode:
    """A precision, with fused kernels or without them."""

    precision: str
    fuse: bool

    @property
    def name(self) -> str:
        return f"{self.precision}, {'fused' if self.fuse else 'torch alone'}"

    @contextmanager
    def on(self) -> Iterator[None]:
        """Compute in this mode."""
        before, torch.backends.cuda.matmul.allow_tf32 = torch.backends.cuda.matmul.allow_tf32, self.precision == "TF32"
        switch, os.environ["SHD_FUSED"] = os.environ.get("SHD_FUSED"), str(int(self.fuse))
        try:
            with torch.autocast("cuda", torch.bfloat16, enabled=self.precision == "bfloat16"):
                yield
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before
            if switch is None:
                del os.environ["SHD_FUSED"]
            else:
                os.environ["SHD_FUSED"] = switch


MODES = tuple(Mode(precision, fuse) for precision in PRECISIONS for fuse in (False, True))


def finished(call: Callable[[], object]) -> Callable[[], None]:
    """Return the call with a wait for the card, so that a clock sees all of it."""

    def run() -> None:
        call()
        torch.cuda.synchronize()

    return run


def measured_rates() -> tuple[float, dict[str, float]]:
    """Return bytes a second of a copy (read and written), and operations a second of matrix products by precision."""
    source = torch.ones(2**28, device="cuda")
    target = torch.empty_like(source)
    bandwidth = 2 * 4 * source.numel() / measure(finished(lambda: target.copy_(source)), PATIENCE).fastest
    matrix, products = torch.randn(SIDE, SIDE, device="cuda"), {}
    for precision in PRECISIONS:
        with Mode(precision, False).on():
            seconds = measure(finished(lambda: torch.mm(matrix, matrix)), PATIENCE).fastest
        products[precision] = 2.0 * SIDE**3 / seconds
    return bandwidth, products


@dataclass
class Problem:
    """A network or a layer on the card, its input, and how to run it.

    blocks: (vertices, voxels, channels in, channels out) of every convolution.
    """

    module: nn.Module
    source: Tensor
    run: Callable[[nn.Module, Tensor], Tensor]
    voxels: int
    blocks: list[tuple[int, int, int, int]]
    truth: Tensor | None = None

    def expected(self) -> list[Tensor]:
        """Return the answer in double precision."""
        if self.truth is None:
            with torch.no_grad():
                self.truth = self.run(self.module.double(), self.source.double()).float()
            self.module.float()
            torch.cuda.empty_cache()
        return [self.truth.double()]

    def answer(self, mode: Mode) -> list[Tensor]:
        with torch.no_grad(), mode.on():
            return [self.run(self.module, self.source)]

    def forward(self, mode: Mode) -> None:
        self.answer(mode)

    def both(self, mode: Mode) -> None:
        """Run forward and backward."""
        source = self.source.detach().requires_grad_()
        with mode.on():
            found = self.run(self.module, source)
            found.backward(torch.ones_like(found))
        self.module.zero_grad(set_to_none=True)

    def traffic(self, width: int) -> float:
        """Return the bytes of one pass: inputs, and each output written, read and written as activations."""
        return float(sum(width * vertices * voxels * (a + 3 * b) for vertices, voxels, a, b in self.blocks))

    def operations(self) -> float:
        """Return the operations of one pass: channel mixing, and to the vertices and back."""
        each = (2.0 * vertices * voxels * (4 * a * b + 2 * vertices * b) for vertices, voxels, a, b in self.blocks)
        return sum(each)

    def case(self, mode: Mode, backward: bool, bandwidth: float) -> Case:
        """Return a row."""
        return Case(mode.name, lambda: self._work(mode, backward, bandwidth))

    def _work(self, mode: Mode, backward: bool, bandwidth: float) -> Work:
        reason = fused.why_not_fused(torch.device("cuda"))
        if mode.fuse and reason is not None:
            raise RuntimeError(reason)
        call = finished(lambda: (self.both if backward else self.forward)(mode))
        call()  # compiles

        def memory() -> int:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            call()
            return torch.cuda.max_memory_allocated()

        width = 2 if mode.precision == "bfloat16" else 4
        return Work(
            call=call,
            answer=lambda: self.answer(mode),
            expected=self.expected,
            floor=(3 if backward else 1) * self.traffic(width) / bandwidth,
            amount=float(self.voxels),
            memory=memory,
        )


def layer_problem(nside: int, inputs: int, outputs: int, side: int) -> Problem:
    """Return one convolution block, normalised voxel by voxel."""
    level, engine = sphere_hierarchy(nside, 1).levels[0], EigenbasisEngine()
    torch.manual_seed(0)
    block = ConvolutionBlock(level, inputs, outputs, ModelConfig(inputs, normalisation="voxel")).cuda()
    source = torch.randn(level.vertices, 1, side, side, side, inputs, device="cuda")

    def run(module: nn.Module, x: Tensor) -> Tensor:
        x = x.to(torch.get_autocast_dtype("cuda")) if torch.is_autocast_enabled("cuda") else x
        return module([x], x.new_ones(1, side, side, side, 1, dtype=module.convolution.weight.dtype), engine)

    return Problem(block, source, run, side**3, [(level.vertices, side**3, inputs, outputs)])


def unet_problem(config: ModelConfig, side: int) -> Problem:
    """Return the U-Net on a cube."""
    torch.manual_seed(0)
    network = UNet(config).cuda()
    set_engine(network, "torch")
    vertices = [level.vertices for level in network.levels]
    source = torch.randn(vertices[0], 1, side, side, side, config.input_channels, device="cuda")
    blocks = []
    for part in network.modules():
        if isinstance(part, ConvolutionBlock):
            depth = vertices.index(part.convolution.level.vertices)
            voxels = side**3 // 8 ** min(depth, config.spatial_poolings)
            blocks.append((vertices[depth], voxels, *part.convolution.weight.shape[2:]))

    def run(module: nn.Module, x: Tensor) -> Tensor:
        return module(x, x.new_ones(1, side, side, side, 1))

    return Problem(network, source, run, side**3, blocks)


def columns(problem: Problem, backward: bool, products: dict[str, float]) -> list[tables.Column]:
    """Return the columns of a table; the last two are shares of what the card can do."""

    def of_products(result: Result) -> str | None:
        rate = products[result.name.partition(",")[0]]
        work = (3 if backward else 1) * problem.operations()
        return None if result.timing is None else f"{100 * work / rate / result.timing.median:.0f} %"

    def of_bandwidth(result: Result) -> str | None:
        ready = result.timing is not None and result.floor is not None
        return f"{100 * result.floor / result.timing.median:.0f} %" if ready else None

    shares = [tables.Column("of bandwidth", of_bandwidth), tables.Column("of matrix products", of_products)]
    return [tables.RATE, tables.ERROR, tables.MEMORY, *shares]


def main(options: Sequence[str] = ()) -> None:
    """Print two tables for the layer and two for the U-Net."""
    parser = option_parser(__doc__)
    parser.add_argument("--voxels", type=int, default=24, help="along each side of the cube")
    parser.add_argument("--nside", type=int, default=8)
    parser.add_argument("--channels-in", type=int, default=32, help="of the layer")
    parser.add_argument("--channels-out", type=int, default=64, help="of the layer")
    parser.add_argument("--channels", type=int, default=9, help="of the U-Net's input")
    parser.add_argument("--width", type=int, default=32, help="of the U-Net")
    parser.add_argument("--levels", type=int, default=4, help="of the U-Net")
    given = parser.parse_args(options)
    if not torch.cuda.is_available():
        sys.exit("error: this benchmark needs a CUDA device and torch sees none; use layer, unet or step on a CPU")
    bandwidth, products = measured_rates()
    rates = ", ".join(f"{name} {rate / 1e12:.0f} TFLOP/s" for name, rate in products.items())
    print(f"{torch.cuda.get_device_name()}: copy {bandwidth / 1e12:.2f} TB/s; matrix products {rates}")
    config = ModelConfig(
        given.channels, nside=given.nside, width=given.width, levels=given.levels, normalisation="voxel"
    )
    layer = f"{given.channels_in} → {given.channels_out} channels, nside {given.nside}"
    network = f"width {given.width}, {given.levels} levels, nside {given.nside}"
    problems = {
        f"Layer, {layer}": lambda: layer_problem(given.nside, given.channels_in, given.channels_out, given.voxels),
        f"U-Net, {network}": lambda: unet_problem(config, given.voxels),
    }
    results = {}
    for name, build in problems.items():
        problem = build()
        for passes, backward in {"forward": False, "forward and backward": True}.items():
            title = f"{name}, {given.voxels}³ voxels, {passes}"
            cases = (problem.case(mode, backward, bandwidth) for mode in MODES)
            chosen = columns(problem, backward, products)
            results[title] = show(title, cases, chosen, rival=MODES[0].name, patience=PATIENCE)
        del problem
        torch.cuda.empty_cache()
    store(given, results)


if __name__ == "__main__":
    main(sys.argv[1:])
