"""Apply a trained network to a scan: one of any protocol, or one fitted to a scan with the same shells."""

from pathlib import Path

import numpy as np
import torch

from shd.engines import set_engine
from shd.errors import ResponseError
from shd.fitting.device import check_engine, usable_device
from shd.fitting.fit import Clock, Fit, check_degree, finish, ordered, prepare
from shd.fitting.progress import Progress, Report, counted, silent
from shd.fitting.range_warning import warn_outside
from shd.graphs.hemisphere import vertex_directions
from shd.io.checkpoints import StoredModel, read_model
from shd.scans.coherent_estimate import estimate_scan, relative_noise
from shd.scans.normalisation import normalise
from shd.scans.scan import Scan
from shd.signal.gradients import Gradients
from shd.signal.response import Response
from shd.signal.response_estimation import estimate_responses

__all__ = ["infer"]

_SHELL_TOLERANCE = 80.0  # s/mm²: MRtrix3's own


def infer(
    scan: Scan,
    model: Path | str = "base",
    responses: tuple[Response, ...] | None = None,
    *,
    degree: int | None = None,
    tile: int | None = None,
    device: str | None = None,
    threads: int | None = None,
    engine: str = "auto",
    bfloat16: bool = False,
    report: Report = silent,
) -> Fit:
    """Return the fODFs of a scan by a trained network, without training.

    model: "base" or "small", which come with the package and take any protocol, or a file or the folder of a fit or a
    training.
    responses: white matter first, then isotropic tissues. If None, those that the network was fitted with, so that
    amplitudes compare between scans of one scanner and protocol; a network of any protocol has none for other shells
    (beyond 80 s/mm²), and then they are estimated from the scan. degree: of the fODFs, 12 if None. tile: half the side
    of the boxes computed at once; by default what half of the free memory holds, or 4 GiB. engine: one of
    `shd.engines.ENGINES`. bfloat16: as in `deconvolve`. report: told the progress.

    Raises ResponseError for shells or tissues that the network does not take, and where responses cannot be estimated;
    CheckpointError for a file that holds no model; ResourceError where memory or the device asked for is missing;
    SettingsError for a degree or an engine that cannot be. Warns (ShdWarning) where the gradient directions contradict
    the anatomy, and where the scan is outside what the network was trained on, with the numbers.
    """
    clock = Clock()
    check_degree(degree)
    device = usable_device(device)
    stored = read_model(model, device)
    network = stored.network
    check_engine(engine, device, network.config.kernel)
    set_engine(network, engine)
    scan, coherence, degree = prepare(scan, degree, report)
    clock.lap("coherence")
    responses = _responses(stored, scan, ordered(responses) if responses else None, model, report)
    clock.lap("responses")
    if threads:
        torch.set_num_threads(threads)
    normalised = normalise(scan)
    noise = relative_noise(normalised)
    warn_outside(stored, normalised, responses, noise, model)
    vertices = vertex_directions(network.config.nside, network.config.hemisphere)
    advance = counted("first estimate", len(normalised.b0), report)
    estimates = estimate_scan(
        normalised, responses, vertices, device, noise=noise, engine=engine, on_block=advance
    )
    clock.lap("first estimate")
    core = 2 * tile if tile else None
    fod, peaks, residual = finish(
        network, normalised, responses, degree, report, clock, noise, estimates, core, bfloat16, threads
    )
    return Fit(fod, peaks, responses, network, None, coherence, [], clock.laps, stored.trained, residual, noise)


def _responses(
    stored: StoredModel, scan: Scan, given: tuple[Response, ...] | None, model: Path | str, report: Report
) -> tuple[Response, ...]:
    """Return the responses to use: those given, the network's own, or what the scan says."""
    any_protocol = stored.network.config.features == "fibre"
    if given is not None:
        return given
    if stored.responses and (_same_shells(stored.responses[0], scan.gradients) or not any_protocol):
        _check_shells(stored.responses[0], scan.gradients, model)
        return stored.responses
    report(Progress("responses", 0.0))
    responses, _ = estimate_responses(scan.intensities(np.argwhere(scan.mask)), scan.gradients, scan.mask)
    return ordered(responses)


def _same_shells(response: Response, gradients: Gradients) -> bool:
    given = np.array([shell.bvalue for shell in gradients.shells])
    return len(given) == len(response.bvalues) and bool((np.abs(given - response.bvalues) <= _SHELL_TOLERANCE).all())


def _check_shells(response: Response, gradients: Gradients, model: Path | str) -> None:
    """Raise ResponseError for other shells than those of the response."""
    if not _same_shells(response, gradients):
        raise ResponseError(
            f"{model}: trained for b = {', '.join(f'{b:.0f}' for b in response.bvalues)} but the scan has "
            f"b = {', '.join(f'{shell.bvalue:.0f}' for shell in gradients.shells)}; use --model base, which takes any, "
            "or fit this scan itself (shd fit)"
        )
