"""Voxels that lines run through, against walking along them in tiny steps."""

import numpy as np

from shd.evaluation.visited_voxels import visited_voxels


def walked(start: np.ndarray, end: np.ndarray, steps: int = 20000) -> list[tuple[int, ...]]:
    """The voxels met on the way, by small steps."""
    points = start + (np.arange(steps) + 0.5)[:, None] / steps * (end - start)
    met = np.floor(points + 0.5).astype(int)
    return [tuple(map(int, voxel)) for voxel in met[np.concatenate([[True], np.any(np.diff(met, axis=0), axis=1)])]]


def test_every_voxel_of_random_segments_in_order():
    generator = np.random.default_rng(0)
    starts, ends = generator.uniform(-4, 4, size=(2, 60, 3))
    segment, voxels = visited_voxels(starts, ends)
    missed = 0
    for number in range(60):
        ours = [tuple(map(int, voxel)) for voxel in voxels[segment == number]]
        expected = walked(starts[number], ends[number])
        assert ours == expected or set(ours) > set(expected)  # small steps may jump over a corner, never we
        missed += ours != expected
    assert missed <= 3


def test_lines_along_an_axis_and_against_it():
    segment, voxels = visited_voxels(
        np.array([[0.0, 1.0, 2.0], [2.0, 1.0, 2.0]]), np.array([[2.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
    )
    assert segment.tolist() == [0, 0, 0, 1, 1, 1]
    assert voxels[:, 0].tolist() == [0, 1, 2, 2, 1, 0]
    assert (voxels[:, 1:] == [1, 2]).all()


def test_a_line_through_corners_visits_the_diagonal_alone():
    _, voxels = visited_voxels(np.zeros((1, 3)), np.full((1, 3), 2.0))
    assert voxels.tolist() == [[0, 0, 0], [1, 1, 1], [2, 2, 2]]


def test_a_line_inside_one_voxel():
    _, voxels = visited_voxels(np.array([[-0.3, 0.2, 0.1]]), np.array([[0.4, 0.1, -0.2]]))
    assert voxels.tolist() == [[0, 0, 0]]


def test_no_lines_visit_nothing():
    segment, voxels = visited_voxels(np.zeros((0, 3)), np.zeros((0, 3)))
    assert segment.shape == (0,) and voxels.shape == (0, 3)
