"""The voxel lattice: which neighbours of a voxel share one weight in a kernel that depends on distance alone."""

import numpy as np
from jaxtyping import Int

__all__ = ["distance_classes", "expanded_class_map"]


def distance_classes(size: int) -> tuple[int, ...]:
    """Return the squared distances found in a size³ kernel: (0, 1, 2, 3) for 3, ten of them for 5."""
    if size not in (1, 3, 5):
        raise ValueError(f"spatial kernel {size}: use 1 (voxel by voxel), 3 or 5")
    return tuple(int(d) for d in np.unique(_squared_distances(size)))


def expanded_class_map(size: int) -> Int[np.ndarray, "size size size"]:
    """Return for each tap of the dense kernel the index of its distance class."""
    return np.searchsorted(distance_classes(size), _squared_distances(size))


def _squared_distances(size: int) -> Int[np.ndarray, "size size size"]:
    offsets = np.arange(size) - size // 2
    return offsets[:, None, None] ** 2 + offsets[None, :, None] ** 2 + offsets[None, None, :] ** 2
