"""Scores of our fit, and of rivals, on a scan without truth: held-out directions and split halves."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shd._version import __version__
from shd.errors import ShdWarning
from shd.evaluation.constrained_deconvolution import constrained_deconvolution
from shd.evaluation.cross_validation import Method, Prediction, cross_validate
from shd.evaluation.split_half import Agreement, split_half
from shd.evaluation.tables import method_record, method_rows
from shd.fitting.fit import fit
from shd.fitting.output_folder import OutputFolder
from shd.fitting.progress import Progress, Report, silent
from shd.fodf.field import FodField
from shd.io.atomic import write_json
from shd.io.tables import write_csv
from shd.report.prediction_figure import prediction_figure
from shd.scans.scan import Scan
from shd.signal.response import Response
from shd.training.settings import FitSettings

__all__ = ["compare_methods", "csd_method", "our_method", "write_scan_evaluation"]


def our_method(settings: FitSettings, report: Callable[[float, Mapping[str, float]], None]) -> Method:
    """Return our fit as a method, told its progress in training; warnings of the whole scan are not said again."""

    def told(state: Progress) -> None:
        if state.stage == "training":
            report(state.done, state.values)

    def method(scan: Scan, responses: tuple[Response, ...]) -> FodField:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ShdWarning)
            return fit(scan, responses, settings, report=told).fod

    return method


def csd_method(scan: Scan, responses: tuple[Response, ...]) -> FodField:
    """Return the fODFs of DIPY's CSD, degree 8, of the shell with most to give."""
    return constrained_deconvolution(scan, response=responses[0])


def compare_methods(
    scan: Scan,
    responses: tuple[Response, ...],
    settings: FitSettings,
    *,
    folds: int | None,
    halves: bool,
    csd: bool = False,
    threshold: float = 0.2,
    report: Report = silent,
) -> tuple[dict[str, Prediction], dict[str, Agreement]]:
    """Return held-out errors and split-half agreement of our fit and, if wanted, of CSD, by the method's name.

    folds: of the cross-validation, None without. settings: of each fit, which sees a part of the directions. Raises
    EvaluationError where the scan has too few directions for what is asked.
    """
    stage = ""

    def training(done: float, values: Mapping[str, float]) -> None:
        report(Progress(stage, done, values))

    def begin(kind: str, total: int, name: str) -> Callable[[int], None]:
        def told(number: int) -> None:
            nonlocal stage
            stage = f"{name} {kind} {number + 1}/{total}"
            report(Progress(stage, 0.0))

        return told

    methods: dict[str, Method] = {"shd": our_method(settings, training)} | ({"CSD": csd_method} if csd else {})
    predictions, agreements = {}, {}
    for name, method in methods.items():
        if folds is not None:
            told = begin("fold", folds, name)
            predictions[name] = cross_validate(method, scan, responses, folds=folds, on_fold=told)
        if halves:
            told = begin("half", 2, name)
            agreements[name] = split_half(method, scan, responses, threshold=threshold, on_half=told)
    return predictions, agreements


def write_scan_evaluation(
    folder: OutputFolder,
    scan: Scan,
    settings: FitSettings,
    predictions: Mapping[str, Prediction],
    agreements: Mapping[str, Agreement],
    inputs: Mapping[str, Any],
) -> list[Path]:
    """Write evaluation.json, .csv and .png; return them in their final place. Raises OutputError as `write_fit`."""
    names = list(dict.fromkeys([*predictions, *agreements]))
    write_json(
        folder.partial / "evaluation.json",
        {
            "version": __version__,
            "inputs": inputs,
            "settings": asdict(settings),
            "methods": [method_record(name, predictions.get(name), agreements.get(name)) for name in names],
        },
    )
    write_csv(folder.partial / "evaluation.csv", method_rows(predictions, agreements))
    prediction_figure(folder.partial / "evaluation.png", scan, predictions, agreements)
    return folder.publish()
