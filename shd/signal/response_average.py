"""The response of a group of scans, so that one unit serves them all and their amplitudes compare."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from shd.errors import ResponseError, number_of
from shd.signal.response import Response

__all__ = ["mean_response", "relative_gains"]

SHELL_TOLERANCE = 80.0
"""b-values (s/mm²) that differ by less are one shell: MRtrix3's own tolerance."""


def mean_response(responses: Sequence[Response]) -> Response:
    """Return the average of one tissue's responses, each first brought to the group's intensity.

    With a_sb the l=0 coefficient of response s at shell b and ā_b its mean over the group, response s is multiplied by
    the geometric mean over the shells of ā_b / a_sb, and the results are averaged. A scanner's gain, which differs from
    scan to scan and says nothing of tissue, then gives no response more weight; what MRtrix3's `responsemean` does.

    responses: two or more of one tissue, of the same shells (within 80 s/mm²) and degree. b-values are averaged too.
    Raises ResponseError, naming both numbers, where they are fewer than two or differ in tissue, shells or degree.
    """
    if len(responses) < 2:
        raise ResponseError(
            f"{number_of(len(responses), 'response')}: a mean needs at least 2; give those of the other scans too"
        )
    first = responses[0]
    for number, other in enumerate(responses[1:], start=2):
        _check_alike(first, other, number)
    coefficients = np.stack([response.coefficients for response in responses]).astype(np.float64)
    bvalues = np.stack([response.bvalues for response in responses]).mean(axis=0)
    return Response(first.tissue, bvalues, (relative_gains(responses)[:, None, None] * coefficients).mean(axis=0))


def relative_gains(responses: Sequence[Response]) -> Float[np.ndarray, " scan"]:
    """Return the factor that brings each of one tissue's responses to the group's intensity; see `mean_response`."""
    signals = np.stack([response.coefficients[:, 0] for response in responses]).astype(np.float64)
    return np.exp(np.log(signals.mean(axis=0) / signals).mean(axis=1))


def _check_alike(first: Response, other: Response, number: int) -> None:
    """Raise ResponseError where the `number`th response cannot be averaged with the first."""
    if other.tissue != first.tissue:
        raise ResponseError(
            f"response {number} is of {other.tissue} but the first of {first.tissue}; average each tissue by itself"
        )
    same = len(other.bvalues) == len(first.bvalues)
    if not same or (np.abs(other.bvalues - first.bvalues) > SHELL_TOLERANCE).any():
        raise ResponseError(
            f"response {number} has {number_of(len(other.bvalues), 'shell')}, b = {_listed(other)}, but the first "
            f"{len(first.bvalues)}, b = {_listed(first)}; average scans of one protocol"
        )
    if other.degree != first.degree:
        raise ResponseError(
            f"response {number} is of degree {other.degree} but the first of {first.degree}; estimate both with one "
            "program and degree"
        )


def _listed(response: Response) -> str:
    return ", ".join(f"{bvalue:.0f}" for bvalue in response.bvalues)
