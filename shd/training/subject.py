"""Training on one scan: a sequence of steps that can be stopped after any of them and taken up again."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from shd.engines import set_engine
from shd.errors import CheckpointError
from shd.graphs.hemisphere import vertex_directions
from shd.models.config import ModelConfig
from shd.models.deconvolver import Deconvolver
from shd.scans.coherent_estimate import relative_noise
from shd.scans.features import feature_count
from shd.scans.normalisation import NormalisedScan
from shd.scans.tiles import random_tile, tile_rows, tile_shape
from shd.signal.response import Response
from shd.training.optimisation import Optimisation
from shd.training.settings import FitSettings
from shd.training.view import View, held_out_parts, make_view

__all__ = ["SubjectTraining"]


class SubjectTraining:
    """Network, optimiser and data of one fit.

    `step` trains on one batch of tiles and returns the loss terms; `validate` scores the averaged weights on the
    held-out voxels and remembers the best. `state` and `load_state` carry everything that another process needs to go
    on. on_estimate: told how many voxels each piece of work on the estimates was worth, all together as many as there
    are, while the object is made. build: makes the network; another one than ours is how rivals are trained on the same
    data, losses and budget. start: trained network to begin with.

    views: what is seen and what is predicted, in turn; none where no shell can spare a part, and then there is nothing
    to train on.
    """

    def __init__(
        self,
        scan: NormalisedScan,
        responses: tuple[Response, ...],
        settings: FitSettings,
        on_estimate: Callable[[int | float], None] = lambda voxels: None,
        build: Callable[[ModelConfig], Deconvolver] = Deconvolver,
        start: Deconvolver | None = None,
    ) -> None:
        self.scan, self.settings, self._build = scan, settings, build
        device = torch.device(settings.device)
        self.device = device
        torch.manual_seed(settings.seed)
        self.config = start.config if start else _config(scan, responses, settings)
        vertices = vertex_directions(self.config.nside, self.config.hemisphere)
        self.optimisation = Optimisation(
            self._network,
            device,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            averaging=settings.averaging,
            warm_up=settings.warm_up,
            start=start,
        )
        self.best = {name: value.clone() for name, value in self.optimisation.average.state_dict().items()}
        self.best_loss = float("inf")
        self.noise = relative_noise(scan)
        known = (scan, responses, self.config, vertices, self.noise, settings)
        whole = make_view(*known, on_estimate=on_estimate)
        self.estimates = whole.estimates
        unseen = held_out_parts(scan, settings.parts)
        self.views = tuple(make_view(*known, part, on_estimate) for part in unseen) if settings.parts else (whole,)
        self.fingerprint = _fingerprint(scan, responses, settings)
        self.generator = np.random.default_rng(settings.seed)
        self.voxels = scan.voxels
        self.held_out = self.generator.random(len(self.voxels)) < settings.held_out
        self.shape = tile_shape(scan.rows.shape, settings.tile, self.config.spatial_factor)
        self.validation_tiles = self._draw(4)
        self.seconds = 0.0
        self.history: list[dict[str, float]] = []

    def _network(self) -> Deconvolver:
        network = self._build(self.config)
        set_engine(network, self.settings.engine)
        network.unet.recompute = self.settings.recompute
        return network

    @property
    def steps_done(self) -> int:
        """How many steps were taken."""
        return self.optimisation.steps_done

    @property
    def progress(self) -> float:
        """Part of the budget used, 0 to 1."""
        if self.settings.steps is not None:
            return self.steps_done / self.settings.steps
        assert self.settings.minutes is not None
        return self.seconds / (60 * self.settings.minutes)

    def _draw(self, count: int) -> Int[np.ndarray, "tile tx ty tz"]:
        tiles = (random_tile(self.scan.rows, self.voxels, self.shape, self.generator) for _ in range(count))
        return np.stack([tile_rows(self.scan.rows, tile) for tile in tiles])

    def _terms(
        self, model: Deconvolver, view: View, rows: Int[np.ndarray, "tile tx ty tz"], held_out: bool
    ) -> dict[str, Tensor]:
        """Return the loss terms of tiles; `held_out` chooses the voxels that are scored, all where there are none."""
        inside = rows >= 0
        chosen = rows[inside]
        signal = torch.from_numpy(self.scan.signal[chosen]).to(self.device)
        mask = torch.from_numpy(inside.astype(np.float32)).to(self.device)
        chosen_voxels = self.held_out[chosen] == held_out
        # a mean over no voxel is NaN, and one NaN ends the training: a tile may hold just one voxel, a mask a few
        scored = torch.from_numpy(chosen_voxels | (not chosen_voxels.any())).to(self.device)
        estimates = torch.from_numpy(view.estimates[chosen]).to(self.device).float()
        noise = torch.from_numpy(self.noise[chosen]).to(self.device)
        fields = view.features(signal[:, view.seen], estimates, noise, mask)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bfloat16):
            fractions = model(fields, mask.unsqueeze(-1)).of(view.features.answers)
        return view.objective.terms(fractions, signal, mask, scored, noise)

    def step(self) -> dict[str, float]:
        """Train on one batch of random tiles; return the loss and its terms."""
        started = time.perf_counter()
        self.optimisation.begin(self.progress)
        view = self.views[self.steps_done % len(self.views)]
        terms = self._terms(self.optimisation.model, view, self._draw(self.settings.batch), held_out=False)
        terms["loss"].backward()
        self.optimisation.finish()
        self.seconds += time.perf_counter() - started
        values = torch.stack([value.detach() for value in terms.values()]).tolist()  # one wait for the device
        return dict(zip(terms, values, strict=True))

    @torch.no_grad()
    def validate(self) -> float:
        """Return the loss of the averaged weights on held-out voxels; keep the weights if it is the lowest so far."""
        started = time.perf_counter()
        average = self.optimisation.average
        found = [self._terms(average, view, self.validation_tiles, held_out=True)["loss"] for view in self.views]
        loss = float(torch.stack(found).mean())
        if loss < self.best_loss:
            self.best_loss = loss
            for name, value in average.state_dict().items():
                self.best[name].copy_(value)
        self.seconds += time.perf_counter() - started
        return loss

    def best_model(self) -> Deconvolver:
        """Return a network with the best weights, ready for inference."""
        model = self._build(self.config).to(self.device)
        model.load_state_dict(self.best)
        return model.eval()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors and plain numbers from which `load_state` goes on, in this process or another."""
        tensors = self.optimisation.tensors() | {f"best.{name}": value for name, value in self.best.items()}
        numbers = {
            "fingerprint": self.fingerprint,
            "steps_done": self.steps_done,
            "seconds": self.seconds,
            "best_loss": self.best_loss,
            "history": self.history,
            "generator": self.generator.bit_generator.state,
        }
        return tensors, numbers

    def load_state(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Take up training where `state` was called.

        Raises CheckpointError where the state belongs to another scan, other responses or other settings.
        """
        if numbers["fingerprint"] != self.fingerprint:
            raise CheckpointError(
                f"the unfinished fit (fingerprint {numbers['fingerprint']}) had other data or settings than this one "
                f"({self.fingerprint}); give --force to start anew, or another --out"
            )

        there = {name: value.to(self.device) for name, value in tensors.items()}
        self.optimisation.load(there, numbers["steps_done"])
        self.best = {name.removeprefix("best."): value for name, value in there.items() if name.startswith("best.")}
        self.seconds = numbers["seconds"]
        self.best_loss, self.history = numbers["best_loss"], numbers["history"]
        self.generator.bit_generator.state = numbers["generator"]


def _config(scan: NormalisedScan, responses: tuple[Response, ...], settings: FitSettings) -> ModelConfig:
    """Return a network for this protocol alone."""
    tissues = tuple(response.tissue for response in responses)
    return ModelConfig(
        input_channels=feature_count(responses, scan.gradients),
        tissues=tissues,
        width=settings.width,
        kernel=settings.kernel,
        levels=settings.levels,
        spatial_poolings=settings.spatial_poolings,
        normalisation=settings.normalisation,
    )


def _fingerprint(scan: NormalisedScan, responses: tuple[Response, ...], settings: FitSettings) -> str:
    """Return a short name of everything that shapes a fit; where it runs is no part of it."""
    digest = hashlib.sha256(repr(replace(settings, threads=1, device="cpu", engine="auto", recompute=False)).encode())
    for array in (scan.signal, scan.b0, scan.gradients.directions, *(r.coefficients for r in responses)):
        digest.update(np.ascontiguousarray(array).data.cast("B"))  # a brain's signal is not copied for it
    return digest.hexdigest()[:12]
