"""Responses of tissues without direction that a scan of one shell does not show: free diffusion of a usual speed."""

import numpy as np

from shd.signal.compartments import ball
from shd.signal.response import Response

__all__ = ["DIFFUSIVITIES", "with_free_diffusion"]

DIFFUSIVITIES = {"csf": 3.0e-3, "gm": 0.8e-3}
"""mm²/s: the defaults of DIPY's RUMBA-SD, which always has both tissues."""


def with_free_diffusion(responses: tuple[Response, ...], tissues: tuple[str, ...]) -> tuple[Response, ...]:
    """Return the responses with those of `tissues` that they lack, of white matter's b=0 signal."""
    wm = responses[0]
    present = {response.tissue: response for response in responses}
    for tissue in tissues:
        if tissue not in present:
            signal = wm.mean_signal[0] * ball(wm.bvalues, DIFFUSIVITIES[tissue])
            present[tissue] = Response(tissue, wm.bvalues, np.sqrt(4 * np.pi) * signal[:, None])
    return tuple(present.values())
