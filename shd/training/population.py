"""Training one network on many scans: simulated ones with their truth, real ones by what explains their signal."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from shd.engines import ENGINES
from shd.graphs.hemisphere import vertex_directions
from shd.models.config import ModelConfig
from shd.models.deconvolver import Deconvolver
from shd.scans.coherent_estimate import Coherence, estimate_scan, noise_pull
from shd.scans.fibre_features import FibreFeatures, fibre_feature_count
from shd.scans.features import SphericalFeatures
from shd.scans.first_estimate import design
from shd.scans.network_input import network_input
from shd.scans.tiles import Tile, mask_spans, tile_rows
from shd.signal.forward_model import forward_model
from shd.signal.response import TISSUES
from shd.training.examples import Example
from shd.training.losses.objective import LossWeights, Objective
from shd.training.losses.truth import truth_loss
from shd.training.optimisation import Optimisation
from shd.training.settings import default_device

__all__ = ["PopulationTraining", "Prepared", "TrainSettings"]


@dataclass(frozen=True)
class TrainSettings:
    """Settings of a training on many scans.

    steps: the budget. batch: examples a step, over all processes. width, levels: of the network, as in `ModelConfig`.
    learning_rate: its peak; warm_up: part of the budget until it. averaging: decay of the running average of the
    weights that is kept. largest_gradient: norm to which gradients are cut. truth: weights of the terms "density",
    "root" and "tissues" of `TruthLoss`, for simulated scans. signal: weight of the loss without truth, in which the
    answer explains the signal: of real scans, and of simulated ones beside the truth. bfloat16: products in half
    precision. engine: one of `shd.engines.ENGINES`.
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

    def __post_init__(self) -> None:
        """Check what would fail later."""
        if self.engine not in ENGINES:
            raise ValueError(f"engine {self.engine!r}: use one of {', '.join(ENGINES)}")
        if min(self.steps, self.batch) < 1:
            raise ValueError(f"{self.steps} steps of {self.batch} examples: give at least 1 of each")

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

    objective: of the signal, where its loss has a weight.
    """

    features: SphericalFeatures | FibreFeatures
    signal: Float[Tensor, "voxel volume"]
    estimates: Float[Tensor, "voxel scale unknown"]
    noise: Float[Tensor, " voxel"]
    mask: Float[Tensor, "1 x y z"]
    truth: tuple[Tensor, Tensor] | None
    objective: Objective | None


class PopulationTraining:
    """Network, optimiser and losses of a training on many scans; where examples come from is not its business.

    `prepare` may run in other threads, ahead of `step`. prepared examples are used once.
    """

    def __init__(self, settings: TrainSettings) -> None:
        self.settings, self.device = settings, torch.device(settings.device)
        torch.manual_seed(settings.seed)
        self.optimisation = Optimisation(
            settings.config,
            self.device,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            averaging=settings.averaging,
            warm_up=settings.warm_up,
            engine=settings.engine,
        )
        self.vertices = vertex_directions(settings.config.nside, settings.config.hemisphere)
        self.against_truth = truth_loss(self.vertices, self.device)

    @property
    def progress(self) -> float:
        """Part of the budget used, 0 to 1."""
        return self.optimisation.steps_done / self.settings.steps

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
        start, shape = zip(*((a, -(-(b - a) // config.spatial_factor) * config.spatial_factor) for a, b in spans), strict=True)
        rows = tile_rows(scan.rows, Tile(start, shape))
        inside = rows >= 0
        chosen = rows[inside]

        def there(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array[chosen])).to(self.device)

        truth = example.truth and (there(example.truth.fods), there(example.truth.tissues))
        mask = torch.from_numpy(inside.astype(np.float32))[None].to(self.device)
        objective = self._objective(example) if self.settings.signal else None
        return Prepared(
            features, there(scan.signal), there(estimates).float(), there(example.noise), mask, truth, objective
        )

    def _objective(self, example: Example) -> Objective:
        gradients = example.scan.gradients
        weighted = torch.from_numpy(np.concatenate([s.volumes for s in gradients.weighted_shells])).to(self.device)
        forward = forward_model(example.responses, gradients, self.vertices).to(self.device)
        pull = noise_pull(design(example.responses, gradients, self.vertices), self.vertices, 1.0)
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
            found = example.objective.terms(fractions, example.signal, example.mask, scored, example.noise)
            loss = loss + self.settings.signal * found.pop("loss")
            terms |= found
        return {"loss": loss, **terms}

    def step(self, examples: Sequence[Prepared]) -> list[dict[str, Tensor]]:
        """Train on the mean over some examples; return the terms of each, still on the device."""
        self.optimisation.begin(self.progress)
        rows = []
        for example in examples:
            terms = self.terms(self.optimisation.model, example)
            (terms["loss"] / len(examples)).backward()
            rows.append({name: value.detach() for name, value in terms.items()})
        self.optimisation.finish(self.settings.largest_gradient)
        return rows

    @torch.no_grad()
    def validate(self, examples: Sequence[Prepared]) -> list[dict[str, float]]:
        """Return the terms of each example for the averaged weights."""
        found = (self.terms(self.optimisation.average, example) for example in examples)
        return [{name: float(value) for name, value in terms.items()} for terms in found]
