"""The demonstration: a fit of real human data, and fits of crossings whose truth is known, beside CSD."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dipy.data import get_fnames

from shd.errors import ShdWarning
from shd.evaluation.constrained_deconvolution import constrained_deconvolution
from shd.evaluation.trial import Trial
from shd.fitting.fit import Fit, fit
from shd.fitting.output_folder import OutputFolder
from shd.fitting.outputs import write_fit
from shd.fitting.progress import Progress, Report, silent
from shd.fodf.field import FodField
from shd.io.atomic import write_json
from shd.io.scans import read_scan
from shd.report.trial_figure import trial_figure
from shd.scans.scan import Scan
from shd.simulation.crossing import crossing_phantom
from shd.simulation.true_fods import true_fods

__all__ = ["ANGLES", "SNR", "THRESHOLDS", "crossing_trial", "human_scan", "score_rows", "write_demo"]

ANGLES = (60.0, 45.0)
"""Degrees between the bundles of the phantoms."""

SNR = 20.0
THRESHOLDS = (0.1, 0.2)
"""Shares of a voxel's highest peak from which a peak counts, for every method."""

_SCAN = "small_64D"


def human_scan() -> Scan:
    """Return the human scan that the dipy package holds: 10×10×10 voxels of 2 mm, 64 directions at b = 1000 s/mm²."""
    image, bval, bvec = get_fnames(name=_SCAN)
    with warnings.catch_warnings():
        # The crop lies inside the brain: the mask computed is all of it, and to be told so would puzzle.
        warnings.filterwarnings("ignore", ".*no mask was given", ShdWarning)
        return read_scan(image, bval, bvec)


def crossing_trial(
    angle_degrees: float,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    shape: tuple[int, int, int] = (20, 20, 10),
    seed: int = 0,
    report: Report = silent,
) -> tuple[Trial, Fit]:
    """Return truth, CSD and our fit on one crossing phantom of SNR 20, and the fit itself.

    CSD deconvolves the highest shell (DIPY), as its name says; our fit takes all. Both are given the exact responses.
    minutes, steps: the budget of the fit, at most one of the two. seed: of the phantom's orientation and noise.
    """
    phantom = crossing_phantom(angle_degrees, shape=shape, snr=SNR, seed=seed)
    scan = phantom.scan
    report(Progress("CSD", 0.0))
    rival = constrained_deconvolution(scan, response=phantom.responses[0])
    ours = fit(scan, responses=phantom.responses, minutes=minutes, steps=steps, report=report)
    name = f"CSD (b = {scan.gradients.shells[-1].bvalue:.0f} alone)"
    truth = FodField(true_fods(phantom).astype(rival.wm.dtype), {}, scan.affine, scan.mask)
    return Trial(f"{angle_degrees:g}°", phantom, {"truth": truth, name: rival, "shd": ours.fod}), ours


def score_rows(trials: Sequence[Trial]) -> list[Mapping[str, Any]]:
    """Return the scores of every trial, threshold and method: a row each, plain numbers under plain names."""
    rows: list[Mapping[str, Any]] = []
    for trial in trials:
        for threshold in THRESHOLDS:
            for method in trial.fods:
                every, two = trial.scores(method, threshold)
                rows.append(
                    {
                        "crossing": trial.name,
                        "peak_threshold": threshold,
                        "method": method,
                        "two_fibre_voxels": two.as_dict() if two else None,
                        "all_voxels": every.as_dict(),
                    }
                )
    return rows


def write_demo(
    folder: OutputFolder, scan: Scan, human: Fit, runs: Sequence[tuple[Trial, Fit]]
) -> tuple[list[Mapping[str, Any]], list[Path]]:
    """Write the files of the human fit, and beside them demo.png and scores.json of the crossings.

    Returns the rows of the scores and the files in their final place. Raises OutputError as `write_fit`.
    """
    trials = [trial for trial, _ in runs]
    rows = score_rows(trials)
    trial_figure(
        folder.partial / "demo.png",
        trials,
        truth="truth",
        relative_threshold=THRESHOLDS[0],
        title="shd demo: simulated bundles that cross",
        subtitle=f"SNR {SNR:g} · {_protocol(trials[0].phantom.scan)} · peaks from {THRESHOLDS[0]:g} of the voxel's "
        "highest · each glyph at its own scale\nlight grey: two fibres in the voxel · white dot: more or fewer peaks "
        "than fibres",
    )
    write_json(folder.partial / "scores.json", {"scores": rows, "fits": [_fit_of(*run) for run in runs]})
    return rows, write_fit(folder, scan, human, {"dipy_data": _SCAN})


def _protocol(scan: Scan) -> str:
    shells = [f"{len(shell.volumes)} at b={shell.bvalue:.0f}" for shell in scan.gradients.shells]
    return ", ".join(shells) + " s/mm²"


def _fit_of(trial: Trial, result: Fit) -> dict[str, Any]:
    settings = asdict(result.settings) if result.settings else None
    return {"crossing": trial.name, "steps": len(result.history) - 1, "seconds": result.seconds, "settings": settings}
