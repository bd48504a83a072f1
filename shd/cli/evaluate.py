"""`shd evaluate`: results against a simulated truth, or our fit on a scan without truth."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from shd.cli.early_checks import check_files
from shd.cli.evaluation_tables import assessment_tables, scan_tables, tractogram_table
from shd.cli.fit import check_choices
from shd.cli.messages import tell, tell_files
from shd.cli.results import output_folder, paths_of
from shd.errors import OutputError, number_of

if TYPE_CHECKING:  # importing what computes takes seconds, which `shd --help` should not
    from shd.evaluation.assessment import Assessment
    from shd.evaluation.tractogram_scores import TractogramScores
    from shd.scans.scan import Scan
    from shd.signal.response import Response
    from shd.training.settings import FitSettings

__all__ = ["evaluate"]

DEFAULT_FOLDS = 5


def _against(default: Any, text: str) -> Any:
    """Return an option of the evaluation with truth."""
    return typer.Option(default, help=text, rich_help_panel="With a simulated truth")


def _alone(default: Any, text: str, *names: str, **limits: Any) -> Any:
    """Return an option of the evaluation without truth."""
    return typer.Option(default, *names, help=text, rich_help_panel="A scan without truth", **limits)


def evaluate(
    results: list[str] | None = typer.Argument(
        None,
        help="fODF images (MRtrix3 basis), or output folders of shd fit; NAME=PATH gives a name.",
        metavar="RESULT",
    ),
    out: Path = typer.Option(..., help="Folder for the scores; it appears when all are there."),
    truth: Path | None = _against(None, "Folder written by shd simulate, whose truth results are held to."),
    peaks: list[str] = _against([], "Peaks image (MRtrix3 layout) to score; [NAME=]PATH, repeatable."),
    tractogram: list[str] = _against([], "Tractogram (.trx, .tck, .trk) to score; [NAME=]PATH, repeatable."),
    threshold: float = typer.Option(0.2, help="Peaks count from this share of the voxel's highest."),
    scan: Path | None = _alone(None, "Scan without truth: fit parts of it and predict the rest."),
    bval: Path | None = _alone(None, "FSL b-values; by default the .bval beside the scan."),
    bvec: Path | None = _alone(None, "FSL gradient directions."),
    grad: Path | None = _alone(None, "MRtrix gradient table instead of bval and bvec."),
    mask: Path | None = _alone(None, "Brain mask; computed if not given."),
    wm: Path | None = _alone(None, "White-matter response; estimated if not given."),
    gm: Path | None = _alone(None, "Grey-matter response, with --wm."),
    csf: Path | None = _alone(None, "CSF response, with --wm."),
    cross_validate: int | None = _alone(None, "Predict held-out directions, in this many folds."),
    split_half: bool = _alone(False, "Compare the peaks of two halves of the directions.", "--split-half"),
    csd: bool = _alone(False, "Run DIPY's CSD beside our fit.", "--csd"),
    minutes: float | None = _alone(None, "Training time of each fit.", min=0.0),
    steps: int | None = _alone(None, "Training steps of each fit in place of minutes.", min=1),
    seed: int = _alone(0, "Seed of each fit."),
    force: bool = typer.Option(False, "--force", help="Replace an evaluation in the output folder."),
) -> None:
    """Score results against a simulated truth (--truth), or our fit on a scan that has none (--scan)."""
    given = [*(results or []), *peaks, *tractogram]
    _check_choice(given, truth, scan)
    check_choices(minutes, steps, None, None)
    _check_folder(out)
    check_files(truth, scan, bval, bvec, grad, mask, out=out, force=force, wm=wm, gm=gm, csf=csf)
    if truth is not None:
        _evaluate_results(results or [], peaks, tractogram, truth, out, threshold, force)
        return
    assert scan is not None
    from shd.io.responses import read_given_responses
    from shd.io.scans import read_scan

    read = read_scan(scan, bval, bvec, grad, mask)
    responses = read_given_responses({"wm": wm, "gm": gm, "csf": csf}, read)
    inputs = paths_of(scan=scan, bval=bval, bvec=bvec, grad=grad, mask=mask, wm=wm, gm=gm, csf=csf)
    both = cross_validate is None and not split_half
    folds, halves = DEFAULT_FOLDS if both else cross_validate, both or split_half
    settings = _settings(read, minutes, steps, seed, (folds or 0) + 2 * halves)
    _evaluate_scan(read, responses, settings, folds, halves, csd, threshold, inputs, out, force)


def _evaluate_results(
    results: list[str],
    peaks: list[str],
    tractogram: list[str],
    truth: Path,
    out: Path,
    threshold: float,
    force: bool,
) -> None:
    from shd.cli.progress_bar import shown_progress
    from shd.evaluation.threshold_sweep import check_threshold
    from shd.fitting.evaluation import assess_results, named_paths, score_tractograms, write_evaluation
    from shd.io.phantoms import read_truth
    from shd.io.tractograms import read_streamlines

    check_threshold(threshold)
    inputs = {"truth": truth, "results": named_paths([*results, *peaks]), "tractograms": named_paths(tractogram)}
    read = [truth, *named_paths([*results, *peaks, *tractogram]).values()]
    with output_folder(out, force, inputs=read) as folder:
        known = read_truth(truth)
        with shown_progress() as report:
            assessments = assess_results(
                known, named_paths(results), named_paths(peaks), threshold=threshold, report=report
            )
            tractograms = {name: read_streamlines(path) for name, path in named_paths(tractogram).items()}
            scores = score_tractograms(known, tractograms, report)
            files = write_evaluation(folder, known, assessments, tractograms, scores, inputs)
    _show(assessments, scores)
    _announce(files, out)


def _show(assessments: "list[Assessment]", tractograms: "dict[str, TractogramScores]") -> None:
    console = Console()
    if assessments:
        for table in assessment_tables(assessments):
            console.print(table)
        tell(
            "ceiling: the true fODF, smoothed by 5° at degree 12, through the same peak finder; error: from each fibre "
            "to the nearest peak; success: all fibres matched within 25° and no false peak; over, under: peaks too "
            "many and too few a voxel; AUC: of precision against recall, thresholds 0.05 to 0.95"
        )
    if tractograms:
        console.print(tractogram_table(tractograms))
        tell(
            "valid: share of the streamlines that join both ends of a bundle; invalid: ends of different bundles; "
            "none: the rest; VB, IB: valid and invalid bundles; overlap, overreach, F1: of the bundles' voxels"
        )


def _evaluate_scan(
    scan: "Scan",
    responses: "tuple[Response, ...] | None",
    settings: "FitSettings",
    folds: int | None,
    halves: bool,
    csd: bool,
    threshold: float,
    inputs: dict[str, str],
    out: Path,
    force: bool,
) -> None:
    import numpy as np

    from shd.cli.progress_bar import shown_progress
    from shd.fitting.scan_evaluation import compare_methods, write_scan_evaluation
    from shd.scans.coherence import checked_directions
    from shd.signal.response_estimation import estimate_responses

    with output_folder(out, force, inputs=inputs.values()) as folder:
        coherence = checked_directions(scan)
        if coherence.consistent:
            tell(coherence.message)
        if responses is None:
            responses, _ = estimate_responses(scan.intensities(np.argwhere(scan.mask)), scan.gradients, scan.mask)
        with shown_progress() as report:
            predictions, agreements = compare_methods(
                scan, responses, settings, folds=folds, halves=halves, csd=csd, threshold=threshold, report=report
            )
            files = write_scan_evaluation(folder, scan, settings, predictions, agreements, inputs)
    console = Console()
    for table in scan_tables(predictions, agreements):
        console.print(table)
    tell(
        "noise: what harmonics leave of each shell; main peak: median angle from each half's highest peak to the "
        "nearest of the other; equal counts: share of voxels with as many peaks in both; F1: of all peaks, within 25°"
    )
    _announce(files, out)


def _settings(scan: "Scan", minutes: float | None, steps: int | None, seed: int, fits: int) -> "FitSettings":
    """Return the settings of each fit, and say how long all of them take."""
    from shd.fitting.budget import default_settings, describe

    voxels = int(scan.mask.sum())
    settings = default_settings(voxels, minutes=minutes, steps=steps, seed=seed)
    tell(f"{number_of(fits, 'fit')}, each: {describe(settings, voxels)}")
    return settings


def _check_choice(given: list[str], truth: Path | None, scan: Path | None) -> None:
    if (truth is None) == (scan is None):
        raise typer.BadParameter("give results with --truth, or --scan alone")
    if scan is not None and given:
        raise typer.BadParameter(f"--scan is evaluated without truth: {given[0]} needs --truth")
    if truth is not None and not given:
        raise typer.BadParameter("0 results: give fODF images or folders, --peaks or --tractogram")


def _check_folder(out: Path) -> None:
    """Raise OutputError for the folder of a fit or a simulation, which --force would empty."""
    for name in ("run.json", "simulation.json"):
        if (out / name).exists():
            raise OutputError(f"{out}: holds {name}, so it is no place for scores; give another --out")


def _announce(files: list[Path], out: Path) -> None:
    tell_files(files, out)
    pictures = " and ".join(str(out / path.name) for path in files if path.suffix == ".png")
    tell(f"look at {pictures}; every number is in evaluation.json")
