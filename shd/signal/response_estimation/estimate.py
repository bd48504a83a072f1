"""Responses of a scan: of white matter alone for one shell, of three tissues for several."""

import warnings

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import binary_erosion

from shd.errors import ResponseError, ShdWarning
from shd.signal.gradients import MINIMUM_DIRECTIONS, Gradients, axis_count
from shd.signal.response import Response
from shd.signal.response_estimation.multi_tissue import estimate_multi_tissue
from shd.signal.response_estimation.single_shell import estimate_single_shell
from shd.signal.response_estimation.tensor import anisotropy_and_direction
from shd.sphere.directions import axial_angle

__all__ = ["eroded", "estimate_responses"]

ANISOTROPIC_FA = 0.2
SAME_AXIS = 20.0
"""Degrees. Two random axes are closer than this in 6 % of cases."""
LEAST_ANISOTROPIC_FRACTION = 0.08
"""Of the voxels: 0.15 to 0.39 in the brains tried, 0.005 to 0.033 in a water phantom, to 0.044 in simulated water."""
LEAST_CSF_DIFFUSIVITY = 1.5e-3
"""mm²/s. Free water has 3.0e-3 at 37 °C (Mills, J. Phys. Chem. 77, 1973); white and grey matter have about 0.8e-3."""
_EROSIONS = 3
_LEAST_REMAINDER = 0.25


def estimate_responses(
    signal: Float[np.ndarray, "voxel volume"], gradients: Gradients, mask: Bool[np.ndarray, "x y z"]
) -> tuple[tuple[Response, ...], dict[str, Bool[np.ndarray, " voxel"]]]:
    """Return the scan's responses, white matter first, and by tissue which voxels they were made of.

    One shell above b=0 gives white matter alone (`single_shell`); several give white matter, grey matter and CSF
    (`multi_tissue`), from the mask without its rim.

    signal: intensities of the mask's voxels in C order (`data[mask]`). gradients: directions in scanner axes.

    Raises: ResponseError if no shell has 6 directions, fewer than 8 % of the voxels are anisotropic beyond noise (water
    phantoms), or a tissue is missing. Warns (ShdWarning) if the CSF found
    does not diffuse like free water.
    """
    _check_input(signal, gradients, mask)
    _check_anisotropy(signal, gradients)
    if len(gradients.weighted_shells) == 1:
        response, fibres = estimate_single_shell(signal, gradients, mask)
        rows = {"wm": fibres.rows}
        responses: tuple[Response, ...] = (response,)
    else:
        inner = np.flatnonzero(eroded(mask)[mask])
        responses, tissues = estimate_multi_tissue(signal, gradients, inner)
        rows = tissues._asdict()
        _check_free_water(responses[-1])
    return responses, {name: np.isin(np.arange(len(signal)), chosen) for name, chosen in rows.items()}


def eroded(mask: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"]:
    """Return the mask without its rim of 3 voxels, or of 2, 1 or 0 where less than a quarter of it would remain.

    The rim holds skull and partial volume. The border of the volume is no rim: the brain of a crop goes on beyond it.
    """
    for passes in range(_EROSIONS, 0, -1):
        inner = binary_erosion(mask, iterations=passes, border_value=1)
        if np.count_nonzero(inner) >= _LEAST_REMAINDER * np.count_nonzero(mask):
            return inner
    return mask


def _check_input(
    signal: Float[np.ndarray, "voxel volume"], gradients: Gradients, mask: Bool[np.ndarray, "x y z"]
) -> None:
    if signal.shape != (np.count_nonzero(mask), len(gradients.bvalues)) or len(signal) == 0:
        raise ResponseError(
            f"responses: signal of {signal.shape[0]} voxels and {signal.shape[1]} volumes, but "
            f"{np.count_nonzero(mask)} voxels in the mask and {len(gradients.bvalues)} b-values; give data[mask]"
        )
    most = max((axis_count(gradients.shell_directions(shell)) for shell in gradients.weighted_shells), default=0)
    if most < MINIMUM_DIRECTIONS:
        raise ResponseError(
            f"responses: at most {most} directions a shell, {MINIMUM_DIRECTIONS} are needed to estimate them; "
            "give the responses as files"
        )


def _check_anisotropy(signal: Float[np.ndarray, "voxel volume"], gradients: Gradients) -> None:
    """Raise where too few voxels have a direction that is there again in other volumes: water, or mere noise.

    The tensor is fitted to each half of every shell's volumes. Noise alone may have any FA, but in the other half it
    has another axis. Where half the volumes are not enough for a tensor, the FA of all of them must do.
    """
    halves = [_half(gradients, first) for first in (0, 1)]
    if any(axis_count(gradients.directions[half]) < MINIMUM_DIRECTIONS for half in halves):
        halves = [np.arange(len(gradients.bvalues))] * 2
    fits = [anisotropy_and_direction(signal, gradients, volumes=half) for half in halves]
    fa = np.minimum(fits[0][0], fits[1][0])
    anisotropic = (fa > ANISOTROPIC_FA) & (axial_angle(fits[0][1], fits[1][1]) < SAME_AXIS)
    if anisotropic.mean() < LEAST_ANISOTROPIC_FRACTION:
        raise ResponseError(
            f"responses: no white matter found: {100 * anisotropic.mean():.1f} % of {len(signal)} voxels have an FA "
            f"above {ANISOTROPIC_FA} and an axis that repeats (at least {100 * LEAST_ANISOTROPIC_FRACTION:.0f} % "
            f"expected; median FA {np.median(fa):.2f}); is it a phantom, or the mask wrong? "
            "Else give the responses as files"
        )


def _half(gradients: Gradients, first: int) -> Int[np.ndarray, " volume"]:
    """Return b=0 and every second volume of each shell."""
    parts = [shell.volumes[first::2] for shell in gradients.weighted_shells]
    return np.sort(np.concatenate([gradients.b0_volumes, *parts]))


def _check_free_water(csf: Response) -> None:
    diffusivity = float(np.log(csf.mean_signal[0] / csf.mean_signal[1]) / (csf.bvalues[1] - csf.bvalues[0]))
    if diffusivity < LEAST_CSF_DIFFUSIVITY:
        warnings.warn(
            f"responses: what was taken for CSF diffuses with {diffusivity * 1e3:.2f}e-3 mm²/s, free water with "
            "3.0e-3; the mask may hold no CSF. Compare response_csf.txt with another subject's",
            ShdWarning,
            stacklevel=3,
        )
