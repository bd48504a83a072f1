"""fODF fields whose tissues, gains and bias are known."""

import numpy as np
from scipy.ndimage import gaussian_filter

from shd.fodf.field import FodField
from shd.fodf.intensity import REFERENCE
from shd.sphere.directions import normalised
from shd.sphere.harmonics import even_harmonics
from tests.support.affines import AFFINES

SHAPE = (20, 22, 18)


def grid(shape=SHAPE):
    """Positions from −1 to 1 along each axis."""
    return np.stack(np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij"))


def bias(order, strength=0.3, seed=0, shape=SHAPE):
    """A smooth positive field: the exponential of a polynomial of this order."""
    rng = np.random.default_rng(seed)
    x, y, z = grid(shape)
    terms = [x**a * y**b * z**c for a in range(order + 1) for b in range(order + 1) for c in range(order + 1)
             if 0 < a + b + c <= order]  # fmt: skip
    return np.exp(strength * sum((rng.uniform(-1, 1) * term for term in terms), np.zeros(shape)) / max(order, 1))


def tissues(field=1.0, gains=(1.0, 1.0, 1.0), degree=4, noise=0.0, outliers=0.0, seed=0, affine=AFFINES["oblique"]):
    """Patches of three tissues in an ellipsoid, their sum 1/√4π times `field`; each tissue in a unit of its own.

    noise: relative, of each amount. outliers: share of voxels whose amounts are multiplied by a number from 0.1 to 5.
    """
    rng = np.random.default_rng(seed)
    mask = (grid() ** 2).sum(axis=0) < 1.2
    patches = np.exp(3 * np.stack([gaussian_filter(rng.standard_normal(SHAPE), 1.5) for _ in range(3)]) * 6)
    amounts = patches / patches.sum(axis=0) * REFERENCE * field
    amounts = amounts * (1 + noise * rng.standard_normal(amounts.shape))
    wild = rng.random(SHAPE) < outliers
    amounts[:, wild] *= rng.uniform(0.1, 5.0, wild.sum())
    amounts = np.where(mask, amounts, 0.0) * np.reshape(gains, (3, 1, 1, 1))
    shape = even_harmonics(normalised(rng.standard_normal((mask.size, 3))), degree).reshape(*SHAPE, -1) / REFERENCE
    wm = (amounts[0, ..., None] * shape).astype(np.float32)
    return FodField(wm, {"gm": amounts[1].astype(np.float32), "csf": amounts[2].astype(np.float32)}, affine, mask)
