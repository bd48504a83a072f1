import itertools

import numpy as np
import pytest

from shd.graphs.spatial import distance_classes, expanded_class_map


@pytest.mark.parametrize(
    ("size", "classes", "taps"),
    [
        (1, (0,), (1,)),
        (3, (0, 1, 2, 3), (1, 6, 12, 8)),
        (5, (0, 1, 2, 3, 4, 5, 6, 8, 9, 12), (1, 6, 12, 8, 6, 24, 24, 12, 24, 8)),
    ],
)
def test_classes_are_the_squared_distances_of_the_kernel(size, classes, taps):
    assert distance_classes(size) == classes
    np.testing.assert_array_equal(np.bincount(expanded_class_map(size).ravel()), taps)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_every_tap_has_the_class_of_its_distance(size):
    for index in itertools.product(range(size), repeat=3):
        squared = sum((i - size // 2) ** 2 for i in index)
        assert distance_classes(size)[expanded_class_map(size)[index]] == squared


@pytest.mark.parametrize("size", [0, 2, 4, 7, -1])
def test_other_sizes_are_refused_by_name(size):
    with pytest.raises(ValueError, match=f"spatial kernel {size}: use 1"):
        distance_classes(size)
