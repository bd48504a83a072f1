"""The signal that fODFs predict, in scan intensity, and the noise that no prediction can get below."""

import numpy as np
from jaxtyping import Bool, Float

from shd.errors import ResponseError
from shd.fodf.field import FodField
from shd.scans.scan import Scan
from shd.signal.gradients import Gradients
from shd.signal.response import Response
from shd.sphere.harmonics import (
    coefficient_count,
    even_harmonics,
    harmonic_fit_matrix,
    highest_degree_for,
    zonal_factors,
)

__all__ = ["noise_by_shell", "predicted_signal"]

_HIGHEST_DEGREE = 8  # of the fit whose residual is noise: higher degrees carry nothing at clinical b-values
_LEAST_FREEDOM = 2  # directions more than coefficients: little in a voxel, enough over hundreds


def predicted_signal(
    fod: FodField, responses: tuple[Response, ...], gradients: Gradients, voxels: Bool[np.ndarray, "x y z"]
) -> Float[np.ndarray, "voxel volume"]:
    """Return the signal of some voxels at any gradients of the shells that the responses describe.

    S(g) = Σ_lm √(4π/(2l+1))·r_l(b)·f_lm·Y_lm(g), plus √4π·r_0(b)·f_00·Y_00 of each isotropic tissue
    (`shd.signal.forward_model`, with the fODF as harmonics in place of vertices).

    fod: amplitudes per response, which with the responses' units gives scan intensity. responses: white matter first;
    tissues that the fODFs do not hold contribute nothing. Raises ResponseError where a response has not one row a shell
    or white matter does not come first.
    """
    if responses[0].tissue != "wm" or any(len(r.bvalues) != len(gradients.shells) for r in responses):
        raise ResponseError(
            f"responses {', '.join(f'{r.tissue} of {len(r.bvalues)} shells' for r in responses)}: white matter first, "
            f"and a row for each of the scan's {len(gradients.shells)} shells is needed"
        )
    wm = fod.wm[voxels].astype(np.float64)
    signal = np.zeros((len(wm), len(gradients.bvalues)))
    for row, shell in enumerate(gradients.shells):
        directions = gradients.shell_directions(shell)
        basis = even_harmonics(directions, fod.degree)
        if row == 0:  # b=0 has no direction: the mean alone
            basis = np.zeros((len(directions), coefficient_count(fod.degree)))
            basis[:, 0] = 1 / np.sqrt(4 * np.pi)
        signal[:, shell.volumes] = wm @ (basis * zonal_factors(responses[0].coefficients[row], fod.degree)).T
        for response in responses[1:]:
            if response.tissue in fod.isotropic:
                amount = fod.isotropic[response.tissue][voxels].astype(np.float64)
                signal[:, shell.volumes] += (response.coefficients[row, 0] * amount)[:, None]
    return signal


def noise_by_shell(scan: Scan, voxels: Bool[np.ndarray, "x y z"]) -> dict[float, float]:
    """Return the standard deviation of the noise on each weighted shell (b-value → intensity), root mean square.

    What least-squares even harmonics, of degree 8 or as high as the directions allow, leave of the signal:
    √(Σ residual² / (directions − coefficients)). It needs no model of tissue; motion and artefacts count as noise, as
    they do in the error of a prediction. With fewer than 8 directions it is too high, since only a constant is fitted.
    """
    noise = {}
    for shell in scan.gradients.weighted_shells:
        directions = scan.gradients.shell_directions(shell)
        degree = highest_degree_for(len(directions) - _LEAST_FREEDOM, _HIGHEST_DEGREE)
        signal = np.asarray(scan.data[..., shell.volumes][voxels], dtype=np.float64)
        fitted = signal @ (even_harmonics(directions, degree) @ harmonic_fit_matrix(directions, degree)).T
        freedom = len(directions) - coefficient_count(degree)
        noise[shell.bvalue] = float(np.sqrt(np.sum((signal - fitted) ** 2) / (len(signal) * freedom)))
    return noise
