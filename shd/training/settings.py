"""Every choice of a fit in one place, with defaults for the machine it runs on."""

from dataclasses import dataclass, field

import torch

from shd.engines import ENGINES
from shd.errors import SettingsError
from shd.scans.coherent_estimate import Coherence
from shd.training.losses.objective import LossWeights

__all__ = ["FitSettings", "default_device"]


def default_device() -> str:
    """Return "cuda" where a GPU is usable, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True)
class FitSettings:
    """Settings of a fit.

    minutes, steps: the budget, one of the two; steps makes the result independent of the machine's speed. width:
    channels at the finest level. tile: side of the training tiles in voxels. learning_rate: its peak; warm_up: part
    of the budget until it. averaging: decay of the running average of the weights that is kept. held_out: part of the
    mask's voxels that never enter the data term and choose the best weights. bfloat16: matrix products in bfloat16
    when training; quicker for wide networks, but less exact (docs/benchmarks.md). engine: one of
    `shd.engines.ENGINES`. recompute: activations are computed again in the backward pass instead of kept: a quarter
    less memory for large tiles. coherence: how the estimate that is corrected hears neighbours. start: the trained
    network that is adapted to the scan, "base", "small" or a file, whose shape then takes the place of width, levels
    and the like; "none" begins with a network that answers with the estimate. parts: of the directions; with 2 or more
    each part is predicted from the others (`shd.training.view`), with 0 the network sees all that it has to explain.
    """

    minutes: float | None = None
    steps: int | None = None
    width: int = 16
    tile: int = 8
    batch: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warm_up: float = 0.05
    averaging: float = 0.98
    held_out: float = 0.05
    validations: int = 12
    degree: int = 8
    normalisation: str = "voxel"
    kernel: int = 3
    spatial_poolings: int = 1
    levels: int = 3
    weights: LossWeights = field(default_factory=LossWeights)
    coherence: Coherence = field(default_factory=Coherence)
    device: str = field(default_factory=default_device)
    bfloat16: bool = False
    engine: str = "auto"
    recompute: bool = False
    threads: int = field(default_factory=torch.get_num_threads)
    start: str = "none"
    parts: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise SettingsError for a budget, a seed, a tile or an engine that cannot be."""
        if (self.minutes is None) == (self.steps is None):
            raise SettingsError(f"minutes {self.minutes} and steps {self.steps}: give one of the two")
        if self.minutes is not None and not self.minutes > 0:
            raise SettingsError(f"minutes {self.minutes}: give more than 0")
        if self.steps is not None and self.steps < 1:
            raise SettingsError(f"steps {self.steps}: give 1 or more")
        if self.tile < 2 or self.tile % 2:
            raise SettingsError(f"tile {self.tile}: give an even number from 2")
        if self.seed < 0:
            raise SettingsError(f"seed {self.seed}: give 0 or more")
        if self.threads < 1:
            raise SettingsError(f"threads {self.threads}: give 1 or more")
        if self.engine not in ENGINES:
            raise SettingsError(f"engine {self.engine!r}: give one of {', '.join(ENGINES)}")
