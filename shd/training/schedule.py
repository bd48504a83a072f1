"""The learning rate over the budget."""

import math

__all__ = ["learning_rate_factor"]


def learning_rate_factor(progress: float, warm_up: float) -> float:
    """Return the factor on the peak learning rate at `progress` (0 to 1) of the budget.

    Linear warm-up, then half a cosine down to 1 % (Loshchilov and Hutter 2017): tied to the budget, whatever its
    length.
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < warm_up:
        return max(progress / warm_up, 0.02)
    along = (progress - warm_up) / (1 - warm_up)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * along))
