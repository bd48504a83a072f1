"""The layer in loops over samples, orders, paths, radial functions and taps, from the definitions, slowly."""

from functools import cache
from itertools import product
from math import exp, sqrt

import torch
from e3nn import o3


@cache
def wigner(first, second, third):
    return o3.wigner_3j(first, second, third, dtype=torch.float64)


def gaussian(length, count, largest):
    """Return the values of the Gaussian basis at one length."""
    if count == 1:
        return [1.0]
    spacing = largest / (count - 1)
    return [exp(-(((length - k * spacing) / spacing / 0.8) ** 2)) for k in range(count)]


def harmonic(order, vector):
    """Return √4π times the orthonormal harmonics of one direction; of no direction, zero but for order 0."""
    return _harmonic(order, tuple(vector.tolist()))


@cache
def _harmonic(order, vector):
    vector = torch.tensor(vector, dtype=torch.float64)
    if order and vector.norm() < 1e-6:
        return torch.zeros(2 * order + 1, dtype=torch.float64)
    return o3.spherical_harmonics(order, vector, normalize=True, normalization="component")


def coupled(order, first, second, x, y):
    """Return x ⊗ y brought to an order by Clebsch–Gordan coefficients."""
    table = sqrt(2 * order + 1) * wigner(first, second, order)
    return torch.einsum("i,j,ijk->k", x, y, table)


def unit(vector):
    return vector / vector.norm() if vector.norm() > 0 else vector


def filter_value(angular, path, p, q_out, q_in):
    """Return the angular part of one filter, 2·l_filter + 1 numbers."""
    q = unit(q_out) - unit(q_in)
    if angular == "tp":
        return coupled(path.filter, path.p, path.q, harmonic(path.p, p), harmonic(path.q, q))
    if angular == "same_q":
        return harmonic(path.filter, p) * float((q_out - q_in).norm() < 1e-6)
    return harmonic(path.filter, {"p": p, "q": q, "pq_diff": p - q}[angular])


def kernel_at(kernel, angular, p, q_out, q_in, lengths):
    """Return the matrix from input to output components for one offset and one pair of samples."""
    (count_out, largest_out), (count_in, largest_in) = lengths if angular in ("tp", "q", "pq_diff") else ((1, 0),) * 2
    radii_out, radii_in = gaussian(q_out.norm(), count_out, largest_out), gaussian(q_in.norm(), count_in, largest_in)
    radii_q = torch.tensor([a * b for a, b in product(radii_out, radii_in)], dtype=torch.float64)
    radii_p = torch.tensor(gaussian(p.norm(), kernel.p_radial.count, 1.0), dtype=torch.float64)
    matrix = torch.zeros(kernel.type_out.dimension, kernel.type_in.dimension, dtype=torch.float64)
    for (out, into), found in kernel.paths.items():
        for place, path in enumerate(found):
            angle = filter_value(angular, path, p, q_out, q_in)
            table = sqrt(2 * out + 1) * wigner(into, path.filter, out)
            block = torch.einsum("ifo,f->oi", table, angle)
            weight = torch.einsum("rkuv,r,k->uv", kernel.weights[f"{into}to{out}"][:, :, place], radii_q, radii_p)
            matrix[kernel.type_out.block(out), kernel.type_in.block(into)] += torch.kron(
                weight.contiguous(), block.contiguous()
            )
    return matrix


def convolved(layer, angular, x, lengths):
    """Return y(p, q_out) = Σ K(p − p_in, q_out, q_in) x(p_in, q_in): the layer's answer without bias for one image.

    lengths: how many radial functions |q_out| and |q_in| have, and up to which length.
    """
    size, (samples, _, *sides) = layer.geometry.size, x.shape
    q_out, q_in = layer.geometry.q_out, layer.geometry.q_in
    half = (size - 1) // 2
    y = torch.zeros(len(q_out), layer.type_out.dimension, *sides, dtype=torch.float64)
    kernels = [*layer.separable, *layer.differences]
    for offset in product(range(-half, half + 1), repeat=3):
        p = torch.tensor(offset, dtype=torch.float64) / max(half, 1)
        for a, b in product(range(len(q_out)), range(samples)):
            matrices = [
                kernel_at(kernel, name, p, q_out[a], q_in[b], lengths)
                for kernel, name in zip(kernels, angular, strict=True)
            ]
            for point in product(*map(range, sides)):
                source = tuple(i - d for i, d in zip(point, offset, strict=True))
                if all(0 <= i < side for i, side in zip(source, sides, strict=True)):
                    y[(a, slice(None), *point)] += sum(matrices) @ x[(b, slice(None), *source)]
    return y
