"""What needs no training on the scan: `shd infer` with a network trained before, and the estimate it begins with."""

from pathlib import Path

import shd
from shd.fitting.fit import DEGREE
from shd.fodf.field import FodField
from shd.graphs.hemisphere import vertex_directions
from shd.inference.tiled import deconvolve
from shd.models.config import ModelConfig
from shd.models.deconvolver import Deconvolver
from shd.scans.coherent_estimate import estimate_scan
from shd.scans.features import feature_count
from shd.scans.normalisation import normalise
from shd.scans.scan import Scan
from shd.signal.response import Response

__all__ = ["ESTIMATE", "PACKAGED", "answer", "estimated", "missing_model"]

ESTIMATE = "estimate"
"""In place of a model: a network before its first step, which answers with the coherent estimate."""

PACKAGED = ("base", "small")
"""The names of the networks that come with the package."""


def answer(model: str, scan: Scan, responses: tuple[Response, ...]) -> FodField:
    """Return the fODFs of a scan by `ESTIMATE`, a packaged network or the file of one, with these responses."""
    if model == ESTIMATE:
        return estimated(scan, responses)
    return shd.infer(scan, model, responses=responses).fod


def estimated(scan: Scan, responses: tuple[Response, ...]) -> FodField:
    """Return the coherent estimate as fODFs of the degree that `shd infer` writes."""
    normalised = normalise(scan)
    config = ModelConfig(feature_count(responses, scan.gradients), tuple(r.tissue for r in responses), width=2)
    vertices = vertex_directions(config.nside, config.hemisphere)
    estimates = estimate_scan(normalised, responses, vertices)
    return deconvolve(Deconvolver(config).eval(), normalised, responses, degree=DEGREE, estimates=estimates)


def missing_model(model: str) -> str | None:
    """Return why a model cannot be run here, None where it can."""
    if model in PACKAGED:
        found = any(Path(shd.__file__).parent.rglob(f"{model}.safetensors"))
        return None if found else f"the network {model} is not in the package"
    if model == ESTIMATE or Path(model).is_file():
        return None
    return f"{model} is no file, nor one of {', '.join((ESTIMATE, *PACKAGED))}"
