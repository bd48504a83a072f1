import hashlib
import subprocess
import sys
from pathlib import Path

import healpy
import numpy as np
import pytest
import scipy.sparse as sparse
from scipy.sparse.linalg import splu

from shd.graphs import laplacian as module
from shd.graphs.hemisphere import antipodes, fold, symmetry_permutations, vertex_count, vertex_directions
from shd.graphs.laplacian import (
    hemisphere_laplacian,
    kernel_width,
    largest_eigenvalue,
    rescaled,
    sphere_adjacency,
    sphere_laplacian,
)
from shd.sphere.harmonics import coefficient_degrees, even_harmonics

ROOT = Path(__file__).parents[2]
NSIDES = (1, 2, 4, 8, 16, 32)
nsides = pytest.mark.parametrize("nside", NSIDES)


@nsides
def test_folded_laplacian_equals_the_full_one_on_even_signals(nside):
    half = vertex_count(nside)
    signal = np.random.default_rng(nside).standard_normal((half, 5))
    full = sphere_laplacian(nside) @ signal[fold(nside)]
    folded = hemisphere_laplacian(nside) @ signal
    np.testing.assert_allclose(folded, full[:half], rtol=0, atol=1e-10)
    np.testing.assert_allclose(folded, full[antipodes(nside)[:half]], rtol=0, atol=1e-10)


def test_folding_matters():
    """Cutting the southern half off instead is another operator: the test above can fail."""
    cut = sphere_laplacian(4)[:96, :96]
    assert abs(cut - hemisphere_laplacian(4)).max() > 1e-2


@pytest.mark.parametrize("nside", [1, 2, 4])
def test_full_laplacian_equals_the_definition_written_out(nside):
    """I − D^−½ W D^−½ over pixels that share a side or corner, by loops."""
    count, sigma = vertex_count(nside, hemisphere=False), kernel_width(nside)
    directions = vertex_directions(nside, hemisphere=False)
    weights = np.zeros((count, count))
    for i in range(count):
        for j in healpy.get_all_neighbours(nside, i, nest=True):
            if j >= 0:
                weights[i, j] = 2.0 ** -(np.sum((directions[i] - directions[j]) ** 2) / sigma**2)
    degree = weights.sum(1)
    expected = np.eye(count) - weights / np.sqrt(degree[:, None] * degree[None, :])
    np.testing.assert_allclose(sphere_laplacian(nside).toarray(), expected, atol=1e-14)


@nsides
def test_weights_join_each_pixel_to_its_neighbours_alone(nside):
    weights = sphere_adjacency(nside)
    assert abs(weights - weights.T).max() == 0
    assert weights.diagonal().max() == 0
    counts = np.diff(weights.indptr)
    # at 8 of the 14 points where base pixels meet only three do: their 24 pixels lack one neighbour
    assert counts.max() <= 8
    assert counts.sum() == 8 * 12 * nside**2 - 24


@nsides
def test_laplacians_are_symmetric(nside):
    full, folded = sphere_laplacian(nside), hemisphere_laplacian(nside)
    assert abs(full - full.T).max() < 1e-15
    assert abs(folded - folded.T).max() == 0
    assert np.diff(folded.indptr).max() <= 9


@nsides
def test_folded_laplacian_is_invariant_under_the_grids_symmetries(nside):
    laplacian = hemisphere_laplacian(nside)
    for _, permutation in symmetry_permutations(nside):
        assert abs(laplacian[permutation][:, permutation] - laplacian).max() < 1e-13


@pytest.mark.parametrize("nside", [1, 2, 4, 8])
@pytest.mark.parametrize("build", [hemisphere_laplacian, sphere_laplacian])
def test_largest_eigenvalue_is_the_dense_one(nside, build):
    laplacian = build(nside)
    dense = float(np.linalg.eigvalsh(laplacian.toarray())[-1])
    assert largest_eigenvalue(laplacian) == pytest.approx(dense, rel=1e-13)


@pytest.mark.parametrize("nside", [2, 4, 8])
@pytest.mark.parametrize("build", [hemisphere_laplacian, sphere_laplacian])
def test_lanczos_gives_the_dense_eigenvalue(nside, build, monkeypatch):
    laplacian = build(nside)
    dense = largest_eigenvalue(laplacian)
    monkeypatch.setattr(module, "_DENSE_UP_TO", 0)
    assert largest_eigenvalue(laplacian) == pytest.approx(dense, rel=1e-12)


def _eigenvalues_above(laplacian, bound):
    """Count them by Sylvester's law of inertia: the signs of the pivots of bound·I − L, factored without exchanges."""
    shifted = sparse.csc_matrix(bound * sparse.eye_array(laplacian.shape[0]) - laplacian)
    factors = splu(shifted, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    np.testing.assert_array_equal(factors.perm_r, factors.perm_c)
    return int(np.sum(factors.U.diagonal() < 0))


@nsides
@pytest.mark.parametrize("build", [hemisphere_laplacian, sphere_laplacian])
def test_no_eigenvalue_is_above_the_largest(nside, build):
    laplacian = build(nside)
    largest = largest_eigenvalue(laplacian)
    assert _eigenvalues_above(laplacian, largest + 1e-12) == 0
    assert _eigenvalues_above(laplacian, largest - 1e-12) >= 1


@pytest.mark.parametrize("nside", [1, 2, 4, 8])
def test_rescaled_spectrum_fills_minus_one_to_one(nside):
    values = np.linalg.eigvalsh(rescaled(hemisphere_laplacian(nside)).toarray())
    assert values[0] == pytest.approx(-1, abs=1e-13)
    assert values[-1] == pytest.approx(1, abs=1e-13)


def test_eigenvalues_lie_near_those_of_the_sphere():
    """λ ∝ l(l+1): at nside 8 the means over the multiplets of even degree up to 8, to 2 %."""
    values = np.linalg.eigvalsh(hemisphere_laplacian(8).toarray())[: len(coefficient_degrees(8))]
    degrees = coefficient_degrees(8)
    ratio = np.array([values[degrees == l].mean() / (l * (l + 1)) for l in (2, 4, 6, 8)])
    # the graph's eigenvalue is 1 − exp(−t·l(l+1)) like, so the ratio falls slowly with l
    assert np.all(np.diff(ratio) < 0) and ratio[-1] / ratio[0] > 0.6
    spread = [np.ptp(values[degrees == l]) / values[degrees == l].mean() for l in (2, 4, 6, 8)]
    assert max(spread) < 0.1


def test_harmonics_are_nearly_eigenvectors():
    laplacian, basis = hemisphere_laplacian(8), even_harmonics(vertex_directions(8), 4)
    for column, l in zip(basis.T, coefficient_degrees(4), strict=True):
        image = laplacian @ column
        value = column @ image / (column @ column)
        assert np.linalg.norm(image - value * column) < 0.02 * np.linalg.norm(column), l


def _digest():
    graphs = [rescaled(build(nside)) for build in (hemisphere_laplacian, sphere_laplacian) for nside in (2, 8, 16)]
    return hashlib.sha256(b"".join(graph.data.tobytes() for graph in graphs)).hexdigest()


def test_graphs_are_the_same_in_another_process():
    """Bit for bit, with Lanczos at nside 16 of the whole sphere."""
    code = "from tests.graphs.test_laplacian import _digest; print(_digest())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert other.stdout.strip() == _digest()


@pytest.mark.parametrize("nside", [0, 3, 64])
def test_other_resolutions_are_refused(nside):
    for build in (sphere_adjacency, sphere_laplacian, hemisphere_laplacian):
        with pytest.raises(ValueError, match=f"nside {nside}"):
            build(nside)
