"""DIPY's PAM5 files: peaks and harmonics of fODFs, in voxel axes, for its tracking."""

from pathlib import Path

import numpy as np
from dipy.direction.peaks import PeaksAndMetrics
from dipy.io.peaks import save_pam
from jaxtyping import Bool, Float, Float32

from shd.fodf.encoding import OURS, Encoding, conversion_matrix, converted_volumes
from shd.fodf.frames import peaks_to_voxel_axes
from shd.fodf.peaks import Peaks
from shd.fodf.scalar_maps import generalised_anisotropy
from shd.io.atomic import whole_file
from shd.io.spheres import named_sphere
from shd.sphere.bases import change_basis
from shd.sphere.harmonics import degree_of_count, even_harmonics

__all__ = ["write_pam5"]


def write_pam5(
    path: Path,
    coefficients: Float[np.ndarray, "x y z coeff"],
    peaks: Peaks,
    affine: Float[np.ndarray, "4 4"],
    mask: Bool[np.ndarray, "x y z"],
    sphere: str,
    basis: str,
) -> None:
    """Write what DIPY's `peaks_from_model` gives: peaks, their nearest vertices, harmonics, B and GFA, by `save_pam`.

    coefficients, peaks: MRtrix3 basis, scanner axes, on the grid. sphere: DIPY's name. basis: one of DIPY's four, for
    shm_coeff and B; the file itself has no place for its name. Raises SettingsError for an unknown sphere, OutputError
    where the file cannot be written.
    """
    told = peaks_to_voxel_axes(peaks, affine)
    directions = named_sphere(sphere)
    degree = degree_of_count(coefficients.shape[-1])
    matrix = conversion_matrix(degree, OURS, Encoding(basis, "voxel"), affine)
    held = np.empty(coefficients.shape, np.float32)
    for index, volume in enumerate(converted_volumes(coefficients, matrix, mask)):
        held[..., index] = volume
    pam = PeaksAndMetrics()
    pam.affine = affine
    pam.sphere = directions
    pam.peak_dirs, pam.peak_values = told.directions, told.amplitudes
    pam.peak_indices = _nearest(told, np.asarray(directions.vertices, np.float32))
    pam.shm_coeff = held
    pam.B = functions(basis, np.asarray(directions.vertices, dtype=np.float64), degree).T.astype(np.float32)
    pam.gfa = np.zeros(mask.shape, np.float32)
    pam.gfa[mask] = generalised_anisotropy(coefficients[mask])
    pam.qa = pam.odf = None
    with whole_file(path) as partial:
        save_pam(str(partial), pam)


def functions(
    basis: str, directions: Float[np.ndarray, "direction 3"], degree: int
) -> Float[np.ndarray, "direction coeff"]:
    """Return the functions of a basis at unit vectors: values = functions @ coefficients."""
    identity = np.eye(even_harmonics(directions[:1], degree).shape[1])
    return even_harmonics(directions, degree) @ change_basis(identity, basis, "mrtrix3").T


def _nearest(peaks: Peaks, vertices: Float32[np.ndarray, "vertex 3"]) -> np.ndarray:
    """Return the vertex nearest each peak, of either sign, int32; −1 where there is no peak, as DIPY has it."""
    present = peaks.amplitudes > 0
    found = peaks.directions[present].astype(np.float32)
    blocks = np.array_split(found, max(1, len(found) >> 14))
    nearest = np.full(present.shape, -1, np.int32)
    nearest[present] = np.concatenate([np.abs(block @ vertices.T).argmax(axis=1) for block in blocks])
    return nearest
