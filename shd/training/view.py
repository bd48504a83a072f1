"""A scan as a network in training sees it, and the measurements that its answer is held to.

From nothing, a network sees all volumes and must explain them all; what keeps it from explaining the noise is what the
loss asks of neighbours. One that was trained with truth knows better than that loss. It is adapted to a scan by
predicting what it has not seen: a part of the directions of every shell from the others (as in cross-validation; for
noise that is independent between volumes, no answer does better than the noise-free signal: Batson and Royer, Proc.
Mach. Learn. Res. 97 (2019)).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float16, Int
from torch import Tensor

from shd.evaluation.even_subsets import even_subsets
from shd.models.config import ModelConfig
from shd.scans.coherent_estimate import estimate_scan, noise_pull
from shd.scans.features import SphericalFeatures
from shd.scans.fibre_features import FibreFeatures
from shd.scans.first_estimate import design
from shd.scans.network_input import network_input
from shd.scans.normalisation import NormalisedScan
from shd.signal.forward_model import forward_model
from shd.signal.gradients import MINIMUM_DIRECTIONS
from shd.signal.response import Response
from shd.training.losses.objective import Objective
from shd.training.settings import FitSettings

__all__ = ["View", "held_out_parts", "make_view"]


@dataclass(frozen=True, eq=False)
class View:
    """seen: volumes of the input. estimates: made of those alone. objective: of the volumes that count."""

    seen: Int[Tensor, " volume"]
    features: SphericalFeatures | FibreFeatures
    estimates: Float16[np.ndarray, "voxel scale unknown"]
    objective: Objective


def held_out_parts(scan: NormalisedScan, parts: int) -> tuple[Int[np.ndarray, " volume"], ...]:
    """Return the volumes of each of `parts` even parts of the directions, of those shells that can spare one.

    A shell can where 6 directions are left without it. None where no shell can, or for fewer than two parts.
    """
    if parts < 2:
        return ()
    shells = scan.gradients.weighted_shells
    spare = [s for s in shells if len(s.volumes) - -(-len(s.volumes) // parts) >= MINIMUM_DIRECTIONS]
    if not spare:
        return ()
    volumes = np.concatenate([scan.gradients.b0_volumes, *(shell.volumes for shell in spare)])
    return tuple(volumes[part] for part in even_subsets(scan.gradients.select(volumes), parts))


def make_view(
    scan: NormalisedScan,
    responses: tuple[Response, ...],
    config: ModelConfig,
    vertices: Float[np.ndarray, "vertex 3"],
    noise: Float[np.ndarray, " voxel"],
    settings: FitSettings,
    unseen: Int[np.ndarray, " volume"] | None = None,
    on_estimate: Callable[[int | float], None] = lambda voxels: None,
) -> View:
    """Return the view without the volumes `unseen`, which are what counts; if None all are seen and count.

    vertices: of the network's finest sphere. noise: deviation of S/S₀ in each voxel. on_estimate: told how many voxels
    each piece of work on the estimate was worth, all together as many as there are.
    """
    device = torch.device(settings.device)
    seen = np.arange(scan.signal.shape[1]) if unseen is None else np.setdiff1d(np.arange(scan.signal.shape[1]), unseen)
    given = scan if unseen is None else _part(scan, seen)
    features = network_input(config, responses, given.gradients, vertices, noise, device)
    estimates = estimate_scan(
        given, responses, vertices, device, coherence=settings.coherence, noise=noise, engine=settings.engine,
        on_block=on_estimate,
    )  # fmt: skip
    counted = None if unseen is None else torch.from_numpy(unseen).to(device)
    weighted = torch.from_numpy(np.concatenate([s.volumes for s in scan.gradients.weighted_shells])).to(device)
    forward = forward_model(responses, scan.gradients, vertices).to(device)
    pull = noise_pull(design(responses, scan.gradients, vertices), vertices, 1.0)
    objective = Objective(
        forward, vertices, weighted, settings.weights, settings.degree, pull, settings.coherence, counted
    )
    return View(torch.from_numpy(seen).to(device), features, estimates, objective)


def _part(scan: NormalisedScan, volumes: Int[np.ndarray, " volume"]) -> NormalisedScan:
    return replace(scan, signal=np.ascontiguousarray(scan.signal[:, volumes]), gradients=scan.gradients.select(volumes))
