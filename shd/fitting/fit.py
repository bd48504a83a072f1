"""Fit the fODFs of one subject: responses, training on the scan itself, dense inference, peaks."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float16, Float32

from shd.engines import set_engine
from shd.errors import ResourceError, ResponseError, SettingsError, is_out_of_memory
from shd.evaluation.residual_map import residual_map
from shd.fitting.budget import default_settings
from shd.fitting.device import check_engine, usable_device
from shd.fitting.progress import Progress, Report, counted, silent
from shd.fitting.range_warning import warn_outside
from shd.fitting.resuming import resume
from shd.fodf.field import FodField
from shd.fodf.peaks import Peaks, peaks_on_grid
from shd.inference.tiled import deconvolve
from shd.io.checkpoints import StoredModel, read_model, write_state
from shd.models.config import ModelConfig
from shd.models.deconvolver import Deconvolver
from shd.scans.coherence import CoherenceReport, checked_directions
from shd.scans.normalisation import NormalisedScan, normalise
from shd.scans.scan import Scan, without_sparse_shells
from shd.scans.trained_range import TrainedRange
from shd.signal.response import Response
from shd.signal.response_estimation import estimate_responses
from shd.training.settings import FitSettings
from shd.training.subject import SubjectTraining

__all__ = ["DEGREE", "HIGHEST_DEGREE", "Clock", "Fit", "check_degree", "finish", "fit", "ordered", "prepare"]

DEGREE = 12
"""Degree of the fODFs written. 8, enough for the signal, blurs small fibres and close ones (docs/accuracy.md)."""

HIGHEST_DEGREE = 16

CHECKPOINT_SECONDS = 20.0
"""Longest training that an interruption can lose."""


class Clock:
    """Seconds a stage, between one `lap` and the next."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.laps[stage] = round(now - self._last, 3)
        self._last = now


@dataclass(frozen=True, eq=False)
class Fit:
    """Everything a fit found.

    fod: fODFs of all tissues (scanner axes). peaks: on the grid. history: a row a step, with the loss terms; rows where
    the held-out voxels were scored have "held_out". seconds: time a stage. trained: what the network was trained on
    before this scan, if it was. residual: `residual_map` on the grid. noise: deviation of S/S₀ in the mask's voxels.
    """

    fod: FodField
    peaks: Peaks
    responses: tuple[Response, ...]
    model: Deconvolver
    settings: FitSettings | None
    coherence: CoherenceReport
    history: list[dict[str, int | float]]
    seconds: dict[str, float]
    trained: TrainedRange | None = None
    residual: Float32[np.ndarray, "x y z"] | None = None
    noise: Float[np.ndarray, " voxel"] | None = None

    @property
    def snr(self) -> float | None:
        """Signal-to-noise ratio of the b=0 signal in the mask's median voxel, where the noise is known."""
        return None if self.noise is None or not len(self.noise) else float(1.0 / np.median(self.noise))


def fit(
    scan: Scan,
    responses: tuple[Response, ...] | None = None,
    settings: FitSettings | None = None,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    degree: int | None = None,
    checkpoint: Path | None = None,
    report: Report = silent,
    build: Callable[[ModelConfig], Deconvolver] = Deconvolver,
) -> Fit:
    """Return the fODFs of one scan, by a network adapted to that scan, or trained on it alone (Elaldi et al. 2024).

    responses: white matter first, then isotropic tissues; estimated from the scan if None. settings: every choice,
    else good ones for this machine with the budget `minutes` or `steps`. degree: of the fODFs, 12 if None. checkpoint:
    file from which an interrupted fit goes on, and into which it saves itself. report: told the progress. build: makes
    the network (see `SubjectTraining`). The same seed and steps on the same machine give the same result, interrupted
    or not.

    Raises ResponseError where responses do not fit the shells or cannot be estimated, CheckpointError where
    `checkpoint` is of another fit or the network to start from is none, ResourceError where memory or the device asked
    for is missing, SettingsError for settings together with another budget and for a degree that cannot be. Warns
    (ShdWarning) where the gradient directions contradict the anatomy.
    """
    if settings is not None and (minutes is not None or steps is not None):
        raise SettingsError(f"settings with their own budget, and minutes {minutes}, steps {steps}; give one of them")
    check_degree(degree)
    if settings is None:
        settings = default_settings(int(scan.mask.sum()), minutes=minutes, steps=steps)
    check_engine(settings.engine, usable_device(settings.device), settings.kernel)
    stored = None if settings.start == "none" else read_model(settings.start)
    clock = Clock()
    scan, coherence, degree = prepare(scan, degree, report)
    clock.lap("coherence")
    if responses is None:
        report(Progress("responses", 0.0))
        responses, _ = estimate_responses(scan.intensities(np.argwhere(scan.mask)), scan.gradients, scan.mask)
    responses = ordered(responses)
    clock.lap("responses")
    settings = replace(settings, degree=degree)  # what is regularised is what is written
    torch.set_num_threads(settings.threads)
    normalised = normalise(scan)
    training, trained = _training(normalised, responses, settings, stored, report, build)
    resume(training, checkpoint)
    clock.lap("first estimate")
    _train(training, checkpoint, report)
    clock.lap("training")
    model = training.best_model()
    set_engine(model, settings.engine)
    fod, peaks, residual = finish(
        model, normalised, responses, degree, report, clock, training.noise, training.estimates,
        threads=settings.threads,
    )  # fmt: skip
    return Fit(
        fod, peaks, responses, model, settings, coherence, training.history, clock.laps, trained, residual,
        training.noise,
    )  # fmt: skip


