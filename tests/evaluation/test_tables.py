"""Rows and records hold every score under its name, and nothing that JSON cannot."""

import json
from dataclasses import replace

import numpy as np
import pytest

from shd.evaluation.assessment import assess_ceiling, assess_peaks
from shd.evaluation.cross_validation import Prediction, ShellPrediction
from shd.evaluation.split_half import Agreement
from shd.evaluation.tables import (
    assessment_record,
    assessment_rows,
    bundle_rows,
    method_record,
    method_rows,
    tractogram_record,
)
from shd.evaluation.tractogram_scores import BundleScores, TractogramScores
from shd.evaluation.truth import Truth
from shd.fodf.peaks import Peaks
from shd.simulation import crossing_phantom


@pytest.fixture(scope="module")
def results():
    truth = Truth.of(crossing_phantom(60.0, shape=(8, 8, 5), snr=None))
    nothing = Peaks(np.zeros((8, 8, 5, 1, 3), np.float32), np.zeros((8, 8, 5, 1), np.float32))
    return [assess_ceiling(truth), assess_peaks("nothing", nothing, truth)]


def test_a_row_for_every_result_group_and_threshold(results):
    rows = assessment_rows(results)
    assert len(rows) == sum(len(result.groups) * 19 for result in results)
    first = next(row for row in rows if (row["group"], row["threshold"]) == ("2 fibres", 0.3))
    group = results[0].groups["2 fibres"]
    assert (first["result"], first["f1"]) == ("ceiling", group.sweep.at(0.3).f1)
    assert first["area_under_curve"] == group.sweep.area_under_curve
    assert first["wm_error"] is None and rows[0]["wm_error"] == results[0].tissue_errors["wm"]


def test_what_is_not_a_number_is_nothing(results):
    rows = assessment_rows(results)
    assert rows[-1]["result"] == "nothing" and rows[-1]["precision"] is None and rows[-1]["jensen_shannon"] is None
    json.dumps([rows, [assessment_record(result) for result in results]], allow_nan=False)


def test_records_hold_the_same_numbers(results):
    record = assessment_record(results[0])
    sweep = results[0].groups["all"].sweep
    assert record["groups"]["all"]["voxels"] == sweep.scores[0].voxels
    assert record["groups"]["all"]["best_threshold"] == sweep.best[0]
    assert [row["f1"] for row in record["groups"]["all"]["scores"]] == [score.f1 for score in sweep.scores]


def test_tractograms_have_a_row_a_bundle():
    bundle = BundleScores(0, 3, 0.5, 0.1, 0.6)
    scores = TractogramScores(9, 0.4, 0.2, 0.4, 2, 1, 3, 0.5, 0.1, 0.6, (bundle, replace(bundle, bundle=1)))
    rows = bundle_rows({"a": scores, "b": scores})
    assert [(row["tractogram"], row["bundle"]) for row in rows] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert tractogram_record("a", scores)["invalid_bundles"] == 3


def test_scans_without_truth_have_a_row_a_shell_and_a_row_a_pair_of_halves():
    shell = ShellPrediction(1000.0, 30, 21.0, 20.0, 1.05)
    prediction = Prediction((shell, replace(shell, bvalue=2000.0, relative=float("inf"))), 1.05, np.zeros((1, 1, 1)))
    agreement = Agreement(5, 2.0, 3.0, 0.8, 0.9, np.zeros((1, 1, 1)))
    rows = method_rows({"shd": prediction}, {"shd": agreement, "CSD": agreement})
    assert [(row["method"], row.get("bvalue")) for row in rows] == [
        ("shd", 1000.0), ("shd", 2000.0), ("shd", None), ("CSD", None)
    ]  # fmt: skip
    assert rows[1]["relative"] is None and rows[2]["main_angle"] == 2.0
    record = method_record("shd", prediction, agreement)
    assert record["held_out"]["shells"][0]["error"] == 21.0 and record["split_half"]["f1"] == 0.9
    assert set(method_record("CSD", None, agreement)) == {"name", "split_half"}
    json.dumps([rows, record], allow_nan=False)
