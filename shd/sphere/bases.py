"""Bases of real even harmonics in use, as exact changes from the MRtrix3 basis.

Every one of them holds the same functions as the MRtrix3 basis, with other signs, another order within a degree, or
without the factor √2: a change of basis picks, for each coefficient, one of another basis and a factor.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from shd.sphere.harmonics import coefficient_degrees, degree_of_count

__all__ = ["BASES", "DIPY_BASES", "BasisChange", "basis_change", "change_basis", "dipy_arguments"]

DIPY_BASES = ("tournier07", "tournier07_legacy", "descoteaux07", "descoteaux07_legacy")
BASES = ("mrtrix3", *DIPY_BASES)


@dataclass(frozen=True, eq=False)
class BasisChange:
    """new coefficient i = factor[i] · old coefficient source[i]."""

    source: Int[np.ndarray, " coeff"]
    factor: Float[np.ndarray, " coeff"]


def basis_change(degree: int, old: str, new: str) -> BasisChange:
    """Return how coefficients up to `degree` go from one of `BASES` into another.

    Oracle and definitions: `dipy.reconst.shm`, `real_sh_tournier` and `real_sh_descoteaux`, each with `legacy` true or
    false; tournier07 without legacy is the MRtrix3 basis (Tournier et al. 2019), descoteaux07 that of Descoteaux et al.
    2007. Raises ValueError for an unknown basis.
    """
    to_old, to_new = _from_mrtrix(degree, old), _from_mrtrix(degree, new)
    back = np.argsort(to_old.source)  # where a MRtrix3 coefficient stands in the old basis
    source = back[to_new.source]
    return BasisChange(source, to_new.factor / to_old.factor[source])


def change_basis(
    coefficients: Float[np.ndarray, "*grid coeff"], old: str, new: str
) -> Float[np.ndarray, "*grid coeff"]:
    """Return the coefficients in basis `new` of functions whose coefficients in basis `old` are given, same type."""
    change = basis_change(degree_of_count(coefficients.shape[-1]), old, new)
    return coefficients[..., change.source] * change.factor.astype(coefficients.dtype)


def dipy_arguments(basis: str) -> tuple[str, bool]:
    """Return DIPY's `basis_type` (also `sh_basis`) and `legacy` of one of `BASES`."""
    name = "tournier07" if basis == "mrtrix3" else basis
    return name.removesuffix("_legacy"), name.endswith("_legacy")


def _from_mrtrix(degree: int, basis: str) -> BasisChange:
    """Return the change from MRtrix3, whose function of order m is √2 Im Y_l^|m|, Y_l^0 or √2 Re Y_l^m by m's sign."""
    l = coefficient_degrees(degree)
    index = np.arange(len(l))
    m = index - l * (l + 1) // 2
    mirrored = index - 2 * m
    if basis in ("mrtrix3", "tournier07"):
        return BasisChange(index, np.ones(len(l)))
    if basis == "tournier07_legacy":  # the functions lack √2, so coefficients carry it
        return BasisChange(index, np.where(m == 0, 1.0, np.sqrt(2.0)))
    if basis == "descoteaux07_legacy":  # √2 Re Y_l^|m| stands at −|m|, √2 Im Y_l^|m| at |m|
        return BasisChange(mirrored, np.ones(len(l)))
    if basis == "descoteaux07":  # as above with Y_l^m of m < 0, and Re Y_l^−m = (−1)^m Re Y_l^m
        return BasisChange(mirrored, np.where((m < 0) & (m % 2 == 1), -1.0, 1.0))
    raise ValueError(f"basis {basis}: unknown; give one of {', '.join(BASES)}")
