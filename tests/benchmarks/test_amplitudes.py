"""Amplitudes of simulated subjects: how they differ, and what the normalisations do to them."""

import statistics
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import amplitudes
from shd.fodf.field import FodField
from shd.simulation.tissues import WHITE_MATTER
from shd.sphere.harmonics import coefficient_count


def by_intensity(model, scan, responses):
    """Answer, in place of a deconvolution, with the b=0 intensity in units of the response's."""
    b0 = scan.data[..., scan.gradients.b0_volumes].mean(axis=-1)
    wm = np.zeros((*scan.shape, coefficient_count(4)), dtype=np.float32)
    wm[..., 0] = b0 / responses[0].mean_signal[0] / np.sqrt(4 * np.pi)
    wm[..., 3] = wm[..., 0]  # l=2, m=0: a peak along z
    return FodField(wm, {}, scan.affine, scan.mask)


def test_subjects_differ_within_what_is_said():
    subjects = [amplitudes.subject_of(number, seed=3) for number in range(200)]
    gains = [subject.gain for subject in subjects]
    assert 0.3 <= min(gains) < 0.4 and 2.7 < max(gains) <= 3.0
    assert np.median(gains) == pytest.approx(np.sqrt(0.9), rel=0.25)
    along = [subject.fibre.parallel / WHITE_MATTER.parallel for subject in subjects]
    assert 0.8 <= min(along) < 0.83 and 1.17 < max(along) <= 1.2
    assert len({subject.protocol for subject in subjects}) == 7
    assert len({subject.seed for subject in subjects}) == 200
    assert amplitudes.subject_of(5, seed=3) == subjects[5]
    assert amplitudes.subject_of(5, seed=4) != subjects[5]


def test_the_gain_scales_the_scan_and_the_fibre_is_the_subjects():
    subject = replace(amplitudes.subject_of(1, seed=0), gain=2.0)
    twice, once = (amplitudes.scanned(each, bundles=2, extent_mm=16.0) for each in (subject, replace(subject, gain=1)))
    np.testing.assert_allclose(twice.scan.data, 2 * once.scan.data, rtol=1e-6)
    assert {bundle.fibre for bundle in twice.geometry.bundles} == {subject.fibre}


def test_variation_is_that_of_a_sample():
    values = [0.8, 1.1, 1.3, 0.7]
    assert amplitudes.variation(values) == pytest.approx(statistics.stdev(values) / statistics.mean(values))


def test_the_density_of_a_full_voxel_is_one():
    coefficients = np.zeros((5, 45), dtype=np.float32)
    coefficients[:, 0] = [0.1, 0.2, 1 / np.sqrt(4 * np.pi), 0.5, 0.6]
    assert amplitudes.amplitudes(coefficients)["density"] == pytest.approx(1.0)


@pytest.mark.slow
def test_raw_amplitudes_follow_the_gain_and_normalised_ones_do_not(monkeypatch, tmp_path, capsys):
    """With an answer that is the intensity itself, the raw density is the gain."""
    monkeypatch.setattr(amplitudes, "answer", by_intensity)
    monkeypatch.setattr(amplitudes, "_SNRS", (100.0, 100.1))
    options = ["--model", "estimate", "--subjects", "3", "--out", str(tmp_path)]
    amplitudes.main(options)
    said = capsys.readouterr().out
    subjects = [amplitudes.subject_of(number, 0) for number in range(3)]
    rows = [
        amplitudes.kept(tmp_path / f"cells/estimate_seed0_subject{number}.json", lambda: pytest.fail("not kept"))
        for number in range(3)
    ]
    for subject, row in zip(subjects, rows, strict=True):
        assert row["raw"]["density"] == pytest.approx(subject.gain, rel=0.01)
        assert row["b=0"]["density"] == pytest.approx(1.0, rel=0.01)
        assert row["own"]["density"] == pytest.approx(1.0, rel=0.05)
        assert row["voxels"] > 50
    found = amplitudes.summary(rows)
    assert found["density"]["raw"] == pytest.approx(amplitudes.variation([s.gain for s in subjects]), rel=0.02)
    assert found["density"]["own over raw"] < 0.1
    assert f"| density | {found['density']['raw']:.3f} |" in said
    assert {path.name for path in tmp_path.iterdir()} == {
        "cells", "amplitudes_estimate.md", "amplitudes_estimate.csv", "amplitudes_estimate.json"
    }  # fmt: skip
    monkeypatch.setattr(amplitudes, "measure", lambda *_: pytest.fail("computed again"))
    amplitudes.main(options)
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--subjects", "1"], "--subjects 1: a variation needs at least 2"),
        (["--seed", "-1"], "--seed -1"),
        (["--model", "magic"], "--model magic: magic is no file"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(options, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        amplitudes.main(["--model", "estimate", *options, "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
