"""The five geometries every orientation must survive, and gradient tables written in three conventions."""

import json
from pathlib import Path

import numpy as np

from shd.sphere.directions import normalised


def _turned(degrees: float, axis: tuple[float, float, float]) -> np.ndarray:
    """Rotation by Rodrigues' formula."""
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _affine(matrix: np.ndarray) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = (-12.0, 7.5, 30.0)
    return affine


# Voxel index → scanner RAS mm; voxels of 2 × 2 × 2 mm unless the axes are permuted (2, 2.2, 2.5 mm, det < 0).
AFFINES = {
    "RAS": _affine(2.0 * np.eye(3)),
    "LAS": _affine(2.0 * np.diag([-1.0, 1.0, 1.0])),
    "LPS": _affine(2.0 * np.diag([-1.0, -1.0, 1.0])),
    "oblique": _affine(2.0 * _turned(20.0, (1.0, 0.6, -0.4))),
    "permuted": _affine(np.array([[0.0, 2.2, 0.0], [0.0, 0.0, -2.5], [-2.0, 0.0, 0.0]]) @ np.diag([1.0, 1.0, -1.0])),
}

CONVENTIONS = ("fsl", "mrtrix", "qsiprep")


def voxel_vectors(directions: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Components along the image axes of scanner-axes vectors; for affines without shear."""
    return normalised(directions) @ normalised(affine[:3, :3].T).T


def write_table(
    convention: str, image: Path, bvalues: np.ndarray, directions: np.ndarray, affine: np.ndarray
) -> dict[str, Path]:
    """Write the table beside `image` and return the arguments for `read_scan`; `directions` in scanner axes."""
    stem = image.name.removesuffix(".gz").removesuffix(".nii")
    bval, bvec, grad = (image.with_name(stem + suffix) for suffix in (".bval", ".bvec", ".b"))
    if convention == "mrtrix":
        np.savetxt(grad, np.column_stack([directions, bvalues]), fmt="%.9f")
        return {"grad": grad}
    vectors = voxel_vectors(directions, affine)
    if convention == "qsiprep":
        origin = {"GeneratedBy": [{"Name": "QSIPrep", "Version": "0.20.0"}]}
        image.with_name(f"{stem}.json").write_text(json.dumps(origin))
    elif np.linalg.det(affine[:3, :3]) > 0:
        vectors = vectors * [-1.0, 1.0, 1.0]
    np.savetxt(bval, bvalues[None], fmt="%g")
    np.savetxt(bvec, vectors.T, fmt="%.9f")
    return {"bval": bval, "bvec": bvec}
