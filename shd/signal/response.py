"""The response function: the signal of one tissue with its fibres along +z, per shell."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from shd.errors import ResponseError, number_of

__all__ = ["TISSUES", "Response"]

TISSUES = ("wm", "gm", "csf")


@dataclass(frozen=True, eq=False)
class Response:
    """Zonal harmonic coefficients of one tissue's signal; validated when made.

    tissue: "wm", "gm" or "csf". bvalues: s/mm², ascending, b=0 first. coefficients: r_l for l = 0, 2, 4, … in MRtrix's
    normalisation (the l=0 coefficient of a constant signal S is S·√4π), in the intensity units of the scan.
    """

    tissue: str
    bvalues: Float[np.ndarray, " shell"]
    coefficients: Float[np.ndarray, "shell even_degree"]

    def __post_init__(self) -> None:
        """Raise ResponseError where the values cannot be a response."""
        if self.tissue not in TISSUES:
            raise ResponseError(f"tissue {self.tissue!r}: a response is of one of {', '.join(TISSUES)}")
        shells, degrees = self.coefficients.shape
        if len(self.bvalues) != shells or shells < 1 or degrees < 1:
            raise ResponseError(
                f"{self.tissue} response: {number_of(len(self.bvalues), 'b-value')} but {number_of(shells, 'row')} "
                f"of {number_of(degrees, 'coefficient')}; give one row a shell, b=0 first"
            )
        if np.any(np.diff(self.bvalues) <= 0):
            listed = self.bvalues.tolist()
            raise ResponseError(f"{self.tissue} response: b-values {listed} do not ascend; sort the rows")
        if not np.all(np.isfinite(self.coefficients)) or np.any(self.coefficients[:, 0] <= 0):
            raise ResponseError(
                f"{self.tissue} response: mean signals {np.round(self.mean_signal, 3).tolist()} for {shells} shells; "
                "all must be finite and above zero"
            )

    @property
    def isotropic(self) -> bool:
        """Whether the tissue has no direction (only the l=0 column)."""
        return self.coefficients.shape[1] == 1

    @property
    def degree(self) -> int:
        """Highest harmonic degree held."""
        return 2 * (self.coefficients.shape[1] - 1)

    @property
    def mean_signal(self) -> Float[np.ndarray, " shell"]:
        """The signal averaged over the sphere, r_0/√4π, per shell."""
        return self.coefficients[:, 0] / np.sqrt(4 * np.pi)