def _training(
    scan: NormalisedScan,
    responses: tuple[Response, ...],
    settings: FitSettings,
    stored: StoredModel | None,
    report: Report,
    build: Callable[[ModelConfig], Deconvolver],
) -> tuple[SubjectTraining, TrainedRange | None]:
    """Return the training before its first step, from a trained network if there is one, and its range."""
    on_estimate = counted("first estimate", len(scan.b0) * (1 + settings.parts), report)
    if stored is None:
        return SubjectTraining(scan, responses, settings, on_estimate, build), None
    training = SubjectTraining(scan, responses, settings, on_estimate, build, stored.network)
    warn_outside(stored, scan, responses, training.noise, settings.start)
    return training, stored.trained


def check_degree(degree: int | None) -> None:
    """Raise SettingsError for fODFs of an odd degree, or one beyond 16; None is the default."""
    if degree is not None and (degree % 2 or not 2 <= degree <= HIGHEST_DEGREE):
        raise SettingsError(f"degree {degree}: give an even number from 2 to {HIGHEST_DEGREE}")


def prepare(scan: Scan, degree: int | None, report: Report = silent) -> tuple[Scan, CoherenceReport, int]:
    """Return the scan without shells too sparse to use, what its gradients' coherence says, and the degree to write."""
    report(Progress("gradient check", 0.0))
    scan = without_sparse_shells(scan)
    return scan, checked_directions(scan), DEGREE if degree is None else degree


def finish(
    model: Deconvolver,
    scan: NormalisedScan,
    responses: tuple[Response, ...],
    degree: int,
    report: Report,
    clock: Clock,
    noise: Float[np.ndarray, " voxel"],
    estimates: Float16[np.ndarray, "voxel scale unknown"] | None = None,
    core: int | None = None,
    bfloat16: bool = False,
    threads: int | None = None,
) -> tuple[FodField, Peaks, Float32[np.ndarray, "x y z"]]:
    """Return fODFs of every masked voxel, their peaks and what of the signal they leave (`residual_map`), on the grid.

    Arguments as in `deconvolve` and `find_peaks`.
    """
    on_tile = counted("inference", len(scan.b0), report)
    try:
        fod = deconvolve(
            model, scan, responses, degree=degree, core=core, estimates=estimates, noise=noise, bfloat16=bfloat16,
            on_tile=on_tile,
        )  # fmt: skip
    except ResourceError as error:
        way_out = "close other programs, or give a smaller --width"
        if core is not None and core >= 8:
            way_out = f"give --tile {core // 4}"
        raise ResourceError(f"{error}: {way_out}") from error
    clock.lap("inference")
    report(Progress("peaks", 0.0))
    peaks = peaks_on_grid(fod.wm, fod.mask, threads=threads)
    clock.lap("peaks")
    report(Progress("residual", 0.0))
    residual = residual_map(scan, fod, responses, noise)
    clock.lap("residual")
    return fod, peaks, residual


def _train(training: SubjectTraining, checkpoint: Path | None, report: Report) -> None:
    """Train to the end of the budget. Raises ResourceError, with what to do, where memory runs out."""
    settings = training.settings
    try:
        _steps(training, checkpoint, report)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ResourceError(
            f"training on tiles of {settings.tile} voxels a side, with a network of width {training.config.width}, "
            f"does not fit into memory; {_way_out(settings.tile)}"
        ) from error


def _steps(training: SubjectTraining, checkpoint: Path | None, report: Report) -> None:
    """Take all steps, validating at even parts of the budget and saving every so often."""
    parts, saved = training.settings.validations, time.monotonic()
    if training.views and not training.history:  # the network as it is at the start is the one to beat
        training.history.append({"step": 0, "seconds": 0.0, "held_out": training.validate()})
    while training.views and training.progress < 1.0:
        part = int(training.progress * parts)  # of the whole budget: an interrupted fit validates at the same steps
        row: dict[str, Any] = training.step()
        if int(training.progress * parts) > part:
            row["held_out"] = training.validate()
        training.history.append({"step": training.steps_done, "seconds": training.seconds, **row})
        report(Progress("training", min(training.progress, 1.0), row))
        if checkpoint is not None and time.monotonic() - saved >= CHECKPOINT_SECONDS:
            write_state(checkpoint, *training.state())
            saved = time.monotonic()


def _way_out(tile: int) -> str:
    """Return what to do when memory runs out at this size of tile."""
    if tile > 2:
        return f"give --tile {tile // 4 * 2 or 2}, which is smaller than {tile}"
    return f"--tile {tile} is the smallest: close other programs, or give a smaller --width"


def ordered(responses: tuple[Response, ...]) -> tuple[Response, ...]:
    """Return white matter first. Raises ResponseError where it is missing."""
    white = tuple(r for r in responses if r.tissue == "wm")
    if len(white) != 1:
        raise ResponseError(
            f"{len(white)} white-matter responses among {len(responses)}; give exactly one, or none at all to have "
            "them estimated"
        )
    return white + tuple(r for r in responses if r.tissue != "wm")
