import numpy as np
import pytest

from shd.report.outliers import OUTLYING, modified_z_scores


def test_the_definition_by_hand():
    """Median 3, absolute deviations 2, 1, 0, 1, 97: their median is 1."""
    scores = modified_z_scores(np.array([1.0, 2.0, 3.0, 4.0, 100.0]))
    np.testing.assert_allclose(scores, 0.6745 * np.array([-2, -1, 0, 1, 97]), rtol=1e-12)


@pytest.mark.parametrize(("far", "found"), [(0.5, [4]), (1.0, []), (1.0 + 1e-12, [])])
def test_where_most_values_are_equal(far, found):
    scores = modified_z_scores(np.array([1.0, 1.0, 1.0, 1.0, far]))
    assert np.flatnonzero(np.abs(scores) > OUTLYING).tolist() == found


def test_normal_values_score_as_standard_deviations():
    values = 7 + 2 * np.random.default_rng(0).standard_normal(20_000)
    np.testing.assert_allclose(modified_z_scores(values), (values - 7) / 2, atol=0.15)


@pytest.mark.parametrize("values", [[], [np.nan, np.nan], [3.0]])
def test_nothing_to_compare(values):
    scores = modified_z_scores(np.array(values, dtype=float))
    assert not (np.abs(scores) > 0).any() and len(scores) == len(values)


def test_missing_values_change_no_score():
    values = np.array([1.0, 2.0, np.nan, 3.0, 4.0, np.inf, 100.0])
    known = np.isfinite(values)
    scores = modified_z_scores(values)
    np.testing.assert_array_equal(scores[known], modified_z_scores(values[known]))
    assert np.isnan(scores[~known]).all()
