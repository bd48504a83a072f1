"""What the fODFs leave of the measured signal, voxel by voxel, in units of the noise."""

import numpy as np
import torch
from jaxtyping import Float, Float32

from shd.evaluation.signal_prediction import predicted_signal
from shd.fodf.field import FodField
from shd.scans.normalisation import NormalisedScan
from shd.signal.noise import rician_bias
from shd.signal.response import Response

__all__ = ["residual_map"]

_BLOCK = 8192  # voxels at a time: of 288 volumes they take 20 MB


def residual_map(
    scan: NormalisedScan, fod: FodField, responses: tuple[Response, ...], noise: Float[np.ndarray, " voxel"]
) -> Float32[np.ndarray, "x y z"]:
    """Return the root mean square of (measured − predicted)/σ over the diffusion-weighted volumes; 0 outside the mask.

    predicted: `predicted_signal` of the fODFs, raised by the noise floor of magnitudes (`rician_bias`). About one where
    the fODFs explain the signal down to the noise, less where they follow the noise, more where tissue or artefacts are
    not what the responses describe.

    fod: on the grid of the scan. noise: deviation σ of S/S₀ in the scan's voxels. Raises ResponseError as
    `predicted_signal`.
    """
    found = np.zeros(scan.rows.shape, np.float32)
    weighted = np.concatenate([shell.volumes for shell in scan.gradients.weighted_shells])
    for start in range(0, len(scan.voxels), _BLOCK):
        rows = slice(start, start + _BLOCK)
        here = tuple(scan.voxels[rows].T)
        chosen = np.zeros(found.shape, dtype=bool)
        chosen[here] = True
        b0, deviation = (values[rows, None].astype(np.float64) for values in (scan.b0, noise))
        predicted = predicted_signal(fod, responses, scan.gradients, chosen)[:, weighted]
        relative = np.divide(predicted, b0, out=np.zeros_like(predicted), where=b0 > 0).clip(0.0)
        relative += rician_bias(torch.from_numpy(relative), torch.from_numpy(deviation)).numpy()
        residual = (scan.signal[rows][:, weighted] - relative) / deviation
        found[here] = np.sqrt(np.mean(residual**2, axis=1))
    return found
