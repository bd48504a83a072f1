"""The volumes of a scan, one by one: none may be missing in the mask, and none far brighter or darker than its like."""

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Shaped

from shd.errors import ScanError, ShdWarning
from shd.signal.gradients import Gradients, Shell

__all__ = ["check_finite_volumes", "check_volume_medians"]

_SAMPLE = 1000  # voxels of the mask: enough for a median, and next to nothing to read
# A volume is odd if it is this many times brighter or darker than its shell: real scans and phantoms stay within 1.6 …
_FACTOR = 3.0
# … and so many robust standard deviations away: where all fibres are parallel, a shell is bright across them and dark
# along them.
_DEVIATIONS = 8.0
_DIFFUSIVITY_SPREAD = 0.45e-3  # mm²/s: at high b most of such a shell is noise, whose deviation says nothing
_FLOOR = 0.01  # of b=0: medians below are of noise, or of whole numbers near zero
_LISTED = 8


def check_finite_volumes(
    name: str, data: Shaped[np.ndarray, "x y z volume"], mask: Bool[np.ndarray, "x y z"]
) -> None:
    """Raise ScanError for volumes that are NaN or infinite in every voxel of the mask, by number from 0."""
    if not np.issubdtype(data.dtype, np.inexact):
        return
    bad = [volume for volume in range(data.shape[3]) if not np.isfinite(data[..., volume][mask]).any()]
    if bad:
        raise ScanError(f"{name}: {_are(bad)} NaN or infinite in every voxel of the mask; {_way_out(bad)}")


def check_volume_medians(
    name: str, data: Shaped[np.ndarray, "x y z volume"], mask: Bool[np.ndarray, "x y z"], gradients: Gradients
) -> None:
    """Raise ScanError for volumes of zeros; warn (ShdWarning) of those far brighter or darker than their like.

    Compared are medians over up to 1000 voxels of the mask: of each volume, of its shell's volumes (the median of
    theirs) and of those at b=0. A volume of zeros is zero in every voxel of the mask, which holds no NaN.
    """
    inside = np.argwhere(mask)
    x, y, z = inside[:: max(1, len(inside) // _SAMPLE)].T
    sample = np.asarray(data[x, y, z], dtype=np.float32)
    zeros = [v for v in np.flatnonzero(~sample.any(axis=0)).tolist() if not data[..., v][mask].any()]
    if zeros:
        raise ScanError(f"{name}: {_are(zeros)} zero in every voxel of the mask; {_way_out(zeros)}")
    medians = np.median(sample, axis=0)
    b0 = max(float(np.median(medians[gradients.b0_volumes])), 1e-30)
    odd = [text for n, shell in enumerate(gradients.shells) for text in _odd_ones(shell, medians, b0, directed=n > 0)]
    if odd:
        more = f" and {len(odd) - _LISTED} more" if len(odd) > _LISTED else ""
        warnings.warn(
            f"{name}: {'; '.join(odd[:_LISTED])}{more}. Look at them, and remove what is damaged from scan and table "
            "(volumes are numbered from 0)",
            ShdWarning,
            stacklevel=3,
        )


def _odd_ones(shell: Shell, medians: Float[np.ndarray, " volume"], b0: float, *, directed: bool) -> list[str]:
    """Return in words the volumes of a shell that are not like the others. directed: the shell is not b=0."""
    logarithms = np.log(np.maximum(medians[shell.volumes], _FLOOR * b0))
    distance = np.abs(logarithms - np.median(logarithms))
    spread = max(_DEVIATIONS * 1.4826 * float(np.median(distance)), _DIFFUSIVITY_SPREAD * shell.bvalue)
    odd = distance > max(np.log(_FACTOR), spread if directed else 0.0)
    odd |= medians[shell.volumes] > _FACTOR * b0
    usual = float(np.median(medians[shell.volumes]))
    return [
        f"volume {volume} (b={shell.bvalue:.0f}) has a median of {medians[volume]:.4g} in the mask, but its shell "
        f"{usual:.4g} and b=0 {b0:.4g}"
        for volume in shell.volumes[odd]
    ]


def _are(volumes: Sequence[int]) -> str:
    more = f" and {len(volumes) - _LISTED} more" if len(volumes) > _LISTED else ""
    listed = ", ".join(map(str, volumes[:_LISTED])) + more
    return f"volume {listed} (numbered from 0) is" if len(volumes) == 1 else f"volumes {listed} (numbered from 0) are"


def _way_out(volumes: Sequence[int]) -> str:
    return f"remove {'it' if len(volumes) == 1 else 'them'} from scan and table"
