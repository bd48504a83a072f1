"""The five affines of the acceptance matrix, with unequal voxel sizes so that mixed-up axes show."""

import numpy as np

_TILT = np.deg2rad(20)
_OBLIQUE = np.array([[1, 0, 0], [0, np.cos(_TILT), -np.sin(_TILT)], [0, np.sin(_TILT), np.cos(_TILT)]])
_AXES = {
    "RAS": np.eye(3),
    "LAS": np.diag([-1.0, 1.0, 1.0]),
    "LPS": np.diag([-1.0, -1.0, 1.0]),
    "oblique": _OBLIQUE,
    "permuted": np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
}


def _affine(axes: np.ndarray) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = axes * [1.0, 1.5, 2.0]
    affine[:3, 3] = [-20.0, 13.0, 7.0]
    return affine


AFFINES = {name: _affine(axes) for name, axes in _AXES.items()}
