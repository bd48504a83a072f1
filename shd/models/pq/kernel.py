"""What the kernels of all angular bases share: paths between feature orders, radial bases, and a weight for each."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shd.models.pq.constants import Constants
from shd.models.pq.coupling import Path, coupling_tensor, paths
from shd.models.pq.fields import FieldType
from shd.models.pq.geometry import Geometry
from shd.models.pq.q_space import length_count, shell_lengths
from shd.models.pq.radial import radial_basis

__all__ = ["FilterKernel", "Filters"]

_VANISHES = 1e-9


class Filters(NamedTuple):
    """What a family of basis filters is made of.

    angular: one of `ANGULAR_BASES`. radial: one of `RADIAL_BASES`. reflections: leave out the paths that do not
    commute with reflections.
    """

    angular: str
    radial: str
    reflections: bool


class FilterKernel(nn.Module):
    """Learnt sum of basis filters (Müller et al. 2021): W · φ(|p_out − p_in|) φ(|q_out|) φ(|q_in|) · C · Y · Y.

    The weights stand, for each pair of feature orders, by radial function of q, radial function of p, path, output
    channel and input channel. Filters that are zero wherever the kernel is sampled have none.
    """

    def __init__(self, type_in: FieldType, type_out: FieldType, geometry: Geometry, filters: Filters) -> None:
        super().__init__()
        self.type_in, self.type_out = type_in, type_out
        in_p, in_q = filters.angular != "q", filters.angular in ("tp", "q", "pq_diff")
        self.p_radial = radial_basis(filters.radial, (geometry.size + 1) // 2 if in_p else 1, 1.0)
        lengths_out, lengths_in = shell_lengths(geometry.q_out), shell_lengths(geometry.q_in)
        self.q_out_radial, self.q_in_radial = (
            radial_basis(filters.radial, length_count(lengths) if in_q else 1, float(lengths.max()))
            for lengths in (lengths_out, lengths_in)
        )
        p, q = self.angular_functions(filters.angular, geometry, type_in.highest_order + type_out.highest_order + 1)
        alive_p, alive_q = _alive(p), _alive(q)
        self.paths: dict[tuple[int, int], list[Path]] = {}
        for out in type_out.orders:
            for into in type_in.orders:
                every = paths(filters.angular, into, out, filters.reflections)
                found = [path for path in every if path.p in alive_p and path.q in alive_q]
                if found:
                    self.paths[out, into] = found
        orders_p, orders_q = ({path[place] for found in self.paths.values() for path in found} for place in (0, 1))
        self.constants = Constants(
            p=p[_components(orders_p)], q=q[_components(orders_q)],
            p_lengths=geometry.p_offsets().norm(dim=-1),
            q_out_lengths=lengths_out, q_in_lengths=lengths_in,
            **{_name(*pair): _couplings(pair, self.paths[pair], orders_p, orders_q) for pair in self.paths},
        )  # fmt: skip
        radii = self.q_radial_count, self.p_radial.count
        self.weights = nn.ParameterDict({
            _name(out, into): nn.Parameter(torch.randn(*radii, len(found), type_out.count(out), type_in.count(into)))
            for (out, into), found in self.paths.items()
        })  # fmt: skip

    @staticmethod
    def angular_functions(angular: str, geometry: Geometry, highest: int) -> tuple[Tensor, Tensor]:
        """Return the harmonics of p and of q up to an order where the kernel is sampled, their components first."""
        raise NotImplementedError

    def variance(self, out: int) -> float:
        """Return the mean variance of a component of an output order, for white input and weights of variance one."""
        raise NotImplementedError

    def scale(self, factors: dict[int, float]) -> None:
        """Multiply the weights that lead to each output order by its factor."""
        with torch.no_grad():
            for out, into in self.paths:
                self.weights[_name(out, into)].mul_(factors[out])

    def weight(self, out: int, into: int) -> Float[Tensor, "q_radial p_radial path c_out c_in"]:
        """Return the weights of the paths between two orders."""
        return self.weights[_name(out, into)]

    def coupling(self, out: int, into: int) -> Float[Tensor, "path out in p q"]:
        """Return the coupling tensors of the paths between two orders, among the harmonics in use."""
        return self.constants.like(_name(out, into), self._like)

    def p_radii(self) -> Float[Tensor, "p_radial tap"]:
        """Return the radial functions of |p_out − p_in| at the taps."""
        return self.p_radial(self.constants.like("p_lengths", self._like)).T

    def q_radii(self) -> Float[Tensor, "q_radial q_out q_in"]:
        """Return the products of a radial function of |q_out| and one of |q_in|."""
        out = self.q_out_radial(self.constants.like("q_out_lengths", self._like))
        into = self.q_in_radial(self.constants.like("q_in_lengths", self._like))
        return torch.einsum("ar,bs->rsab", out, into).flatten(0, 1)

    def _extent(self, out: int, into: int) -> tuple[int, int]:
        """Return how many components the two orders' channels have."""
        return self.type_out.count(out) * (2 * out + 1), self.type_in.count(into) * (2 * into + 1)

    @property
    def q_radial_count(self) -> int:
        """Products of a radial function of |q_out| and one of |q_in|."""
        return self.q_out_radial.count * self.q_in_radial.count

    @property
    def _like(self) -> Tensor:
        return next(iter(self.weights.values()))


def _name(out: int, into: int) -> str:
    return f"{into}to{out}"


def _components(orders: set[int]) -> list[int]:
    """Return the places of these orders' components among those of all orders."""
    return [place for order in sorted(orders) for place in range(order**2, (order + 1) ** 2)]


def _alive(functions: Float[Tensor, "component *point"]) -> set[int]:
    """Return the orders whose harmonics do not vanish at every point."""
    largest = functions.flatten(1).abs().amax(dim=1)
    orders = range(round(len(largest) ** 0.5))
    return {order for order in orders if largest[order**2 : (order + 1) ** 2].max() > _VANISHES}


def _couplings(
    pair: tuple[int, int], found: list[Path], orders_p: set[int], orders_q: set[int]
) -> Float[Tensor, "path out in p q"]:
    """Return the coupling tensors of paths, each in its place among the harmonics in use."""
    out, into = pair
    places_p, places_q = _components(orders_p), _components(orders_q)
    tensor = torch.zeros(len(found), 2 * out + 1, 2 * into + 1, len(places_p), len(places_q), dtype=torch.float64)
    for row, path in zip(tensor, found, strict=True):
        p, q = places_p.index(path.p**2), places_q.index(path.q**2)
        row[:, :, p : p + 2 * path.p + 1, q : q + 2 * path.q + 1] = coupling_tensor(path, into, out)
    return tensor
