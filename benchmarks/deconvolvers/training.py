"""Networks trained on one scan as ours is: inputs, heads, losses, schedule and budget are the same for all."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from benchmarks.deconvolvers.trunks.cnn import CNN
from benchmarks.deconvolvers.trunks.position_orientation import PositionOrientation
from benchmarks.deconvolvers.trunks.voxel_mlp import VoxelMLP
from benchmarks.deconvolvers.trunks.whole_sphere import esd, rt_esd
from shd.fitting.budget import default_settings
from shd.fitting.fit import Fit, fit
from shd.fodf.field import FodField
from shd.models.config import ModelConfig
from shd.models.deconvolver import Deconvolver
from shd.models.unet import Window
from shd.scans.scan import Scan
from shd.signal.response import Response
from shd.training.losses.objective import LossWeights

__all__ = ["NETWORKS", "PUBLISHED", "PUBLISHED_TV", "Budget", "Network", "maker", "train", "train_and_deconvolve"]

PUBLISHED = LossWeights(support=0.0, likeness=0.0, negativity=40.0, sparsity=0.005, variation=0.0)
"""The regularisers of Elaldi et al. (2024) without total variation, at weights in units of the noise."""

PUBLISHED_TV = replace(PUBLISHED, variation=1.2)
"""The same with total variation."""

Trunk = Callable[[ModelConfig, Float[np.ndarray, "3 3"]], nn.Module]
"""From the configuration and M with v_scanner = M·v_voxel to the module."""


@dataclass(frozen=True)
class Budget:
    """How long a network trains: minutes, or steps. seed: of its weights and of the tiles drawn."""

    minutes: float | None = None
    steps: int | None = None
    seed: int = 0

    def __str__(self) -> str:
        """Return it as a table shows it."""
        return f"{self.minutes:g} min" if self.steps is None else f"{self.steps} steps"


@dataclass(frozen=True)
class Network:
    """A network to train. trunk: what replaces our U-Net, None for ours. learning_rate: its peak, None for our own.

    engine: which of `shd.engines` it computes with; networks without our convolutions name "torch", which tells the
    boxes of the inference to be small.
    """

    trunk: Trunk | None = None
    learning_rate: float | None = None
    engine: str = "auto"


# Peak learning rates: the best for 400 steps on a crossing of 45° (docs/accuracy.md).
NETWORKS = {
    "mlp": Network(lambda config, _: VoxelMLP(config), 2e-3, "torch"),
    "cnn": Network(lambda config, _: CNN(config), 1e-3, "torch"),
    "esd": Network(lambda config, _: esd(config)),
    "rt-esd": Network(lambda config, _: rt_esd(config)),
    "ponita": Network(PositionOrientation, 2e-3, "torch"),
    "shd": Network(),
}


class RivalDeconvolver(Deconvolver):
    """Our inputs and heads around another network."""

    def __init__(self, config: ModelConfig, trunk: nn.Module) -> None:
        super().__init__(config)
        self.unet = trunk  # type: ignore[assignment]

    def trunk(self, given: list[Tensor], mask: Float[Tensor, "batch x y z 1"], window: Window | None) -> Tensor:
        """Return what the other network makes of the field."""
        found: Tensor = self.unet(given.pop(), mask, window)
        return found


def maker(network: Network, rotation: Float[np.ndarray, "3 3"]) -> Callable[[ModelConfig], Deconvolver]:
    """Return what builds the network, as `fit` takes it. rotation: M of the scan, v_scanner = M·v_voxel."""
    trunk = network.trunk
    return Deconvolver if trunk is None else lambda config: RivalDeconvolver(config, trunk(config, rotation))


def train(
    name: str, scan: Scan, responses: tuple[Response, ...], budget: Budget, *, weights: LossWeights | None
) -> Fit:
    """Return the fit of one of `NETWORKS`, trained on this scan alone with these regularisers, None for `shd fit`'s.

    With "shd" and None it is what `shd fit` does with that budget and seed.
    """
    network = NETWORKS[name]
    alone = name != "shd" or weights is not None  # rivals learn from the scan alone
    settings = default_settings(
        int(scan.mask.sum()), minutes=budget.minutes, steps=budget.steps, seed=budget.seed, engine=network.engine,
        start="none" if alone else None,
    )  # fmt: skip
    if network.learning_rate is not None:
        settings = replace(settings, learning_rate=network.learning_rate)
    if weights is not None:
        settings = replace(settings, weights=weights)
    return fit(scan, responses, settings, build=maker(network, scan.rotation))


def train_and_deconvolve(
    name: str, scan: Scan, responses: tuple[Response, ...], budget: Budget, *, weights: LossWeights | None
) -> FodField:
    """Return the fODFs of `train`."""
    return train(name, scan, responses, budget, weights=weights).fod
