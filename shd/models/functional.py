"""The convolutions, as pure functions.

SO(3) part: y = Σ_k T_k(L) x A_k, with T_k the Chebyshev polynomials of the rescaled Laplacian (Defferrard et al. 2016,
eq. 4; Perraudin et al. 2019). With space: y = Σ_{k,r} T_k(L) S_r x W[k, r], where S_r sums the voxel neighbours at the
r-th distance (Elaldi et al. 2024, eq. 5; there W[k, r] = A[k]·B[r], here W is free at the same cost).

Each comes in two forms that compute the same function. The recurrence is the readable definition. The spectral form
works in L's eigenbasis, where all orders collapse to the one matrix Σ_k T_k(λ) W[k, r] per eigenvalue: exact, and its
cost does not grow with the order.

Tensors are (vertex, …, channel); spatial ones (vertex, batch, x, y, z, channel).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from shd.models.neighbourhood import neighbour_spread, neighbour_sums

__all__ = [
    "chebyshev_convolution",
    "chebyshev_polynomials",
    "chebyshev_recurrence",
    "pool_vertices",
    "spatio_spherical_convolution",
    "spatio_spherical_recurrence",
    "unpool_vertices",
]


def chebyshev_polynomials(eigenvalues: Float[Tensor, " vertex"], order: int) -> Float[Tensor, "vertex order"]:
    """Return T_0 … T_{order−1} at eigenvalues in [−1, 1]."""
    columns = [torch.ones_like(eigenvalues), eigenvalues]
    for _ in range(2, order):
        columns.append(2 * eigenvalues * columns[-1] - columns[-2])
    return torch.stack(columns[:order], dim=-1)


def _chebyshev_terms(x: Tensor, laplacian: Tensor, order: int) -> list[Tensor]:
    def apply(signal: Tensor) -> Tensor:
        return (laplacian @ signal.reshape(signal.shape[0], -1)).reshape(signal.shape)

    terms = [x]
    if order > 1:
        terms.append(apply(x))
    for _ in range(2, order):
        terms.append(2 * apply(terms[-1]) - terms[-2])
    return terms


def chebyshev_recurrence(
    x: Float[Tensor, "vertex *grid channel_in"],
    laplacian: Tensor,
    weight: Float[Tensor, "order channel_in channel_out"],
) -> Float[Tensor, "vertex *grid channel_out"]:
    """Return Σ_k T_k(L) x W[k] by the three-term recurrence; `laplacian` (V, V), rescaled, dense or sparse."""
    terms = _chebyshev_terms(x, laplacian, len(weight))
    return sum((term @ w for term, w in zip(terms, weight, strict=True)), start=torch.zeros(()).to(x))


def spatio_spherical_recurrence(
    x: Float[Tensor, "vertex batch x y z channel_in"],
    laplacian: Tensor,
    weight: Float[Tensor, "order radius channel_in channel_out"],
    size: int,
) -> Float[Tensor, "vertex batch x y z channel_out"]:
    """Return Σ_{k,r} T_k(L) S_r x W[k, r] by the recurrence; the definition the fast form is held to."""
    sums = neighbour_sums(x, size)
    return sum(
        (chebyshev_recurrence(part, laplacian, weight[:, radius]) for radius, part in enumerate(sums)),
        start=torch.zeros(()).to(x),
    )


def _spectral_weight(polynomials: Tensor, weight: Tensor) -> Tensor:
    """Return Σ_k T_k(λ) W[k, …] as (vertex, …): one weight per eigenvalue instead of one per order."""
    flat = polynomials.to(weight.dtype) @ weight.reshape(len(weight), -1)
    return flat.reshape(polynomials.shape[0], *weight.shape[1:])


def chebyshev_convolution(
    x: Float[Tensor, "vertex *grid channel_in"],
    eigenvectors: Float[Tensor, "vertex vertex"],
    polynomials: Float[Tensor, "vertex order"],
    weight: Float[Tensor, "order channel_in channel_out"],
) -> Float[Tensor, "vertex *grid channel_out"]:
    """Return Σ_k T_k(L) x W[k] in the eigenbasis of L; see `chebyshev_polynomials` for `polynomials`."""
    vertices, grid = x.shape[0], x.shape[1:-1]
    spectrum = (eigenvectors.T @ x.reshape(vertices, -1)).reshape(vertices, -1, x.shape[-1])
    mixed = torch.bmm(spectrum, _spectral_weight(polynomials, weight))
    return (eigenvectors @ mixed.reshape(vertices, -1)).reshape(vertices, *grid, weight.shape[-1])


def spatio_spherical_convolution(
    x: Float[Tensor, "vertex batch x y z channel_in"],
    eigenvectors: Float[Tensor, "vertex vertex"],
    polynomials: Float[Tensor, "vertex order"],
    weight: Float[Tensor, "order radius channel_in channel_out"],
    size: int,
) -> Float[Tensor, "vertex batch x y z channel_out"]:
    """Return Σ_{k,r} T_k(L) S_r x W[k, r] in the eigenbasis of L, for an isotropic size³ kernel.

    The neighbour sums are taken on whichever side of the channel mixing has fewer channels: they commute with it.
    """
    vertices, grid = x.shape[0], x.shape[1:-1]
    _, radii, inputs, outputs = weight.shape
    spectrum = (eigenvectors.T @ x.reshape(vertices, -1)).reshape(vertices, *grid, inputs)
    spectral_weight = _spectral_weight(polynomials, weight)
    if inputs <= outputs:
        gathered = torch.cat(neighbour_sums(spectrum, size), dim=-1).reshape(vertices, -1, radii * inputs)
        mixed = torch.bmm(gathered, spectral_weight.reshape(vertices, radii * inputs, outputs))
    else:
        flat = spectrum.reshape(vertices, -1, inputs)
        products = (torch.bmm(flat, spectral_weight[:, radius]) for radius in range(radii))
        mixed = neighbour_spread(tuple(p.reshape(vertices, *grid, outputs) for p in products), size)
    return (eigenvectors @ mixed.reshape(vertices, -1)).reshape(vertices, *grid, outputs)


def pool_vertices(x: Float[Tensor, "vertex *grid channel"]) -> Float[Tensor, "coarse *grid channel"]:
    """Return the mean over the four children of every vertex of the next coarser level."""
    return x.unflatten(0, (x.shape[0] // 4, 4)).mean(1)


def unpool_vertices(x: Float[Tensor, "coarse *grid channel"]) -> Float[Tensor, "vertex *grid channel"]:
    """Return every vertex's value copied to its four children; 4× the adjoint of `pool_vertices`."""
    return x.repeat_interleave(4, dim=0)
