"""The eigenbasis of the Laplacian split by the grid's symmetries, so that going there costs a fifth.

Quarter turns about the polar axis and reflections map the grid onto itself (the square's group D₄, 8 elements), and the
Laplacian commutes with them. In coordinates that are adapted to the group's irreducible representations (A₁, A₂, B₁,
B₂ and the two rows of E; Serre, Linear Representations of Finite Groups, section 2.7) it falls into 6 independent
blocks: 56, 44, 48, 52, 92 and 92 of the 384 vertices at nside 8, 70 multiplications a vertex in place of 384.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float, Int

__all__ = ["BlockBasis", "Orbit", "block_basis"]

Symmetry = tuple[Float[np.ndarray, "3 3"], Int[np.ndarray, " vertex"]]
Matrix = Float[np.ndarray, "element _row _row"]


@dataclass(frozen=True, eq=False)
class Orbit:
    """Vertices that the symmetries map onto each other, and the adapted coordinates of functions on them.

    coordinate j (a position in the concatenated blocks) is Σ_i matrix[j, i]·f[vertex i]; the matrix is orthogonal.
    """

    vertices: Int[np.ndarray, " member"]
    coordinates: Int[np.ndarray, " member"]
    matrix: Float[np.ndarray, "member member"]


@dataclass(frozen=True, eq=False)
class BlockBasis:
    """Eigenvectors of a symmetric, invariant matrix as U = Q·diag(blocks): orbits hold Q, one small matrix a block.

    blocks: (coordinate, eigenvector) each. eigenvalues: in the order of the blocks, ascending within one.
    """

    orbits: tuple[Orbit, ...]
    blocks: tuple[Float[np.ndarray, "_coordinate _eigenvector"], ...]
    eigenvalues: Float[np.ndarray, " vertex"]

    @property
    def adapted(self) -> Float[np.ndarray, "vertex coordinate"]:
        """Q as one matrix: column j is the function whose adapted coordinate j alone is one."""
        matrix = np.zeros((len(self.eigenvalues),) * 2)
        for orbit in self.orbits:
            matrix[np.ix_(orbit.vertices, orbit.coordinates)] = orbit.matrix.T
        return matrix

    @property
    def eigenvectors(self) -> Float[np.ndarray, "vertex eigenvector"]:
        """U as one matrix."""
        diagonal = np.zeros((len(self.eigenvalues),) * 2)
        start = 0
        for block in self.blocks:
            stop = start + len(block)
            diagonal[start:stop, start:stop] = block
            start = stop
        return self.adapted @ diagonal


def _representations(symmetries: list[Symmetry]) -> list[Matrix]:
    """Return the matrices of A₁, A₂, B₁, B₂ (1×1) and E (2×2) for each symmetry, read off its action on x and y."""
    planar = np.stack([matrix[:2, :2] for matrix, _ in symmetries])
    handed = np.linalg.det(planar).round()
    straight = np.where(np.abs(planar[:, 0, 0]) > 0.5, 1.0, -1.0)  # −1 where x and y change places
    single = (np.ones(len(planar)), handed, straight, handed * straight)
    return [values[:, None, None] for values in single] + [planar]


def _independent(columns: Float[np.ndarray, "member candidate"]) -> Float[np.ndarray, "member found"]:
    """Return an orthonormal basis of what the columns span, the first of them leading."""
    found: list[np.ndarray] = []
    for column in columns.T:
        rest = column - sum(((basis @ column) * basis for basis in found), start=np.zeros_like(column))
        if (length := np.linalg.norm(rest)) > 1e-6:
            found.append(rest / length)
    return np.stack(found, axis=1) if found else np.zeros((len(columns), 0))


def _adapted(
    members: Int[np.ndarray, " member"], symmetries: list[Symmetry], kinds: list[Matrix]
) -> list[Float[np.ndarray, "_found member"]]:
    """Return for every block the orthonormal functions on one orbit that belong to it."""
    place = {int(vertex): index for index, vertex in enumerate(members)}
    moves = np.zeros((len(symmetries), len(members), len(members)))
    for move, (_, permutation) in zip(moves, symmetries, strict=True):
        for vertex, index in place.items():
            move[index, place[int(permutation[vertex])]] = 1.0  # (P f)[v] = f[permutation[v]]
    blocks = []
    for matrices in kinds:
        rows = matrices.shape[1]
        projections = np.einsum("gr,gij->rij", matrices[:, :, 0], moves) * (rows / len(symmetries))
        first = _independent(projections[0])
        blocks += [(projection @ first).T for projection in projections]
    return blocks


def block_basis(laplacian: sparse.csr_array, symmetries: list[Symmetry]) -> BlockBasis:
    """Return the eigenbasis of `laplacian` in blocks; `symmetries` as `symmetry_permutations` returns them.

    There are always 6 blocks; small grids leave some empty. Deterministic: equal arguments give equal bits on one
    machine. The arrays cannot be written to: levels are shared between networks.
    """
    kinds = _representations(symmetries)
    permutations = np.stack([permutation for _, permutation in symmetries])
    first = permutations.min(axis=0)  # every orbit is named by its lowest vertex
    members = [np.flatnonzero(first == name) for name in np.unique(first)]
    functions = [_adapted(orbit, symmetries, kinds) for orbit in members]
    count = len(functions[0])
    sizes = [sum(len(orbit[block]) for orbit in functions) for block in range(count)]
    following = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    orbits = []
    for vertices, blocks in zip(members, functions, strict=True):
        coordinates = np.concatenate([following[b] + np.arange(len(rows)) for b, rows in enumerate(blocks)])
        following = following + [len(rows) for rows in blocks]
        orbits.append(Orbit(vertices, coordinates.astype(np.int64), np.concatenate(blocks)))
    whole = BlockBasis(tuple(orbits), (), np.zeros(laplacian.shape[0])).adapted
    split = whole.T @ (laplacian @ whole)
    edges = np.concatenate([[0], np.cumsum(sizes)])
    solved = [np.linalg.eigh(split[a:b, a:b]) for a, b in pairwise(edges)]
    basis = BlockBasis(
        tuple(orbits),
        tuple(found.eigenvectors for found in solved),
        np.concatenate([found.eigenvalues for found in solved]),
    )
    held = [array for orbit in orbits for array in (orbit.vertices, orbit.coordinates, orbit.matrix)]
    for array in (*held, *basis.blocks, basis.eigenvalues):
        array.setflags(write=False)
    return basis
