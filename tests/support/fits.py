"""The folder of a fit, as shd writes it, without a fit: random fODFs and tissues, peaks, responses, and a picture."""

import json
from pathlib import Path

import numpy as np

from shd.fodf.peaks import Peaks
from shd.io.fodf import write_fod, write_scalar
from shd.io.images import write_image
from shd.io.peaks import write_peaks
from shd.io.responses import write_response
from shd.signal.response import Response
from shd.sphere.harmonics import coefficient_count
from tests.support.affines import AFFINES

BVALUES = np.array([0.0, 1000.0, 3000.0])
ROWS = {
    "wm": np.array([[3500.0, 0.0, 0.0], [1800.0, -700.0, 130.0], [900.0, -600.0, 300.0]]),
    "gm": np.array([[3600.0], [1600.0], [400.0]]),
    "csf": np.array([[3600.0], [300.0], [40.0]]),
}
NETWORK = {"Description": "a network", "Parameters": {"width": 2}, "URL": "https://example.org"}


def store_fit(
    folder: Path, degree: int = 4, shape: tuple[int, int, int] = (3, 4, 5), inputs: dict | None = None
) -> Path:
    """Write the folder; one voxel in four has a second peak, and the first plane of voxels is outside the mask."""
    folder.mkdir(parents=True, exist_ok=True)
    generator, affine = np.random.default_rng(0), AFFINES["oblique"]
    mask = np.ones(shape, bool)
    mask[0] = False
    sidecars = {}
    for tissue, rows in ROWS.items():
        coefficients = {f"{bvalue:.0f}": row.tolist() for bvalue, row in zip(BVALUES, rows, strict=True)}
        response = {"Type": "zsh", "Coefficients": coefficients}
        sidecars[tissue] = {"Model": NETWORK, "ResponseFunction": response, "NonNegativity": "soft"}
        write_response(folder / f"response_{tissue}.txt", Response(tissue, BVALUES, rows))
    wm = generator.standard_normal((*shape, coefficient_count(degree)))
    shares = generator.dirichlet((1.0, 1.0, 1.0), shape) / np.sqrt(4 * np.pi)
    wm[..., 0] = shares[..., 0]
    write_fod(folder / "wm_fod.nii.gz", wm, affine, mask, sidecars["wm"])
    for index, tissue in ((1, "gm"), (2, "csf")):
        write_scalar(folder / f"{tissue}.nii.gz", mask * shares[..., index], affine, sidecars[tissue])
    directions = generator.standard_normal((*shape, 2, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    heights = np.stack([mask * 0.9, mask * 0.4 * (generator.uniform(size=shape) < 0.25)], axis=-1)
    write_peaks(folder / "peaks.nii.gz", Peaks(directions, heights), affine, sidecars["wm"])
    write_image(folder / "mask.nii.gz", [mask.astype(np.float32)], shape, affine, {"Type": "Brain"})
    (folder / "fit.png").write_bytes(b"\x89PNG a picture")
    (folder / "run.json").write_text(json.dumps(record(shape, int(mask.sum()), inputs or {})))
    return folder


def record(shape: tuple[int, int, int], voxels: int, inputs: dict) -> dict:
    """Return what run.json says of such a fit."""
    return {
        "shd": "0", "finished": "2026-01-01T00:00:00+00:00", "degree": 4, "tissues": list(ROWS),
        "inputs": {"dwi": "/data/dwi.nii.gz", "model": "base", **inputs},
        "scan": {"name": "dwi", "shape": [*shape, 17], "mask_voxels": voxels, "shells": {"0": 1, "1000": 8, "3000": 8}},
        "gradient_coherence": {"verdict": "confirmed", "message": "gradients agree with the anatomy"},
        "seconds": {"inference": 1.5, "peaks": 0.25},
    }  # fmt: skip
