"""Which filter orders connect two feature orders, and the Clebsch–Gordan tensors that do it."""

from functools import cache
from itertools import product
from math import sqrt
from typing import NamedTuple

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor

from shd.errors import SettingsError

__all__ = ["ANGULAR_BASES", "Path", "coupling_tensor", "harmonics", "paths"]

ANGULAR_BASES = ("tp", "p", "q", "pq_diff", "same_q")
"""Angular parts of a filter, from the offsets p = p_out − p_in and q = q_out/|q_out| − q_in/|q_in|.

- `tp`       Y^l_p(p) and Y^l_q(q), coupled to l_filter; |l_filter − l_p| ≤ 1 and |l_filter − l_q| ≤ 1
- `p`        Y^l_filter(p), the same for all q
- `q`        Y^l_filter(q), the same for all p
- `pq_diff`  Y^l_filter(p − q)
- `same_q`   Y^l_filter(p) where q_out = q_in, zero elsewhere
"""

_ZERO_LENGTH = 1e-6
_FURTHEST = 1  # of l_p and l_q from l_filter: "TP±1"


class Path(NamedTuple):
    """One way through: harmonics of order p and q coupled to a filter of order `filter`."""

    p: int
    q: int
    filter: int


def paths(angular: str, order_in: int, order_out: int, reflections: bool = False) -> list[Path]:
    """Return the paths between two feature orders that an angular basis has.

    l_filter obeys the triangle rule with both, as do l_p and l_q with it. reflections: only those that also commute
    with reflections, l_p + l_q + l_in + l_out even.
    """
    if angular not in ANGULAR_BASES:
        raise SettingsError(f"angular basis {angular!r}: use one of {', '.join(ANGULAR_BASES)}")
    found = []
    for order in range(abs(order_in - order_out), order_in + order_out + 1):
        if angular == "tp":
            near = range(max(0, order - _FURTHEST), order + _FURTHEST + 1)
            found += [Path(p, q, order) for p, q in product(near, near) if abs(p - q) <= order <= p + q]
        else:
            found.append(Path(0, order, order) if angular == "q" else Path(order, 0, order))
    return [path for path in found if not (reflections and (path.p + path.q + order_in + order_out) % 2)]


def coupling_tensor(path: Path, order_in: int, order_out: int) -> Float[Tensor, "out in p q"]:
    """Return C of y_out = C x_in Y^l_p Y^l_q, the two Clebsch–Gordan couplings in one.

    C[o, i, m, n] = Σ_f ⟨l_in i, l_filter f | l_out o⟩ ⟨l_p m, l_q n | l_filter f⟩. The coefficients are Wigner's 3j
    symbols times √(2l + 1) of the order coupled to, real, in e3nn's basis.
    """
    inner, outer = _clebsch_gordan(path.p, path.q, path.filter), _clebsch_gordan(order_in, path.filter, order_out)
    return torch.einsum("ifo,mnf->oimn", outer, inner)


@cache
def _clebsch_gordan(first: int, second: int, coupled: int) -> Tensor:
    return sqrt(2 * coupled + 1) * o3.wigner_3j(first, second, coupled, dtype=torch.float64)


def harmonics(highest: int, vectors: Float[Tensor, "*point 3"]) -> Float[Tensor, "*point component"]:
    """Return the real harmonics up to an order of the vectors' directions, each with mean square 1 over the sphere.

    A vector of length zero has no direction: 1 for order 0 and 0 above, the one choice that turns with it.
    """
    length = vectors.norm(dim=-1, keepdim=True)
    directions = torch.where(length > _ZERO_LENGTH, vectors, 0.0)
    return o3.spherical_harmonics(list(range(highest + 1)), directions, normalize=True, normalization="component")
