"""Training one network on many scans: simulated ones with their truth, real ones by what explains their signal."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from shd.engines import ENGINES, set_engine
from shd.graphs.hemisphere import vertex_directions
from shd.models.config import ModelConfig
from shd.models.deconvolver import Deconvolver
from shd.scans.coherent_estimate import Coherence, estimate_scan, noise_pull
from shd.scans.features import SphericalFeatures
from shd.scans.fibre_features import FibreFeatures, fibre_feature_count
from shd.scans.first_estimate import design
from shd.scans.network_input import network_input
from shd.scans.tiles import Tile, mask_spans, tile_rows
from shd.scans.trained_range import TrainedRange, range_of
from shd.signal.forward_model import forward_model
from shd.signal.response import TISSUES
from shd.training.distributed import Processes
from shd.training.examples import Example, ExampleTarget
from shd.training.losses.objective import LossWeights, Objective
from shd.training.losses.truth import truth_loss
from shd.training.optimisation import Optimisation
from shd.training.settings import default_device

__all__ = ["PopulationTraining", "Prepared", "TrainSettings"]


@dataclass(frozen=True)
class TrainSettings:
    """Settings of a training on many scans.

    steps: the budget; minutes: in its place, if given. batch: examples a step, over all processes. width, levels: of
    the network, as in `ModelConfig`. learning_rate: its peak; warm_up: part of the budget until it. averaging: decay of
    the running average of the weights that is kept. largest_gradient: norm to which gradients are cut. truth: weights
    of the terms "density", "root" and "tissues" of `TruthLoss`, for simulated scans. signal: weight of the loss without
    truth, in which the answer explains the signal: of real scans, and of simulated ones beside the truth. bfloat16:
    products in half precision. engine: one of `shd.engines.ENGINES`.
    """

    steps: int = 10_000
    batch: int = 2
    width: int = 16
    levels: int = 4
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warm_up: float = 0.02
    averaging: float = 0.999
    largest_gradient: float = 1.0
    truth: tuple[float, float, float] = (1.0, 1.0, 1.0)
    signal: float = 0.0
    tissues: tuple[str, ...] = TISSUES
    weights: LossWeights = field(default_factory=LossWeights)
    coherence: Coherence = field(default_factory=Coherence)
    device: str = field(default_factory=default_device)
    bfloat16: bool = False
    engine: str = "auto"
    seed: int = 0
    minutes: float | None = None

    def __post_init__(self) -> None:
        """Check what would fail later."""
        if self.engine not in ENGINES:
            raise ValueError(f"engine {self.engine!r}: use one of {', '.join(ENGINES)}")
        if min(self.steps, self.batch) < 1:
            raise ValueError(f"{self.steps} steps of {self.batch} examples: give at least 1 of each")
        if self.minutes is not None and self.minutes <= 0:
            raise ValueError(f"{self.minutes} minutes: give more than 0")

    @property
    def config(self) -> ModelConfig:
        """The network that is trained."""
        return ModelConfig(
            input_channels=fibre_feature_count(self.tissues),
            tissues=self.tissues,
            width=self.width,
            levels=self.levels,
            normalisation="voxel",
            features="fibre",
        )


@dataclass(frozen=True, eq=False)
class Prepared:
    """An example on the device. rows: of its box, −1 outside the mask. truth: fods and tissues, where they are known.

    objective: of the signal, where its loss has a weight. target: signal and noise that it is told, where they are not
    those that the network sees. seen: what the scan is like.
    """

    features: SphericalFeatures | FibreFeatures
    signal: Float[Tensor, "voxel volume"]
    estimates: Float[Tensor, "voxel scale unknown"]
    noise: Float[Tensor, " voxel"]
    mask: Float[Tensor, "1 x y z"]
    truth: tuple[Tensor, Tensor] | None
    objective: Objective | None
    target: tuple[Float[Tensor, "voxel target_volume"], Float[Tensor, " voxel"]] | None = None
    seen: TrainedRange | None = None


class _Scored(nn.Module):
    """A network together with its loss, as processes share it: its output holds all that gradients come from."""

    def __init__(
        self, network: Deconvolver, terms: Callable[[Deconvolver, Prepared], dict[str, Tensor]]
    ) -> None:
        super().__init__()
        self.network, self._terms = network, terms

    def forward(self, example: Prepared) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and all terms without their gradients."""
        terms = self._terms(self.network, example)
        return terms["loss"], {name: value.detach() for name, value in terms.items()}


