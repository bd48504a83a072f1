"""RUMBA-SD and RUMBA-TV by DIPY, on a Scan: Richardson-Lucy iterations for Rician noise, alone or with variation."""

import numpy as np
from dipy.core.sphere import HemiSphere
from dipy.data import get_sphere
from dipy.reconst.rumba import rumba_deconv_global
from jaxtyping import Float

from benchmarks.deconvolvers.free_diffusion import with_free_diffusion
from shd.fodf.field import FodField
from shd.scans.normalisation import normalise
from shd.scans.scan import Scan
from shd.signal.forward_model import forward_model
from shd.signal.response import Response
from shd.sphere.harmonics import even_harmonics, gaussian_factors

__all__ = ["ITERATIONS", "richardson_lucy"]

ITERATIONS = 600
"""DIPY's default, and the number of its authors (Canales-Rodríguez et al., PLoS ONE 10 (2015))."""


def richardson_lucy(
    scan: Scan,
    responses: tuple[Response, ...],
    *,
    variation: bool,
    degree: int = 12,
    smoothing_degrees: float = 5.0,
    iterations: int = ITERATIONS,
) -> FodField:
    """Return the fODFs of RUMBA-SD, or with `variation` of RUMBA-TV (Canales-Rodríguez et al., PLoS ONE 10 (2015)).

    The iterations are DIPY's, `rumba_deconv_global`, on the data as its `RumbaSDModel` normalises them. The kernel's
    columns are the responses given: fibres at the vertices of DIPY's sphere, then grey matter and CSF, DIPY's own where
    they are not given (`free_diffusion`). DIPY's own kernel of fibres is a tensor's, which the responses of the other
    methods are not. Of its 724 vertices one of each antipodal pair is taken, since both have the same column: the same
    answer in half the time.

    degree, smoothing_degrees: the answer is a density on vertices. Its harmonics are those of its fibres, a sum over
    vertices, cut at `degree` and smoothed as the tables' ceiling is: without the Gaussian a lone vertex rings.
    Smoothing 0 is the answer itself, which predicts the signal.
    """
    vertices = HemiSphere.from_sphere(get_sphere(name="repulsion724")).vertices
    kernel, per_unit = _kernel(scan, with_free_diffusion(responses, ("gm", "csf")), vertices)
    prepared = normalise(scan)
    weighted = np.concatenate([shell.volumes for shell in scan.gradients.weighted_shells])
    data = np.zeros((*scan.mask.shape, 1 + len(weighted)), dtype=np.float32)
    data[scan.mask] = np.concatenate(
        [np.ones((len(prepared.b0), 1), dtype=np.float32), prepared.signal[:, weighted].clip(0, 1)], axis=1
    )
    fractions = rumba_deconv_global(
        data, kernel, scan.mask, n_iter=iterations, recon_type="smf", n_coils=1, R=1, use_tv=variation
    )[scan.mask]
    amounts = fractions * prepared.b0[:, None]
    smoothing = gaussian_factors(degree, smoothing_degrees)
    wm = np.zeros((*scan.mask.shape, len(smoothing)), dtype=np.float32)
    wm[scan.mask] = amounts[:, :-2] / per_unit["wm"] @ even_harmonics(vertices, degree) * smoothing
    isotropic = {}
    for column, tissue in ((-2, "gm"), (-1, "csf")):
        isotropic[tissue] = np.zeros(scan.mask.shape, dtype=np.float32)
        isotropic[tissue][scan.mask] = amounts[:, column] / (per_unit[tissue] * np.sqrt(4 * np.pi))
    return FodField(wm, isotropic, scan.affine, scan.mask)


def _kernel(
    scan: Scan, responses: tuple[Response, ...], vertices: Float[np.ndarray, "vertex 3"]
) -> tuple[Float[np.ndarray, "volume component"], dict[str, float]]:
    """Return what a unit of b=0 signal becomes at b=0 and each weighted volume, and the b=0 signal of each response."""
    forward = forward_model(responses, scan.gradients, vertices)
    weighted = np.concatenate([shell.volumes for shell in scan.gradients.weighted_shells])
    kernel = np.zeros((1 + len(weighted), len(vertices) + 2), dtype=np.float32)
    # the model's white matter is a mean over vertices, DIPY's a sum
    kernel[1:, : len(vertices)] = forward.wm.numpy()[weighted] * len(vertices)
    kernel[0, : len(vertices)] = 1.0
    for place, tissue in enumerate(forward.tissues[1:]):
        column = {"gm": -2, "csf": -1}[tissue]
        kernel[0, column] = 1.0
        kernel[1:, column] = forward.isotropic.numpy()[weighted, place]
    return kernel, dict(zip(forward.tissues, forward.b0.tolist(), strict=True))
