"""The response function: the signal of one tissue with its fibres along +z, per shell."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

__all__ = ["TISSUES", "Response"]

TISSUES = ("wm", "gm", "csf")


@dataclass(frozen=True, eq=False)
class Response:
    """Zonal harmonic coefficients of one tissue's signal.

    tissue: "wm", "gm" or "csf". bvalues: s/mm², ascending, b=0 first. coefficients: r_l for l = 0, 2, 4, … in MRtrix's
    normalisation (the l=0 coefficient of a constant signal S is S·√4π), in the intensity units of the scan.
    """

    tissue: str
    bvalues: Float[np.ndarray, " shell"]
    coefficients: Float[np.ndarray, "shell even_degree"]

    @property
    def isotropic(self) -> bool:
        """Whether the tissue has no direction (only the l=0 column)."""
        return self.coefficients.shape[1] == 1

    @property
    def degree(self) -> int:
        """Highest harmonic degree held."""
        return 2 * (self.coefficients.shape[1] - 1)
