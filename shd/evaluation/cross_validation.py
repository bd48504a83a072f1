"""Held-out gradient directions: how well fODFs of some directions predict the signal of the others.

The score for real scans, which have no truth: an fODF that fits noise predicts badly, as one does that smooths too much
(Rokem et al., PLoS ONE 10 (2015), for diffusion models in general).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from shd.evaluation.even_subsets import check_remaining, even_subsets
from shd.evaluation.signal_prediction import noise_by_shell, predicted_signal
from shd.fodf.field import FodField
from shd.scans.scan import Scan
from shd.signal.response import Response

__all__ = ["Method", "Prediction", "ShellPrediction", "cross_validate", "with_volumes"]

Method = Callable[[Scan, tuple[Response, ...]], FodField]
"""What makes fODFs of a scan, given the responses at its shells (white matter first)."""


@dataclass(frozen=True)
class ShellPrediction:
    """One shell. directions: all of which were held out once. error: root mean square of measured minus predicted, scan
    intensity. noise: standard deviation of the noise (`noise_by_shell`). relative: error over noise; 1 is a perfect
    prediction of noisy data.
    """

    bvalue: float
    directions: int
    error: float
    noise: float
    relative: float


@dataclass(frozen=True, eq=False)
class Prediction:
    """Held-out errors of one method. shells: ascending in b. relative: root mean square over all volumes, each in units
    of its shell's noise. voxels: the same voxel by voxel, NaN where none was scored.
    """

    shells: tuple[ShellPrediction, ...]
    relative: float
    voxels: Float[np.ndarray, "x y z"]

    def ratio(self, other: "Prediction") -> float:
        """Return this method's error over the other's: below 1 it predicts better."""
        return self.relative / other.relative


def cross_validate(
    method: Method,
    scan: Scan,
    responses: tuple[Response, ...],
    *,
    folds: int = 5,
    voxels: Bool[np.ndarray, "x y z"] | None = None,
    on_fold: Callable[[int], None] = lambda fold: None,
) -> Prediction:
    """Return how well a method predicts directions that it was not given, each held out once.

    The directions of every shell are dealt out evenly into `folds`; each fold is predicted from the fODFs of the
    others and all b=0 volumes. responses: of the whole scan, the same for every fold and method; a response has so few
    numbers that this gives nothing away. voxels: to be scored, by default the scan's mask. on_fold: told the number of
    each fold before it begins.

    Raises EvaluationError for fewer than 2 folds, more than a shell has directions, or fewer than 6 axes left.
    """
    scored = scan.mask if voxels is None else voxels & scan.mask
    held_out = even_subsets(scan.gradients, folds)
    everything = np.arange(len(scan.gradients.bvalues))
    for volumes in held_out:
        check_remaining(scan.gradients, np.setdiff1d(everything, volumes))
    residual = np.zeros((int(scored.sum()), len(everything)))
    for fold, volumes in enumerate(held_out):
        on_fold(fold)
        fod = method(with_volumes(scan, np.setdiff1d(everything, volumes)), responses)
        predicted = predicted_signal(fod, responses, scan.gradients, scored)
        residual[:, volumes] = scan.data[..., volumes][scored] - predicted[:, volumes]
    return _summary(scan, residual, scored)


def with_volumes(scan: Scan, volumes: np.ndarray) -> Scan:
    """Return the scan with some of its volumes."""
    return replace(scan, data=scan.data[..., volumes], gradients=scan.gradients.select(volumes))


def _summary(scan: Scan, residual: Float[np.ndarray, "voxel volume"], scored: Bool[np.ndarray, "x y z"]) -> Prediction:
    noise = noise_by_shell(scan, scored)
    shells, scaled = [], []
    for shell in scan.gradients.weighted_shells:
        part, sigma = residual[:, shell.volumes], noise[shell.bvalue]
        error = float(np.sqrt(np.mean(part**2)))
        shells.append(ShellPrediction(shell.bvalue, len(shell.volumes), error, sigma, _over(error, sigma)))
        scaled.append(part / sigma if sigma > 0 else np.full_like(part, np.inf))
    squares = np.concatenate(scaled, axis=1) ** 2
    voxels = np.full(scored.shape, np.nan)
    voxels[scored] = np.sqrt(squares.mean(axis=1))
    return Prediction(tuple(shells), float(np.sqrt(squares.mean())), voxels)


def _over(error: float, noise: float) -> float:
    return error / noise if noise > 0 else float("inf")
