"""Scores as rows and records: plain numbers under plain names, for CSV and JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from shd.evaluation.assessment import ALL, Assessment
from shd.evaluation.cross_validation import Prediction
from shd.evaluation.split_half import Agreement
from shd.evaluation.tractogram_scores import TractogramScores

__all__ = [
    "assessment_record",
    "assessment_rows",
    "bundle_rows",
    "method_record",
    "method_rows",
    "tractogram_record",
]

Row = dict[str, Any]


def assessment_rows(assessments: Sequence[Assessment]) -> list[Row]:
    """Return a row a result, group and threshold; the tissue errors stand in the rows of all voxels."""
    tissues = list(dict.fromkeys(tissue for result in assessments for tissue in result.tissue_errors))
    rows = []
    for result in assessments:
        for name, group in result.groups.items():
            whole = {
                "area_under_curve": group.sweep.area_under_curve,
                "angular_correlation": group.angular_correlation,
                "jensen_shannon": group.jensen_shannon,
                **{f"{t}_error": result.tissue_errors.get(t) if name == ALL else None for t in tissues},
            }
            for threshold, scores in zip(group.sweep.thresholds, group.sweep.scores, strict=True):
                row = {"result": result.name, "group": name, "threshold": threshold, **scores.as_dict(), **whole}
                rows.append(_plain(row))
    return rows


def assessment_record(result: Assessment) -> Row:
    """Return the same of one result, nested."""
    groups = {}
    for name, group in result.groups.items():
        sweep = group.sweep
        groups[name] = {
            "voxels": sweep.scores[0].voxels,
            "area_under_curve": sweep.area_under_curve,
            "best_threshold": sweep.best[0],
            "angular_correlation": group.angular_correlation,
            "jensen_shannon": group.jensen_shannon,
            "scores": [
                _plain({"threshold": threshold, **scores.as_dict()})
                for threshold, scores in zip(sweep.thresholds, sweep.scores, strict=True)
            ],
        }
    record = {"name": result.name, "threshold": result.threshold, "tissue_errors": result.tissue_errors}
    return {**_plain(record), "groups": {name: _plain(group) for name, group in groups.items()}}


def bundle_rows(tractograms: Mapping[str, TractogramScores]) -> list[Row]:
    """Return a row a tractogram and bundle."""
    return [
        _plain({"tractogram": name, **asdict(bundle)})
        for name, scores in tractograms.items()
        for bundle in scores.by_bundle
    ]


def tractogram_record(name: str, scores: TractogramScores) -> Row:
    """Return the scores of a tractogram, nested."""
    return {"name": name, **asdict(scores)}


def method_rows(predictions: Mapping[str, Prediction], agreements: Mapping[str, Agreement]) -> list[Row]:
    """Return a row a method and shell of held-out errors, and a row a method of split-half agreement."""
    rows: list[Row] = []
    for name, prediction in predictions.items():
        for shell in prediction.shells:
            rows.append(_plain({"method": name, "evaluation": "held-out directions", **asdict(shell)}))
    for name, agreement in agreements.items():
        rows.append(_plain({"method": name, "evaluation": "split half", **_numbers(agreement)}))
    return rows


def method_record(name: str, prediction: Prediction | None, agreement: Agreement | None) -> Row:
    """Return what was found of a method on a scan without truth, nested."""
    record: Row = {"name": name}
    if prediction is not None:
        shells = [_plain(asdict(shell)) for shell in prediction.shells]
        record["held_out"] = _plain({"relative": prediction.relative, "shells": shells})
    if agreement is not None:
        record["split_half"] = _plain(_numbers(agreement))
    return record


def _numbers(agreement: Agreement) -> Row:
    names = ("voxels", "main_angle", "main_angle_mean", "equal_counts", "f1")
    return {name: getattr(agreement, name) for name in names}


def _plain(row: Mapping[str, Any]) -> Row:
    """Return the row with None for what JSON has no number for: NaN and infinity."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }
