"""Apply a network fitted before to another scan of the same protocol."""

from collections.abc import Sequence
from pathlib import Path

import torch

from shd.engines import set_engine
from shd.errors import ResponseError
from shd.fitting.device import check_engine, usable_device
from shd.fitting.fit import Clock, Fit, finish, prepare
from shd.fitting.progress import Report, counted, silent
from shd.graphs.hemisphere import vertex_directions
from shd.io.checkpoints import read_model
from shd.scans.coherent_estimate import estimate_scan
from shd.scans.normalisation import normalise
from shd.scans.scan import Scan

__all__ = ["infer"]

_SHELL_TOLERANCE = 80.0  # s/mm²: MRtrix3's own


def infer(
    scan: Scan,
    model: Path | str,
    *,
    degree: int | None = None,
    tile: int | None = None,
    device: str | None = None,
    threads: int | None = None,
    engine: str = "auto",
    bfloat16: bool = False,
    report: Report = silent,
) -> Fit:
    """Return the fODFs of a scan by the network in `model`, with the responses it was trained with.

    The scan must have the shells of the training scan (within 80 s/mm²); its directions may be others. Because
    responses are shared, amplitudes compare between scans of one scanner and protocol. degree: of the fODFs, 12 if
    None. tile: half the side of the boxes computed at once; by
    default what half of the free memory holds. engine: one of `shd.engines.ENGINES`. bfloat16: as
    in `deconvolve`. report: told the progress.

    Raises ResponseError for other shells, CheckpointError for a file that holds no model, ResourceError where memory or
    the device asked for is missing.
    """
    clock = Clock()
    device = usable_device(device)
    network, responses = read_model(model, device)
    check_engine(engine, device, network.config.kernel)
    set_engine(network, engine)
    scan, coherence, degree = prepare(scan, degree, report)
    _check_shells(responses[0].bvalues.tolist(), [shell.bvalue for shell in scan.gradients.shells], model)
    clock.lap("coherence")
    if threads:
        torch.set_num_threads(threads)
    normalised = normalise(scan)
    vertices = vertex_directions(network.config.nside, network.config.hemisphere)
    advance = counted("first estimate", len(normalised.b0), report)
    estimates = estimate_scan(normalised, responses, vertices, device, on_block=advance)
    clock.lap("first estimate")
    core = 2 * tile if tile else None
    fod, peaks = finish(network, normalised, responses, degree, report, clock, estimates, core, bfloat16)
    return Fit(fod, peaks, responses, network, None, coherence, [], clock.laps)


def _check_shells(trained: Sequence[float], given: Sequence[float], model: Path | str) -> None:
    same = len(trained) == len(given)
    if not same or any(abs(a - b) > _SHELL_TOLERANCE for a, b in zip(trained, given, strict=True)):
        raise ResponseError(
            f"{model}: trained for b = {', '.join(f'{b:.0f}' for b in trained)} but the scan has "
            f"b = {', '.join(f'{b:.0f}' for b in given)}; fit this scan itself (shd fit)"
        )
