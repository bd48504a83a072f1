"""A brain mask computed from the scan itself, for users who give none."""

import numpy as np
from dipy.segment.mask import median_otsu
from jaxtyping import Bool, Float, Shaped
from scipy import ndimage

from shd.errors import ScanError
from shd.signal.gradients import Gradients

__all__ = ["computed_mask"]

# Air in a head coil is at most about a tenth of the brain's b=0 signal; the darkest tissue is a third of CSF.
_AIR_LEVEL = 0.15
# Noise does not diffuse: air keeps its signal at any b, while brain at b = 300 has lost 20 %.
_AIR_ATTENUATION = 0.85


def computed_mask(
    data: Shaped[np.ndarray, "x y z volume"], gradients: Gradients
) -> tuple[Bool[np.ndarray, "x y z"], str]:
    """Return a brain mask and a sentence that says how it was made.

    DIPY's `median_otsu` on the mean b=0 image (median radius 2, one pass: more of them shrink a ball of 15 voxels
    to half its volume), largest piece, holes filled. Otsu's threshold always parts something: in a piece cut from
    inside a brain it parts CSF from tissue. So where the voxels it leaves out are as bright as tissue and lose signal
    with b as tissue does, there is no air to remove, and every voxel with signal is kept. Raises `ScanError` if no
    voxel has a positive b=0 signal.
    """
    unweighted = _mean_volume(data, gradients.b0_volumes)
    positive = np.isfinite(unweighted) & (unweighted > 0.0)
    if not positive.any():
        raise ScanError(
            f"0 of {positive.size} voxels have a positive b=0 signal, so no mask can be computed; "
            "is the image the diffusion scan?"
        )
    unweighted = np.where(positive, unweighted, 0.0)
    weighted = _mean_volume(data, gradients.weighted_shells[0].volumes)
    brain = _largest_piece(median_otsu(unweighted, median_radius=2, numpass=1)[1]) & positive
    outside = positive & ~brain
    if not brain.any() or _is_tissue(unweighted, weighted, brain, outside):
        return positive, (
            f"no mask was given and the scan shows no air around the brain: all {positive.sum()} of {positive.size} "
            "voxels with a positive b=0 signal are fitted"
        )
    return brain, (
        f"no mask was given: one of {brain.sum()} of {brain.size} voxels was computed by DIPY's median_otsu; "
        "look at it, or give your own with --mask"
    )


def _is_tissue(
    unweighted: Float[np.ndarray, "x y z"],
    weighted: Float[np.ndarray, "x y z"],
    brain: Bool[np.ndarray, "x y z"],
    outside: Bool[np.ndarray, "x y z"],
) -> bool:
    """Whether the voxels outside the mask are brain too, by brightness and by loss of signal with b."""
    if 2 * outside.sum() < (~brain).sum():  # most of what lies outside is exact zeros: already a background
        return False
    if not outside.any():
        return True
    level = np.median(unweighted[outside]) / np.median(unweighted[brain])
    attenuation = np.median(weighted[outside] / unweighted[outside])
    return bool(level > _AIR_LEVEL and attenuation < _AIR_ATTENUATION)


def _mean_volume(
    data: Shaped[np.ndarray, "x y z volume"], volumes: Shaped[np.ndarray, " chosen"]
) -> Float[np.ndarray, "x y z"]:
    """Return the mean of the volumes chosen, adding one at a time."""
    total = np.zeros(data.shape[:3])
    for volume in volumes:
        total += data[..., volume]
    return total / len(volumes)


def _largest_piece(mask: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"]:
    """Return the largest connected part of the mask with its holes filled."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return ndimage.binary_fill_holes(labels == np.argmax(sizes))
