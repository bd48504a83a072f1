"""The Laplacian's eigenbasis in symmetry blocks."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sparse
import torch

from shd.graphs.hemisphere import symmetry_permutations
from shd.graphs.hierarchy import sphere_hierarchy
from shd.graphs.symmetry import block_basis
from tests.support.symmetries import permuting_vertices

ROOT = Path(__file__).parents[2]
grids = pytest.mark.parametrize(("nside", "hemisphere"), [(n, half) for half in (True, False) for n in (1, 2, 4, 8)])


def level(nside, hemisphere=True):
    return sphere_hierarchy(nside, 1, hemisphere).levels[0]


def sizes(basis):
    return [len(block) for block in basis.blocks]


@pytest.mark.parametrize(
    ("nside", "hemisphere", "expected"),
    [
        (8, True, [56, 44, 48, 52, 92, 92]),
        (8, False, [108, 84, 92, 100, 192, 192]),
        (1, True, [2, 0, 1, 1, 1, 1]),
    ],
)
def test_sizes_of_the_blocks(nside, hemisphere, expected):
    """A block for each row of the five representations; at nside 1 one of them has no function on the 6 vertices."""
    assert sizes(level(nside, hemisphere).basis) == expected


@grids
def test_block_sizes_are_those_of_character_theory(nside, hemisphere):
    """How often a representation occurs: the mean of its character times the number of vertices that stay in place."""
    symmetries = symmetry_permutations(nside, hemisphere)
    fixed = np.array([np.sum(permutation == np.arange(len(permutation))) for _, permutation in symmetries])
    planar = np.stack([matrix[:2, :2] for matrix, _ in symmetries])
    handed = np.linalg.det(planar).round()
    straight = np.where(np.abs(planar[:, 0, 0]) > 0.5, 1, -1)
    two = np.trace(planar, axis1=1, axis2=2).round()
    characters = [np.ones(8), handed, straight, handed * straight, two, two]
    assert sizes(level(nside, hemisphere).basis) == [round(float(np.mean(c * fixed))) for c in characters]


@grids
def test_the_eigenbasis_is_orthonormal_and_gives_the_laplacian_back(nside, hemisphere):
    basis = level(nside, hemisphere).basis
    vectors, identity = basis.eigenvectors, np.eye(level(nside, hemisphere).vertices)
    np.testing.assert_allclose(vectors.T @ vectors, identity, rtol=0, atol=1e-12)
    np.testing.assert_allclose(basis.adapted.T @ basis.adapted, identity, rtol=0, atol=1e-12)
    rebuilt = (vectors * basis.eigenvalues) @ vectors.T
    np.testing.assert_allclose(rebuilt, level(nside, hemisphere).laplacian.toarray(), rtol=0, atol=1e-12)


@grids
def test_eigenvalues_are_those_of_the_dense_solver_ascending_in_each_block(nside, hemisphere):
    basis = level(nside, hemisphere).basis
    dense = np.linalg.eigvalsh(level(nside, hemisphere).laplacian.toarray())
    np.testing.assert_allclose(np.sort(basis.eigenvalues), dense, rtol=0, atol=1e-12)
    for values in np.split(basis.eigenvalues, np.cumsum(sizes(basis))[:-1]):
        assert (np.diff(values) >= 0).all()


@grids
def test_adapted_coordinates_keep_the_blocks_apart(nside, hemisphere):
    basis = level(nside, hemisphere).basis
    split = basis.adapted.T @ level(nside, hemisphere).laplacian.toarray() @ basis.adapted
    block = np.repeat(np.arange(6), sizes(basis))
    assert np.abs(split[block[:, None] != block]).max(initial=0.0) < 1e-12
    two_rows = [split[np.ix_(block == b, block == b)] for b in (4, 5)]
    np.testing.assert_allclose(two_rows[0], two_rows[1], rtol=0, atol=1e-12)  # the rows of E transform alike


@grids
def test_orbits_hold_every_vertex_once_and_the_symmetries_stay_inside(nside, hemisphere):
    basis = level(nside, hemisphere).basis
    vertices = np.concatenate([orbit.vertices for orbit in basis.orbits])
    coordinates = np.concatenate([orbit.coordinates for orbit in basis.orbits])
    everything = np.arange(level(nside, hemisphere).vertices)
    np.testing.assert_array_equal(np.sort(vertices), everything)
    np.testing.assert_array_equal(np.sort(coordinates), everything)
    for orbit in basis.orbits:
        assert len(orbit.vertices) in (1, 2, 4, 8)  # what the compiled kernels have code for
        np.testing.assert_allclose(orbit.matrix @ orbit.matrix.T, np.eye(len(orbit.vertices)), rtol=0, atol=1e-12)
        for _, permutation in symmetry_permutations(nside, hemisphere):
            np.testing.assert_array_equal(np.sort(permutation[orbit.vertices]), orbit.vertices)


@grids
def test_functions_of_the_first_four_blocks_change_at_most_their_sign(nside, hemisphere):
    basis = level(nside, hemisphere).basis
    single = torch.tensor(basis.adapted[:, : sum(sizes(basis)[:4])])
    for _, permutation in symmetry_permutations(nside, hemisphere):
        moved = permuting_vertices(permutation)(single)
        sign = (moved * single).sum(0)
        torch.testing.assert_close(sign.abs(), torch.ones_like(sign), rtol=0, atol=1e-12)
        torch.testing.assert_close(moved, sign * single, rtol=0, atol=1e-12)


def test_a_matrix_without_the_symmetries_is_not_taken_apart():
    """The tests above can fail: with one edge changed, blocks no longer hold the whole matrix."""
    laplacian = level(2).laplacian.toarray()
    laplacian[0, 1] = laplacian[1, 0] = laplacian[0, 1] + 0.1
    basis = block_basis(sparse.csr_array(laplacian), symmetry_permutations(2))
    vectors = basis.eigenvectors
    assert np.abs((vectors * basis.eigenvalues) @ vectors.T - laplacian).max() > 1e-3


def _digest():
    bases = [level(nside, half).basis for half in (True, False) for nside in (1, 2, 8)]
    parts = [array.tobytes() for basis in bases for array in (basis.eigenvalues, *basis.blocks, basis.adapted)]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def test_bases_are_the_same_when_built_again_and_in_another_process():
    """Bit for bit: a saved network's features mean the same tomorrow."""
    again = block_basis(level(8).laplacian, symmetry_permutations(8))
    for ours, theirs in zip(level(8).basis.blocks, again.blocks, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    code = "from tests.graphs.test_symmetry import _digest; print(_digest())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert other.stdout.strip() == _digest()
