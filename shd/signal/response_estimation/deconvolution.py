"""Least squares in harmonics whose functions must not be negative, for many voxels at once."""

import numpy as np
from jaxtyping import Float

__all__ = ["nonnegative_fit"]

_CHUNK = 512  # voxels whose normal matrices are held together: 512·45² doubles are 8 MiB
_MAX_ITERATIONS = 50


def nonnegative_fit(
    signal: Float[np.ndarray, "voxel volume"],
    design: Float[np.ndarray, "volume unknown"],
    constraints: Float[np.ndarray, "constraint unknown"],
    penalty: float,
    damping: float,
) -> Float[np.ndarray, "voxel unknown"]:
    """Return, per voxel, the f that minimises |Af − s|² + damping·|f|² + penalty·Σ min(0, (Cf)_n)².

    A → design, s → signal, C → constraints. Each iteration solves the normal equations with the constraints that the
    last solution broke, until that set stays. The problem is convex, so the start does not matter. A large penalty
    makes the constraint hard. Source: Tournier, Calamante and Connelly, NeuroImage 35 (2007), section on the
    non-negativity constraint.
    """
    unknowns = design.shape[1]
    normal = design.T @ design + damping * np.eye(unknowns)
    rows, columns = np.triu_indices(unknowns)
    products = penalty * constraints[:, rows] * constraints[:, columns]
    unpack = np.empty((unknowns, unknowns), dtype=np.intp)
    unpack[rows, columns] = unpack[columns, rows] = np.arange(len(rows))
    projected = np.asarray(signal, dtype=np.float64) @ design
    solution = np.linalg.solve(normal, projected.T).T
    for start in range(0, len(signal), _CHUNK):
        active = np.arange(start, min(start + _CHUNK, len(signal)))
        broken = np.zeros((len(active), len(constraints)), dtype=bool)
        for _ in range(_MAX_ITERATIONS):
            now = solution[active] @ constraints.T < 0
            moved = np.any(now != broken, axis=1)
            active, broken = active[moved], now[moved]
            if active.size == 0:
                break
            matrices = normal + (broken.astype(np.float64) @ products)[:, unpack]
            solution[active] = np.linalg.solve(matrices, projected[active][..., None])[..., 0]
    return solution