class PopulationTraining:
    """Network, optimiser and losses of a training on many scans; where examples come from is not its business.

    `prepare` may run in other threads, ahead of `step`. prepared examples are used once. processes: that share the
    training, each with as many examples a step. build: makes the network; another one than ours is how rivals are
    trained on the same examples. seconds: of training, which the caller counts.
    """

    def __init__(
        self,
        settings: TrainSettings,
        processes: Processes = Processes(),  # frozen
        build: Callable[[ModelConfig], Deconvolver] = Deconvolver,
    ) -> None:
        self.settings, self.device, self._build = settings, torch.device(settings.device), build
        torch.manual_seed(settings.seed)
        self.optimisation = Optimisation(
            self.network,
            self.device,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            averaging=settings.averaging,
            warm_up=settings.warm_up,
        )
        self.vertices = vertex_directions(settings.config.nside, settings.config.hemisphere)
        self.against_truth = truth_loss(self.vertices, self.device)
        self.processes, self.seconds = processes, 0.0
        self._shared = processes.sharing(_Scored(self.optimisation.model, self.terms))

    @property
    def progress(self) -> float:
        """Part of the budget used, 0 to 1."""
        if self.settings.minutes is not None:
            return self.seconds / (60 * self.settings.minutes)
        return self.optimisation.steps_done / self.settings.steps

    def network(self) -> Deconvolver:
        """Return a network with random weights."""
        network = self._build(self.settings.config)
        set_engine(network, self.settings.engine)
        return network

    def prepare(self, example: Example) -> Prepared:
        """Return an example with its estimates, on the device, its box cut to the mask."""
        scan, responses, config = example.scan, example.responses, self.settings.config
        features = network_input(config, responses, scan.gradients, self.vertices, example.noise, self.device)
        estimates = example.estimates
        if estimates is None:
            estimates = estimate_scan(
                scan, responses, self.vertices, self.device, coherence=self.settings.coherence, noise=example.noise
            )
        spans = mask_spans(scan.rows, config.spatial_factor)
        factor = config.spatial_factor
        start, shape = zip(*((a, -(-(b - a) // factor) * factor) for a, b in spans), strict=True)
        rows = tile_rows(scan.rows, Tile(start, shape))
        inside = rows >= 0
        chosen = rows[inside]

        def there(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array[chosen])).to(self.device)

        known, better = example.truth, example.target
        truth = (there(known.fods), there(known.tissues)) if known else None
        target = (there(better.scan.signal), there(better.noise)) if better else None
        mask = torch.from_numpy(inside.astype(np.float32))[None].to(self.device)
        objective = self._objective(better or example) if self.settings.signal else None
        return Prepared(
            features, there(scan.signal), there(estimates).float(), there(example.noise), mask, truth, objective,
            target, range_of(scan, responses, example.noise),
        )  # fmt: skip

    def _objective(self, measured: Example | ExampleTarget) -> Objective:
        gradients, responses = measured.scan.gradients, measured.responses
        weighted = torch.from_numpy(np.concatenate([s.volumes for s in gradients.weighted_shells])).to(self.device)
        forward = forward_model(responses, gradients, self.vertices).to(self.device)
        pull = noise_pull(design(responses, gradients, self.vertices), self.vertices, 1.0)
        settings = self.settings
        return Objective(forward, self.vertices, weighted, settings.weights, 8, pull, settings.coherence)

    def terms(self, model: Deconvolver, example: Prepared) -> dict[str, Tensor]:
        """Return the loss of one example and its terms."""
        fields = example.features(example.signal, example.estimates, example.noise, example.mask)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bfloat16):
            fractions = model(fields, example.mask.unsqueeze(-1)).of(example.features.answers)
        del fields
        fractions = replace(fractions, wm=fractions.wm.float(), isotropic=fractions.isotropic.float())
        loss: Tensor = example.signal.new_zeros(())
        terms: dict[str, Tensor] = {}
        if example.truth is not None:
            inside = example.mask.flatten().nonzero().squeeze(1)
            wm = fractions.wm.flatten(1).index_select(1, inside)
            isotropic = fractions.isotropic.flatten(0, 3).index_select(0, inside)
            terms |= self.against_truth.terms(wm, isotropic, *example.truth)
            loss = loss + sum(w * t for w, t in zip(self.settings.truth, terms.values(), strict=True))
        if example.objective is not None:
            scored = torch.ones(len(example.signal), dtype=torch.bool, device=self.device)
            signal, noise = example.target or (example.signal, example.noise)
            found = example.objective.terms(fractions, signal, example.mask, scored, noise)
            loss = loss + self.settings.signal * found.pop("loss")
            terms |= found
        return {"loss": loss, **terms}

    def step(self, examples: Sequence[Prepared]) -> list[dict[str, Tensor]]:
        """Train on the mean over the examples of all processes; return the terms of this one's, still on the device."""
        self.optimisation.begin(self.progress)
        rows = []
        for number, example in enumerate(examples, 1):
            with self._apart() if number < len(examples) else nullcontext():
                loss, terms = self._shared(example)
                (loss / len(examples)).backward()
            rows.append(terms)
        self.optimisation.finish(self.settings.largest_gradient)
        return rows

    def _apart(self) -> AbstractContextManager[None]:
        """Return a context in which gradients add up in this process alone."""
        return self._shared.no_sync() if isinstance(self._shared, DistributedDataParallel) else nullcontext()

    @torch.no_grad()
    def validate(self, examples: Sequence[Prepared]) -> list[dict[str, float]]:
        """Return the terms of each example for the averaged weights."""
        found = (self.terms(self.optimisation.average, example) for example in examples)
        return [{name: float(value) for name, value in terms.items()} for terms in found]
