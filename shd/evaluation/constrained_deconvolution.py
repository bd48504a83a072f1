"""Constrained spherical deconvolution by DIPY: the rival everyone has, in our basis and frame."""

import warnings

import numpy as np
from dipy.core.gradients import GradientTable, gradient_table
from dipy.reconst.csdeconv import (
    AxSymShResponse,
    ConstrainedSphericalDeconvModel,
    mask_for_response_ssst,
    response_from_mask_ssst,
)
from dipy.reconst.shm import convert_sh_descoteaux_tournier
from jaxtyping import Float

from shd.errors import ResponseError, ScanError
from shd.fodf.field import FodField
from shd.scans.scan import Scan
from shd.signal.gradients import Gradients, Shell
from shd.signal.response import Response
from shd.sphere.harmonics import coefficient_count

__all__ = ["constrained_deconvolution", "deconvolved_shell"]

# DIPY's own default for choosing single-fibre voxels.
_FA_THRESHOLD = 0.7


def constrained_deconvolution(scan: Scan, *, response: Response | None = None, degree: int = 8) -> FodField:
    """Return white-matter fODFs by constrained spherical deconvolution of one shell.

    Source: Tournier et al., NeuroImage 35 (2007), in DIPY's implementation. The shell is the one of highest b-value
    with at least as many directions as coefficients; where none has, the one with most directions is deconvolved
    beyond its own resolution, as that paper does.

    response: white matter, at the scan's shells; by default estimated by DIPY from voxels of FA above 0.7 (its
    `auto_response_ssst` over the whole mask). degree: of the fODFs, even.

    The coefficients are in the MRtrix3 basis and scanner axes: DIPY's fODF has the frame of the directions it is
    given, and its legacy descoteaux07 basis differs from ours by a permutation alone.

    Raises ScanError where no volume is diffusion-weighted, ResponseError where the response does not hold the shell or
    none can be estimated.
    """
    shell = deconvolved_shell(scan.gradients, degree)
    volumes = np.concatenate([scan.gradients.shells[0].volumes, shell.volumes])
    bvalues = np.where(np.isin(volumes, shell.volumes), shell.bvalue, 0.0)
    table = gradient_table(bvalues, bvecs=scan.gradients.directions[volumes], b0_threshold=0)
    data = np.asarray(scan.data[..., volumes], dtype=np.float64)
    kernel = _estimated(table, data, scan) if response is None else _given(response, shell)
    with warnings.catch_warnings():
        # More coefficients than directions is intended (above), and so is stopping after 50 rounds in a noise voxel.
        warnings.simplefilter("ignore", UserWarning)
        # DIPY's CSD is written in the basis whose withdrawal DIPY announces.
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        model = ConstrainedSphericalDeconvModel(table, kernel, sh_order_max=degree)
        fitted = model.fit(data, mask=scan.mask).shm_coeff
    wm = convert_sh_descoteaux_tournier(fitted).astype(np.float32)
    wm[~scan.mask] = 0.0
    return FodField(wm, {}, scan.affine, scan.mask)


def deconvolved_shell(gradients: Gradients, degree: int) -> Shell:
    """Return the highest shell with enough directions for `degree`, else the one with most directions."""
    weighted = gradients.shells[1:]
    if not weighted:
        raise ScanError(f"{len(gradients.bvalues)} volumes, all b=0: deconvolution needs a diffusion-weighted shell")
    enough = [shell for shell in weighted if len(shell.volumes) >= coefficient_count(degree)]
    if enough:
        return enough[-1]
    return max(weighted, key=lambda shell: (len(shell.volumes), shell.bvalue))


def _given(response: Response, shell: Shell) -> AxSymShResponse:
    """Return the response at one shell as DIPY takes it: the same zonal coefficients, Y_l0 being the same."""
    row = int(np.abs(response.bvalues - shell.bvalue).argmin())
    if abs(response.bvalues[row] - shell.bvalue) > 0.05 * shell.bvalue:
        raise ResponseError(
            f"shell b={shell.bvalue:g} but the response is for b={', '.join(f'{b:g}' for b in response.bvalues)}; "
            "give the response of this scan's shells"
        )
    return AxSymShResponse(response.coefficients[0, 0] / np.sqrt(4 * np.pi), response.coefficients[row])


def _estimated(
    table: GradientTable, data: Float[np.ndarray, "x y z volume"], scan: Scan
) -> tuple[Float[np.ndarray, "3"], float]:
    """Return DIPY's tensor eigenvalues and b=0 level of the most anisotropic voxels of the mask."""
    chosen = mask_for_response_ssst(table, data, roi_radii=scan.mask.shape, fa_thr=_FA_THRESHOLD) * scan.mask
    if not chosen.any():
        raise ResponseError(
            f"no voxel of {int(scan.mask.sum())} has an FA above {_FA_THRESHOLD} to estimate a response from; give one"
        )
    response, _ = response_from_mask_ssst(table, data, chosen)
    return response
