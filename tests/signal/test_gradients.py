import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shd.errors import GradientError, ShdWarning
from shd.signal.gradients import Gradients, Shell, axis_count, gradient_table
from shd.sphere.directions import half_sphere


def table(*counts: tuple[float, int], **options: float) -> Gradients:
    """A table of `count` volumes at each b; b=0 rows come with a direction, as scanners write them."""
    bvalues = np.concatenate([np.full(count, float(b)) for b, count in counts])
    vectors = np.concatenate([half_sphere(count) for _, count in counts])
    return gradient_table(bvalues, vectors, **options)


def shells(gradients: Gradients) -> list[tuple[float, int]]:
    return [(round(shell.bvalue, 1), len(shell.volumes)) for shell in gradients.shells]


def test_three_shells_stay_three():
    assert shells(table((0, 6), (700, 16), (1200, 30), (2800, 50))) == [(0, 6), (700, 16), (1200, 30), (2800, 50)]


def test_jittered_shell_is_one_and_has_the_mean():
    assert shells(table((0, 1), (1495, 10), (1500, 20), (1505, 10))) == [(0, 1), (1500, 40)]


@pytest.mark.parametrize("low", [0, 5, 50])
def test_b_up_to_50_is_b0_and_loses_its_direction(low):
    gradients = table((low, 2), (1000, 12))
    assert shells(gradients) == [(low, 2), (1000, 12)]
    assert not gradients.directions[:2].any()
    np.testing.assert_array_equal(gradients.b0_volumes, [0, 1])


def test_b0_of_65_is_taken_with_a_warning():
    with pytest.warns(ShdWarning, match="65 to 65 s/mm² are used as b=0"):
        gradients = table((65, 2), (1000, 12))
    assert shells(gradients) == [(65, 2), (1000, 12)]


def test_no_b0_names_the_lowest_b():
    with pytest.raises(GradientError, match=r"lowest of 12 b-values is 700 s/mm² and b=0 is up to 50"):
        table((700, 6), (1000, 6))


@settings(max_examples=50, deadline=None)
@given(st.randoms(use_true_random=False), st.floats(0.0, 39.0))
def test_jitter_and_order_never_change_the_shells(random, jitter):
    """Neighbours 2·39 apart at most stay together, and shells partition the volumes."""
    bvalues = np.repeat([0.0, 1000.0, 2000.0, 3000.0], 8)
    shifts = np.array([random.uniform(-jitter, jitter) for _ in bvalues])
    order = np.array(random.sample(range(32), 32))
    gradients = gradient_table(np.maximum(bvalues + shifts, 0.0)[order], np.tile(half_sphere(8), (4, 1))[order])
    assert [len(shell.volumes) for shell in gradients.shells] == [8, 8, 8, 8]
    for shell, expected in zip(gradients.shells, (0, 1000, 2000, 3000), strict=True):
        assert (bvalues[order][shell.volumes] == expected).all()


@pytest.mark.parametrize("row", [[0.0, 0.0, 0.0], [np.nan] * 3, [np.nan, 1.0, 0.0]])
def test_rows_without_direction_are_b0_and_said_where_b_was_high(row):
    vectors = half_sphere(12)
    vectors[[0, 3]] = row
    bvalues = np.full(12, 1000.0)
    bvalues[0] = 0.0
    with pytest.warns(ShdWarning, match=r"1 of 12 volumes have b up to 1000 s/mm² but no direction"):
        gradients = gradient_table(bvalues, vectors)
    np.testing.assert_array_equal(gradients.b0_volumes, [0, 3])
    assert gradients.bvalues[3] == 0.0


def test_lengths_scale_b_as_in_mrtrix():
    """One scan, two shells by gradient length: b = 3000·|g|², |g|² = 1/3."""
    vectors = np.concatenate([half_sphere(7), half_sphere(7) / np.sqrt(3.0)])
    bvalues = np.full(14, 3000.0)
    bvalues[0] = 0.0
    with pytest.warns(ShdWarning, match="multiplied by its squared length"):
        gradients = gradient_table(bvalues, vectors)
    assert shells(gradients) == [(0, 1), (1000, 7), (3000, 6)]
    np.testing.assert_allclose(np.linalg.norm(gradients.directions[1:], axis=1), 1.0)


