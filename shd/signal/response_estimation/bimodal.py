"""The threshold that splits a set of values into two groups best."""

import numpy as np
from jaxtyping import Bool, Float

__all__ = ["upper_group"]


def upper_group(values: Float[np.ndarray, " voxel"]) -> Bool[np.ndarray, " voxel"]:
    """Return which values belong to the upper group.

    The threshold t maximises the correlation between the values and the indicator [value > t]. With n values of mean
    μ of which k, with mean μ_k, lie above t, that is to maximise (μ_k − μ)·√(k/(n − k)). Fewer than two distinct values
    have no upper group. Source: Ridgway et al., NeuroImage 44 (2009), "Issues with threshold masking in voxel-based
    morphometry of atrophied brains".
    """
    if values.size == 0:
        return np.zeros(0, dtype=bool)
    ordered = np.sort(values)[::-1]
    breaks = np.flatnonzero(np.diff(ordered) < 0)  # a threshold lies between distinct values
    if breaks.size == 0:
        return np.zeros(len(values), dtype=bool)
    count = breaks + 1
    upper_mean = np.cumsum(ordered)[breaks] / count
    correlation = (upper_mean - ordered.mean()) * np.sqrt(count / (len(values) - count))
    best = breaks[np.argmax(correlation)]
    return values >= ordered[best]
