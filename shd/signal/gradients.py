"""How each volume was diffusion-weighted: b-values, directions in scanner axes, and the shells they form."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

__all__ = ["Gradients", "Shell"]


@dataclass(frozen=True, eq=False)
class Shell:
    """Volumes that share a b-value: its mean (s/mm²) and their indices in the scan."""

    bvalue: float
    volumes: Int[np.ndarray, " volume"]


@dataclass(frozen=True, eq=False)
class Gradients:
    """The gradient table of a scan.

    bvalues: s/mm², one a volume. directions: unit vectors in scanner (RAS mm) axes, zero for b=0 volumes.
    shells: ascending in b; the first is b=0.
    """

    bvalues: Float[np.ndarray, " volume"]
    directions: Float[np.ndarray, "volume 3"]
    shells: tuple[Shell, ...]
