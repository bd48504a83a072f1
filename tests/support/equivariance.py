"""The one tester of every symmetry claim: map(transform(x)) against transform(map(x)).

Invariance is equivariance whose outer transform leaves everything as it is (`unchanged`).
"""

from collections.abc import Callable

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]

# Largest error relative to the largest output: some hundred roundings in a row, and exact otherwise.
TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-12}
DTYPES = tuple(TOLERANCES)


def unchanged(x: Tensor) -> Tensor:
    return x


def equivariance_error(map_: Map, transform_in: Map, transform_out: Map, x: Tensor) -> float:
    """Return the largest |map(transform_in(x)) − transform_out(map(x))|, relative to the largest |map(x)|."""
    with torch.no_grad():
        answer = map_(x)
        expected, found = transform_out(answer), map_(transform_in(x))
    assert answer.dtype == x.dtype, f"the map turns {x.dtype} into {answer.dtype}"
    assert found.shape == expected.shape, f"{tuple(found.shape)} but {tuple(expected.shape)} expected"
    largest = float(expected.abs().max())
    assert largest > 0, "the map gives zero: that would commute with anything"
    return float((found - expected).abs().max()) / largest


def assert_equivariant(
    map_: Map, transform_in: Map, transform_out: Map, x: Tensor, tolerance: float | None = None
) -> None:
    """Fail unless the map commutes with the transforms, to the tolerance of the input's dtype.

    Also fails where the transform does not change the input, and where the map loses the dtype: such a test would prove
    nothing.
    """
    assert not torch.equal(transform_in(x), x), "the transform leaves the input as it is: nothing is tested"
    error = equivariance_error(map_, transform_in, transform_out, x)
    allowed = TOLERANCES[x.dtype] if tolerance is None else tolerance
    assert error <= allowed, f"not equivariant: relative error {error:.2e}, allowed {allowed:.0e} ({x.dtype})"
