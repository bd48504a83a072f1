"""The graph Laplacian of the HEALPix sphere, folded onto half of it.

Edges join the (up to 8) pixels that share a side or corner, with weight exp(−ln 2·d²/σ²) for chord length d; the
Laplacian is the normalised one. On antipodally even signals the sphere's Laplacian acts as L⁺ = L_NN + L_NS·P, where P
sends a southern vertex to its antipode (Elaldi et al. 2024, section 3). Everything here is deterministic: a randomly
started eigenvalue solver would change the filters by 1e-4 from build to build.
"""

import healpy
import numpy as np
import scipy.sparse as sparse
from pygsp.graphs import Graph
from scipy.sparse.linalg import eigsh

from shd.graphs.hemisphere import antipodes, check_nside, vertex_count, vertex_directions

__all__ = [
    "DEFAULT_WIDTH",
    "hemisphere_laplacian",
    "kernel_width",
    "largest_eigenvalue",
    "rescaled",
    "sphere_adjacency",
    "sphere_laplacian",
]

DEFAULT_WIDTH = 0.1
"""σ at nside 8, chord length on the unit sphere; docs/graphs.md has the rotation error of every width tried."""

_DENSE_UP_TO = 1536


def kernel_width(nside: int, width: float = DEFAULT_WIDTH) -> float:
    """Return σ at `nside`: proportional to the pixel size, `width` at nside 8."""
    return width * 8 / nside


def sphere_adjacency(nside: int, width: float = DEFAULT_WIDTH) -> sparse.csr_array:
    """Return the symmetric weights (12n², 12n²) between neighbouring HEALPix pixels; `width` is σ at nside 8."""
    check_nside(nside)
    count = vertex_count(nside, hemisphere=False)
    directions = vertex_directions(nside, hemisphere=False)
    neighbours = healpy.get_all_neighbours(nside, np.arange(count), nest=True).T
    rows = np.repeat(np.arange(count), neighbours.shape[1])
    columns = neighbours.ravel()
    real = columns >= 0  # where three base pixels meet, one corner neighbour does not exist
    pairs = np.unique(np.stack([rows[real], columns[real]]), axis=1)
    squared = np.sum((directions[pairs[0]] - directions[pairs[1]]) ** 2, axis=1)
    weights = np.exp(-np.log(2) * squared / kernel_width(nside, width) ** 2)
    return sparse.csr_array((weights, (pairs[0], pairs[1])), shape=(count, count))


def sphere_laplacian(nside: int, width: float = DEFAULT_WIDTH) -> sparse.csr_array:
    """Return the normalised Laplacian of the full sphere, (12n², 12n²), eigenvalues in [0, 2]."""
    graph = Graph(sparse.csr_matrix(sphere_adjacency(nside, width)))
    graph.compute_laplacian("normalized")
    return sparse.csr_array(graph.L)


def hemisphere_laplacian(nside: int, width: float = DEFAULT_WIDTH) -> sparse.csr_array:
    """Return L⁺ = L_NN + L_NS·P on the 6n² hemisphere vertices."""
    full = sphere_laplacian(nside, width)
    count = vertex_count(nside)
    opposite = antipodes(nside)[:count]
    folded = full[:count, :count] + full[:count][:, opposite]
    return sparse.csr_array((folded + folded.T) / 2)  # symmetric but for rounding; make it exactly so


def largest_eigenvalue(laplacian: sparse.csr_array) -> float:
    """Return the largest eigenvalue to rounding, the same at every call.

    Dense for small graphs; for large ones Lanczos from a fixed start vector to machine precision.
    """
    count = laplacian.shape[0]
    if count <= _DENSE_UP_TO:
        return float(np.linalg.eigvalsh(laplacian.toarray())[-1])
    start = np.cos(np.arange(count, dtype=np.float64) ** 2)
    return float(eigsh(laplacian, k=1, which="LA", v0=start, tol=0, return_eigenvectors=False)[0])


def rescaled(laplacian: sparse.csr_array) -> sparse.csr_array:
    """Return 2L/λmax − I, whose eigenvalues fill [−1, 1]: what Chebyshev polynomials expect."""
    identity = sparse.eye_array(laplacian.shape[0], format="csr")
    return sparse.csr_array(laplacian * (2.0 / largest_eigenvalue(laplacian)) - identity)
