import dataclasses

import numpy as np
import pytest

from shd.graphs.hemisphere import vertex_directions
from shd.graphs.hierarchy import sphere_hierarchy
from shd.graphs.laplacian import hemisphere_laplacian, rescaled, sphere_laplacian
from shd.sphere.directions import normalised

halves = pytest.mark.parametrize("hemisphere", [True, False])


@halves
def test_levels_halve_the_resolution_down_to_one(hemisphere):
    hierarchy = sphere_hierarchy(8, 4, hemisphere)
    assert hierarchy.nsides == (8, 4, 2, 1)
    assert [level.vertices for level in hierarchy.levels] == [(6 if hemisphere else 12) * n**2 for n in (8, 4, 2, 1)]


@halves
def test_four_children_surround_their_parent(hemisphere):
    fine, coarse = sphere_hierarchy(8, 2, hemisphere).levels
    centres = normalised(fine.directions.reshape(-1, 4, 3).mean(1))
    angle = np.degrees(np.arccos(np.clip(np.sum(centres * coarse.directions, axis=1), -1, 1)))
    assert angle.max() < 2.0  # a pixel at nside 4 is 15° wide


@halves
@pytest.mark.parametrize("nside", [1, 4])
def test_a_level_holds_the_rescaled_laplacian_and_its_eigenbasis(nside, hemisphere):
    level = sphere_hierarchy(nside, 1, hemisphere).levels[0]
    expected = rescaled((hemisphere_laplacian if hemisphere else sphere_laplacian)(nside))
    assert abs(level.laplacian - expected).max() == 0
    np.testing.assert_array_equal(level.directions, vertex_directions(nside, hemisphere))
    vectors = level.basis.eigenvectors
    np.testing.assert_allclose(level.laplacian @ vectors, vectors * level.basis.eigenvalues, atol=1e-12)
    assert level.basis is level.basis


def test_equal_arguments_give_the_same_object():
    assert sphere_hierarchy(4, 2) is sphere_hierarchy(4, 2)
    assert sphere_hierarchy(4, 2) is not sphere_hierarchy(4, 2, hemisphere=False)
    assert sphere_hierarchy(4, 2, width=0.2) is not sphere_hierarchy(4, 2)


def test_nothing_of_a_hierarchy_can_be_changed():
    """It is shared between networks: a change in one would reach them all."""
    hierarchy = sphere_hierarchy(2, 2)
    level = hierarchy.levels[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        hierarchy.levels = ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        level.nside = 4
    basis, orbit = level.basis, level.basis.orbits[0]
    of_basis = (basis.eigenvalues, *basis.blocks, orbit.vertices, orbit.coordinates, orbit.matrix)
    for array in (level.directions, level.laplacian.data, level.laplacian.indices, *filter(len, of_basis)):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize(("nside", "levels"), [(8, 5), (1, 2), (4, 0)])
def test_more_halvings_than_fit_are_refused(nside, levels):
    with pytest.raises(ValueError, match=f"{levels} levels below nside {nside}: at most {nside.bit_length()} fit"):
        sphere_hierarchy(nside, levels)
