"""MSMT-CSD by DIPY, on a Scan: `dipy.reconst.mcsd` with the responses given, in our basis and frame."""

import importlib.util
import warnings

import numpy as np
from dipy.core.gradients import gradient_table
from dipy.reconst.mcsd import MultiShellDeconvModel, MultiShellResponse
from dipy.reconst.shm import convert_sh_descoteaux_tournier

from shd.errors import ResponseError
from shd.fodf.field import FodField
from shd.scans.scan import Scan
from shd.signal.response import Response

__all__ = ["convex_solver_installed", "dipy_multi_tissue_deconvolution"]


def convex_solver_installed() -> bool:
    """Return whether cvxpy, which DIPY solves each voxel's quadratic programme with, can be imported."""
    return importlib.util.find_spec("cvxpy") is not None


def dipy_multi_tissue_deconvolution(scan: Scan, responses: tuple[Response, ...], *, degree: int = 8) -> FodField:
    """Return the fODFs of every tissue by `MultiShellDeconvModel` (Jeurissen et al., NeuroImage 103 (2014)).

    responses: white matter first, then at least one isotropic tissue. degree: of the white-matter fODF.

    DIPY's model is given unit vectors in scanner axes, so its answer has that frame; its legacy descoteaux07 basis is a
    permutation of ours. Its columns of isotropic tissues stand before the white matter's, and a row of its response is
    that of MRtrix: r_l for Y_l0, r_0 including √4π. Voxels that its solver gives up on (NaN) are left at zero.

    Raises ResponseError with white matter alone, which DIPY's model does not take.
    """
    wm, *isotropic = responses
    if not isotropic:
        raise ResponseError("1 response (wm): DIPY's MSMT-CSD needs at least one isotropic tissue beside white matter")
    table = gradient_table(
        _shell_bvalues(scan), bvecs=scan.gradients.directions, b0_threshold=0.0
    )  # one value a shell: DIPY looks rows of the response up by b-value
    zonal = np.zeros((len(wm.bvalues), degree // 2 + 1))
    held = min(zonal.shape[1], wm.coefficients.shape[1])
    zonal[:, :held] = wm.coefficients[:, :held]
    columns = [tissue.coefficients[:, :1] for tissue in isotropic]
    if len(columns) == 1:
        columns.append(np.zeros_like(columns[0]))  # DIPY takes no fewer than two: one without signal changes nothing
    rows = np.concatenate([*columns, zonal], axis=1)
    response = MultiShellResponse(rows, degree, np.array([shell.bvalue for shell in scan.gradients.shells]))
    with warnings.catch_warnings():
        # DIPY's model is written in the basis whose withdrawal DIPY announces; the solver warns of hard voxels.
        warnings.simplefilter("ignore")
        model = MultiShellDeconvModel(table, response, sh_order_max=degree, iso=len(columns))
        answers = model.fit(np.asarray(scan.data, dtype=np.float64), mask=scan.mask, verbose=False).all_shm_coeff
    answers = np.where(scan.mask[..., None], np.nan_to_num(answers), 0.0).astype(np.float32)
    field = convert_sh_descoteaux_tournier(answers[..., len(columns) :])
    volumes = {tissue.tissue: answers[..., place] for place, tissue in enumerate(isotropic)}
    return FodField(field.astype(np.float32), volumes, scan.affine, scan.mask)


def _shell_bvalues(scan: Scan) -> np.ndarray:
    """Return the b-value of its shell for every volume, exactly zero for b=0."""
    bvalues = np.zeros(len(scan.gradients.bvalues))
    for shell in scan.gradients.weighted_shells:
        bvalues[shell.volumes] = shell.bvalue
    return bvalues
