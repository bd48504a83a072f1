"""The U-Net by every system, with equal weights: inference and training step.

    python -m benchmarks.unet [--width 32] [--levels 4] [--channels 9] [--voxels 8] [--threads 2]

The published networks are SHD (dense polynomials, conv3d) and RT-ESD (whole sphere, sparse recurrence, conv3d); ours is
`shd.models.unet.UNet` of the same configuration on each engine. Inference: evaluation mode, no gradients. Training
step: forward, backward and AdamW. The error is that of the network's answer against double precision, in the mode of
the table: in training the statistics of its batch norms are the batch's.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from benchmarks.harness import tables
from benchmarks.harness.cases import Case, Work
from benchmarks.harness.entry import option_parser, prepare, show, store
from benchmarks.harness.precision import built_in
from benchmarks.layer_systems import FAST_ENGINES, RIVAL, TRUTH
from benchmarks.published.layout import from_published, to_published
from benchmarks.published.unet import PublishedUNet, copy_weights
from shd.engines import set_engine
from shd.graphs.hemisphere import vertex_count
from shd.models.config import ModelConfig
from shd.models.unet import UNet

COLUMNS = (tables.ERROR, tables.RATE, tables.MEMORY)


@dataclass(frozen=True)
class Network:
    """A way to compute the U-Net: by `engine`, or by the published system where that is None."""

    name: str
    engine: str | None = None
    hemisphere: bool = True
    bfloat16: bool = False


NETWORKS = (
    Network(RIVAL),
    Network("published SHD, bfloat16", bfloat16=True),
    Network("RT-ESD, float32", hemisphere=False),
    Network("RT-ESD, bfloat16", hemisphere=False, bfloat16=True),
    *(Network(f"shd {name}, {'bfloat16' if half else 'float32'}", name, bfloat16=half)
      for name in FAST_ENGINES for half in (False, True)),
)  # fmt: skip


class UNetProblem:
    """Configuration, input and weights that all systems share."""

    def __init__(self, config: ModelConfig, voxels: int) -> None:
        self.config, self.voxels = config, voxels
        torch.manual_seed(0)
        self.weights = {name: value.clone() for name, value in UNet(config).state_dict().items()}
        self._known: dict[tuple[bool, bool], Tensor] = {}

    def input(self, hemisphere: bool) -> Tensor:
        """Return (vertex, 1, x, y, z, channel), the same at every call."""
        generator = torch.Generator().manual_seed(1)
        vertices, side = vertex_count(self.config.nside, hemisphere), self.voxels
        return torch.randn(vertices, 1, side, side, side, self.config.input_channels, generator=generator)

    def ours(self, engine: str, hemisphere: bool, dtype: torch.dtype) -> nn.Module:
        """Return shd's network."""
        config = replace(self.config, hemisphere=hemisphere)
        network = built_in(dtype, lambda: UNet(config), self.weights)
        set_engine(network, engine)
        return network

    def published(self, hemisphere: bool) -> nn.Module:
        """Return the published network with shd's weights."""
        config = replace(self.config, hemisphere=hemisphere)
        ours, theirs = UNet(config), PublishedUNet(config)
        ours.load_state_dict(self.weights)
        copy_weights(ours, theirs)
        return theirs

    def expected(self, hemisphere: bool, training: bool) -> list[Tensor]:
        """Return the answer in double precision."""
        key = (hemisphere, training)
        if key not in self._known:
            network = self.ours(TRUTH, hemisphere, torch.float64).train(training)
            x = self.input(hemisphere).double()
            with torch.no_grad():
                self._known[key] = network(x, torch.ones(1, *x.shape[2:5], 1, dtype=torch.float64))
        return [self._known[key]]

    def case(self, system: Network, training: bool) -> Case:
        """Return the row of one system."""
        return Case(system.name, lambda: self._work(system, training))

    def _work(self, system: Network, training: bool) -> Work:
        x = self.input(system.hemisphere)
        if system.engine is None:
            network, own = self.published(system.hemisphere), to_published(x)
            forward, in_our_order = lambda: network(own), from_published
        else:
            network, mask = self.ours(system.engine, system.hemisphere, torch.float32), torch.ones(1, *x.shape[2:5], 1)
            forward, in_our_order = lambda: network(x, mask), lambda y: y
        network.train(training)
        forward = _in_precision(forward, system.bfloat16)
        return Work(
            call=training_step(network, forward) if training else torch.no_grad()(forward),
            answer=lambda: [in_our_order(torch.no_grad()(forward)())],
            expected=lambda: self.expected(system.hemisphere, training),
            amount=float(self.voxels**3),
        )


def _in_precision(forward: Callable[[], Tensor], bfloat16: bool) -> Callable[[], Tensor]:
    return torch.autocast("cpu", torch.bfloat16, enabled=bfloat16)(forward)


def training_step(network: nn.Module, forward: Callable[[], Tensor]) -> Callable[[], None]:
    """Return a step of AdamW on the answer's mean square, a loss that costs next to nothing."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def step() -> None:
        loss = forward().float().square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return step


def main(options: Sequence[str] = ()) -> None:
    """Print one table for inference, one for the training step."""
    parser = option_parser(__doc__)
    parser.add_argument("--width", type=int, default=32, help="channels at the finest level, doubled at each other")
    parser.add_argument("--levels", type=int, default=4)
    parser.add_argument("--nside", type=int, default=8)
    parser.add_argument("--channels", type=int, default=9, help="of the input")
    parser.add_argument("--voxels", type=int, default=8, help="along each side of the cube")
    arguments = parser.parse_args(options)
    prepare(arguments.threads)
    config = ModelConfig(arguments.channels, nside=arguments.nside, width=arguments.width, levels=arguments.levels)
    problem, results = UNetProblem(config, arguments.voxels), {}
    size = f"{config.input_channels} → {config.width} channels, nside {config.nside}, {config.levels} levels"
    for mode, training in {"inference": False, "training step": True}.items():
        title = f"U-Net, {mode}: {size}, {arguments.voxels}³ voxels, {arguments.threads} threads"
        cases = (problem.case(system, training) for system in NETWORKS)
        results[title] = show(title, cases, COLUMNS, rival=RIVAL)
    store(arguments, results)


if __name__ == "__main__":
    main(sys.argv[1:])
