"""Intensity normalisation: one unit for the amplitudes of every voxel and every scan, from the tissues themselves.

Receive coils and gains multiply the signal, and with it all tissues' amounts, by a smooth positive field. Water is
everywhere, so a suitably weighted sum of the tissues should be the same in every voxel: what of it varies smoothly is
the field. Sources: Raffelt et al., ISMRM 2017, 3541; Dhollander et al., ISMRM 2021, 2472, the method of MRtrix3's
`mtnormalise`, to which this is held.
"""

import warnings
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from shd.errors import ScanError, SettingsError, ShdWarning
from shd.fodf.field import FodField
from shd.signal.response_estimation.bimodal import upper_group

__all__ = ["HIGHEST_ORDER", "REFERENCE", "Intensity", "normalise_intensity"]

REFERENCE = float(1 / np.sqrt(4 * np.pi))
"""The l=0 coefficient of an fODF that integrates to one: what a voxel full of tissue comes to."""
HIGHEST_ORDER = 3
_ROUNDS, _BALANCES = 15, 7  # mtnormalise's; the field is settled to 1e-4 after about eight
_FIRST_FENCE, _FENCE = 3.0, 1.5  # interquartile ranges beyond the quartiles from which a voxel is an outlier


@dataclass(frozen=True, eq=False)
class Intensity:
    """What multiplied the amplitudes, and how it was found.

    field: the factor in each voxel; 0 outside the mask. balance: tissue → its weight in the sum, of product one. scale:
    geometric mean of the field over `inliers`, the voxels whose sum was not far from the others'.
    """

    field: Float32[np.ndarray, "x y z"]
    balance: dict[str, float]
    scale: float
    inliers: Bool[np.ndarray, "x y z"]


def normalise_intensity(
    fod: FodField, *, order: int = HIGHEST_ORDER, reference: float = REFERENCE
) -> tuple[FodField, Intensity]:
    """Return the fODFs and tissue amounts divided by a smooth field, and that field.

    With l=0 coefficients a_t(x) of the tissues, balance b_t and a polynomial p of `order` in the voxel's position,
    log Σ_t b_t a_t(x) − log `reference` = p(x) in the least-squares sense over the voxels that are no outliers; the
    field is exp p. In turns, b is the least-squares solution of Σ_t b_t a_t / exp p = 1, scaled to product one, voxels
    beyond 1.5 interquartile ranges of log Σ b a / exp p are set aside, and p is fitted. The balance weighs, but does
    not scale, the tissues: all are divided by the same field, so that their fractions stay.

    order: 0 for one factor, to 3. With white matter alone there is no sum that should be constant; voxels above the
    threshold that parts its amounts best are then taken for white matter, with a warning. Raises SettingsError for an
    order or a reference out of range; ScanError where the mask is empty, no tissue is positive, or a balance is not.
    """
    if not 0 <= order <= HIGHEST_ORDER:
        raise SettingsError(f"order {order}: the field's polynomial has order 0 to {HIGHEST_ORDER}; give one of these")
    if not (np.isfinite(reference) and reference > 0):
        raise SettingsError(f"reference {reference}: the sum to reach must be above 0; {REFERENCE:.4f} is the default")
    amounts = _amounts(fod)
    chosen = _chosen(amounts)
    positions = _scaled(np.argwhere(fod.mask))
    coefficients, balance, kept = _solve(amounts[chosen], _monomials(positions[chosen], order), np.log(reference))
    logarithm = coefficients @ _monomials(positions, order)
    inliers = np.zeros(len(amounts), dtype=bool)
    inliers[chosen] = kept
    intensity = Intensity(
        _on_grid(np.exp(logarithm).astype(np.float32), fod.mask),
        dict(zip(("wm", *fod.isotropic), balance.tolist(), strict=True)),
        float(np.exp(logarithm[inliers].mean())),
        _on_grid(inliers, fod.mask),
    )
    return _divided(fod, intensity.field), intensity


def _amounts(fod: FodField) -> Float[np.ndarray, "voxel tissue"]:
    """Return every tissue's l=0 coefficient in the mask's voxels; what is negative or not finite counts as none."""
    voxels = int(fod.mask.sum())
    if not voxels:
        raise ScanError(f"mask has 0 of {fod.mask.size} voxels; give a result with a mask that covers the brain")
    columns = [fod.wm[..., 0][fod.mask], *(volume[fod.mask] for volume in fod.isotropic.values())]
    amounts = np.stack(columns, axis=1).astype(np.float64)
    amounts[~np.isfinite(amounts) | (amounts < 0)] = 0.0
    if not amounts.any():
        raise ScanError(
            f"0 of {voxels} voxels in the mask hold any tissue (their l=0 coefficients are zero or negative); is this "
            "an fODF image, and the mask of this scan?"
        )
    return amounts


