"""fODF fields whose streamlines are known: straight along one axis, or around a circle."""

import numpy as np

from shd.fodf.field import FodField
from shd.sphere.directions import normalised
from shd.sphere.harmonics import even_harmonics

TRUTH = normalised(np.array([[0.80, -0.36, 0.48]]))[0]  # scanner axes; along no axis or diagonal of any test grid
DEGREE = 8


PEAK = 45 / (4 * np.pi)
"""Height of the peak of a voxel full of fibres at DEGREE."""


def fods_along(axes, degree=DEGREE):
    """Voxels full of fibres along each axis, (..., 3) to (..., coeff)."""
    return even_harmonics(axes.reshape(-1, 3), degree).reshape(*axes.shape[:-1], -1).astype(np.float32)


def straight_field(affine, shape=(14, 13, 12), degree=DEGREE):
    """One fibre direction, TRUTH, in every voxel but those at the faces of the volume."""
    mask = np.zeros(shape, bool)
    mask[1:-1, 1:-1, 1:-1] = True
    wm = np.where(mask[..., None], fods_along(TRUTH, degree), 0)
    return FodField(wm.astype(np.float32), {}, np.asarray(affine), mask)


def circular_field(affine, radius=14.0, shape=(24, 24, 5), degree=DEGREE):
    """Fibres around half a circle in the plane of the first two voxel axes; return them, its middle and normal."""
    centres = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) @ affine[:3, :3].T + affine[:3, 3]
    middle = affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3]
    normal = normalised(np.cross(affine[:3, 0], affine[:3, 1])[None])[0]
    tangents = np.cross(normal, centres - middle)
    mask = np.abs(np.linalg.norm(tangents, axis=-1) - radius) < 5.0
    mask[: shape[0] // 2] = False
    wm = np.where(mask[..., None], fods_along(normalised(tangents), degree), 0)
    return FodField(wm.astype(np.float32), {}, np.asarray(affine), mask), middle, normal


def crossing_field(lesser, angle_degrees=90.0, shape=(11, 11, 11), degree=DEGREE):
    """In every voxel fibres along x, and `lesser` of them at an angle to it; full voxels of 2 mm, RAS."""
    angle = np.deg2rad(angle_degrees)
    axes = np.array([[1.0, 0.0, 0.0], [np.cos(angle), np.sin(angle), 0.0]])
    both = fods_along(axes, degree)
    wm = np.broadcast_to((1 - lesser) * both[0] + lesser * both[1], (*shape, both.shape[1])).astype(np.float32)
    return FodField(wm, {}, np.diag([2.0, 2.0, 2.0, 1.0]), np.ones(shape, bool))