def test_lengths_within_rounding_leave_b_alone():
    gradients = gradient_table(np.array([0.0] + [1000.0] * 8), half_sphere(9) * 1.004)
    assert gradients.shells[1].bvalue == 1000.0


def test_counts_that_differ():
    with pytest.raises(GradientError, match="96 b-values but 95 gradient directions"):
        gradient_table(np.zeros(96), half_sphere(95))


def test_all_directions_zero():
    with pytest.raises(GradientError, match="0 of 8 volumes have a gradient direction"):
        gradient_table(np.full(8, 1000.0), np.zeros((8, 3)))


def test_negative_b_names_the_volume():
    with pytest.raises(GradientError, match=r"volume 2: -1000"):
        gradient_table(np.array([0.0, 1000, -1000, 1000]), half_sphere(4))


def test_nothing_weighted():
    with pytest.raises(GradientError, match="highest b-value is 5"):
        table((0, 3), (5, 3))


def test_grid_is_merged_into_shells_that_can_be_fitted():
    """A DSI grid: b ∝ |q|²; spheres of few points join their neighbours, and no volume is lost."""
    points = np.array([p for p in np.ndindex(7, 7, 7) if p > (3, 3, 3)]) - 3
    points = points[np.sum(points**2, axis=1) <= 10]
    squared = np.sum(points**2, axis=1)
    with pytest.warns(ShdWarning, match="neighbours were merged"):
        gradients = gradient_table(
            np.append(0.0, 300.0 * squared), np.vstack([[0, 0, 0], points / np.sqrt(squared)[:, None]])
        )
    assert sum(len(shell.volumes) for shell in gradients.shells) == len(points) + 1
    for shell in gradients.weighted_shells:
        b = gradients.bvalues[shell.volumes]
        assert b.max() <= 1.4 * b.min()
        assert axis_count(gradients.shell_directions(shell)) >= 6 or shell.bvalue < 1000


def test_stray_volume_joins_its_shell_but_a_far_one_does_not():
    with pytest.warns(ShdWarning, match="merged into 2"):
        assert shells(table((0, 1), (880, 1), (1000, 29), (2000, 30))) == [(0, 1), (996, 30), (2000, 30)]
    assert shells(table((0, 1), (300, 2), (1000, 30))) == [(0, 1), (300, 2), (1000, 30)]


def test_axis_count_takes_opposite_directions_as_one():
    assert axis_count(np.vstack([np.eye(3), -np.eye(3), [[1.0, 0.0, 0.001]]])) == 3


def test_select_keeps_order_and_renumbers():
    gradients = table((0, 2), (1000, 6), (2000, 6))
    chosen = gradients.select(np.array([1, 3, 9, 4]))
    np.testing.assert_array_equal(chosen.bvalues, [0, 1000, 2000, 1000])
    assert [shell.volumes.tolist() for shell in chosen.shells] == [[0], [1, 3], [2]]
    with pytest.raises(GradientError, match="0 of 2 b=0 volumes kept"):
        gradients.select(np.array([3, 4]))


def test_a_volume_in_no_shell_is_refused():
    with pytest.raises(GradientError, match="2 volumes listed in shells but 3"):
        Gradients(np.zeros(3), np.zeros((3, 3)), (Shell(0.0, np.array([0, 1])),))


def test_b_in_other_units_is_said():
    with pytest.raises(GradientError, match=r"highest b-value is 2\.8 s/mm².*in ms/µm²\? Multiply by 1000"):
        table((0, 1), (0.7, 8), (2.8, 8))
    with pytest.raises(GradientError, match=r"16 of 17 b-values are 7e\+08 to 2\.8e\+09 s/mm².*in s/m²\? Divide"):
        table((0, 1), (0.7e9, 8), (2.8e9, 8))
    with pytest.raises(GradientError, match=r"in s/m²\? Divide by 10⁶"):
        table((5e6, 1), (1e9, 8))  # a "b=0" of 5 s/mm²
    assert shells(table((0, 1), (40_000, 8))) == [(0, 1), (40_000, 8)]  # fixed tissue
