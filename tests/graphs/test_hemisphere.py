import healpy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shd.graphs.hemisphere import (
    antipodes,
    check_nside,
    fold,
    symmetry_permutations,
    vertex_count,
    vertex_directions,
)

NSIDES = (1, 2, 4, 8, 16, 32)
nsides = pytest.mark.parametrize("nside", NSIDES)


@nsides
def test_half_the_vertices_hold_one_of_every_antipodal_pair(nside):
    half, opposite = vertex_count(nside), antipodes(nside)
    assert half == 6 * nside**2 == vertex_count(nside, hemisphere=False) // 2
    np.testing.assert_array_equal(np.sort(opposite[:half]), np.arange(half, 2 * half))
    np.testing.assert_array_equal(opposite[opposite], np.arange(2 * half))


@nsides
def test_antipodes_point_the_other_way(nside):
    directions = vertex_directions(nside, hemisphere=False)
    np.testing.assert_allclose(directions[antipodes(nside)], -directions, atol=1e-12)


@nsides
def test_directions_are_healpys_nested_pixel_centres(nside):
    directions = vertex_directions(nside)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-12)
    np.testing.assert_array_equal(healpy.vec2pix(nside, *directions.T, nest=True), np.arange(vertex_count(nside)))
    np.testing.assert_array_equal(directions, vertex_directions(nside, hemisphere=False)[: len(directions)])


@nsides
def test_folding_sends_a_vertex_to_itself_or_its_antipode(nside):
    folded, half = fold(nside), vertex_count(nside)
    np.testing.assert_array_equal(folded[:half], np.arange(half))
    np.testing.assert_array_equal(folded[antipodes(nside)], folded)
    assert folded.max() < half


@nsides
def test_symmetries_are_the_squares_group_and_turn_functions(nside):
    symmetries = symmetry_permutations(nside)
    directions = vertex_directions(nside)
    assert len({permutation.tobytes() for _, permutation in symmetries}) == 8
    for matrix, permutation in symmetries:
        np.testing.assert_array_equal(np.sort(permutation), np.arange(vertex_count(nside)))
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
        # f[permutation] is f(R⁻¹v): with the even f(v) = v vᵀ both sides are known
        source = directions[permutation]
        expected = directions @ matrix
        np.testing.assert_allclose(
            source[:, :, None] * source[:, None], expected[:, :, None] * expected[:, None], atol=1e-12
        )


@nsides
def test_symmetries_are_closed_under_composition(nside):
    permutations = {permutation.tobytes() for _, permutation in symmetry_permutations(nside)}
    for _, first in symmetry_permutations(nside):
        for _, second in symmetry_permutations(nside):
            assert first[second].tobytes() in permutations


@given(nside=st.integers(-4, 70))
def test_other_resolutions_are_refused_by_name(nside):
    if nside in NSIDES:
        check_nside(nside)
    else:
        with pytest.raises(ValueError, match=f"nside {nside}: use 1, 2, 4, 8, 16 or 32"):
            check_nside(nside)
