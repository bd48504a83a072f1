"""Which values of a group lie far from the others."""

import numpy as np
from jaxtyping import Float

__all__ = ["OUTLYING", "modified_z_scores"]

OUTLYING = 3.5
"""Modified z-scores above this, of either sign, are called far from the others (Iglewicz and Hoaglin 1993)."""

_OF_MEDIAN = 0.6745  # median of |n| for n ~ N(0, 1)
_OF_MEAN = 0.7979  # mean of |n|
_ROUNDING = 1e-9  # of the median: what a spread must exceed to be one


def modified_z_scores(values: Float[np.ndarray, " value"]) -> Float[np.ndarray, " value"]:
    """Return 0.6745 (x − median) / MAD, MAD being the median of |x − median|; NaN where a value is not finite.

    Where more than half of the values are equal MAD is 0, and the mean of |x − median| over 0.7979 stands for its
    0.6745th. 0 where all are equal. Source: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993).
    """
    known = np.isfinite(values)
    scores = np.full(len(values), np.nan)
    if not known.any():
        return scores
    middle = np.median(values[known])
    distances = values[known] - middle
    least = _ROUNDING * max(abs(float(middle)), 1e-300)
    spread = np.median(np.abs(distances)) / _OF_MEDIAN
    if spread <= least:
        spread = np.mean(np.abs(distances)) / _OF_MEAN
    scores[known] = distances / spread if spread > least else 0.0
    return scores