def _chosen(amounts: Float[np.ndarray, "voxel tissue"]) -> Bool[np.ndarray, " voxel"]:
    """Return the voxels whose sum tells the intensity: those with tissue, or of white matter alone those full of it."""
    total = amounts.sum(axis=1)
    if amounts.shape[1] > 1:
        return total > 0
    white = upper_group(total)
    chosen = white if white.any() else total > 0
    warnings.warn(
        "1 tissue: without grey matter and CSF there is no sum that should be the same everywhere; the intensity is "
        f"taken from the {chosen.sum()} of {len(total)} voxels with most white matter, and --order 0 is safest",
        ShdWarning,
        stacklevel=3,
    )
    return chosen


def _scaled(voxels: Int[np.ndarray, "voxel 3"]) -> Float[np.ndarray, "voxel 3"]:
    """Return voxel indices between −1 and 1; 0 along an axis on which all are the same.

    Polynomials of an order are the same functions in voxel indices as in millimetres, whatever the affine.
    """
    low, high = voxels.min(axis=0), voxels.max(axis=0)
    return (2.0 * voxels - low - high) / np.maximum(high - low, 1)


def _monomials(positions: Float[np.ndarray, "voxel 3"], order: int) -> Float[np.ndarray, "term voxel"]:
    """Return every x^a y^b z^c with a + b + c up to `order`."""
    x, y, z = positions.T
    powers = [each for each in product(range(order + 1), repeat=3) if sum(each) <= order]
    return np.stack([x**a * y**b * z**c for a, b, c in powers])


def _solve(
    amounts: Float[np.ndarray, "voxel tissue"], basis: Float[np.ndarray, "term voxel"], log_reference: float
) -> tuple[Float[np.ndarray, " term"], Float[np.ndarray, " tissue"], Bool[np.ndarray, " voxel"]]:
    """Return the polynomial's coefficients, the balance, and the voxels that both rest on."""
    logarithm, balance = np.zeros(len(amounts)), np.ones(amounts.shape[1])
    coefficients = np.zeros(len(basis))
    inliers = _inliers(np.log(amounts @ balance), _FIRST_FENCE)
    for _ in range(_ROUNDS):
        for _ in range(_BALANCES):
            if len(balance) > 1:
                balance = _balance(amounts[inliers] / np.exp(logarithm[inliers])[:, None])
            before, inliers = inliers, _inliers(np.log(amounts @ balance) - logarithm, _FENCE)
            if (before == inliers).all():
                break
        terms, wanted = basis[:, inliers], np.log(amounts[inliers] @ balance) - log_reference
        # a mask without extent along an axis leaves terms undetermined; the least solution makes them zero
        coefficients = np.linalg.lstsq(terms @ terms.T, terms @ wanted, rcond=1e-12)[0]
        logarithm = coefficients @ basis
    return coefficients, balance, inliers


def _inliers(logarithms: Float[np.ndarray, " voxel"], fence: float) -> Bool[np.ndarray, " voxel"]:
    """Return the values within `fence` interquartile ranges of the quartiles (Tukey's fences)."""
    places = [min(int(share * len(logarithms) + 0.5), len(logarithms) - 1) for share in (0.25, 0.75)]
    lower, upper = np.partition(logarithms, places)[places]
    reach = fence * (upper - lower)
    return (logarithms >= lower - reach) & (logarithms <= upper + reach)


def _balance(corrected: Float[np.ndarray, "inlier tissue"]) -> Float[np.ndarray, " tissue"]:
    """Return the tissues' weights, of product one, with which their sum is nearest to a constant."""
    weights = np.linalg.lstsq(corrected.T @ corrected, corrected.sum(axis=0), rcond=None)[0]
    if not (weights > 0).all():
        raise ScanError(
            f"tissue balance {', '.join(f'{weight:.3g}' for weight in weights)}: all must be above 0, so the "
            f"{len(corrected)} voxels do not hold enough of each tissue; give a mask of the whole brain, or the "
            "white-matter fODF image alone"
        )
    return weights / np.exp(np.log(weights).mean())


def _divided(fod: FodField, field: Float32[np.ndarray, "x y z"]) -> FodField:
    """Return a copy of all tissues over the field, zero outside the mask."""
    inverse = np.divide(1.0, field, out=np.zeros_like(field), where=fod.mask)
    wm = np.empty(fod.wm.shape, np.float32)
    for index in range(wm.shape[-1]):
        np.multiply(fod.wm[..., index], inverse, out=wm[..., index], casting="same_kind")
    isotropic = {tissue: (volume * inverse).astype(np.float32) for tissue, volume in fod.isotropic.items()}
    return FodField(wm, isotropic, fod.affine, fod.mask)


def _on_grid(values: np.ndarray, mask: Bool[np.ndarray, "x y z"]) -> np.ndarray:
    volume = np.zeros(mask.shape, values.dtype)
    volume[mask] = values
    return volume
