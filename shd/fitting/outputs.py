"""The files of a result."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from shd._version import __version__
from shd.fitting.fit import Fit
from shd.fitting.output_folder import OutputFolder
from shd.fitting.progress import Progress, Report, silent
from shd.fitting.record import run_record
from shd.io.atomic import write_json
from shd.io.checkpoints import write_model
from shd.io.fodf import write_fod, write_scalar
from shd.io.images import write_image
from shd.io.peaks import write_peaks
from shd.io.responses import write_response
from shd.io.tables import write_csv
from shd.report.figures import fit_figure
from shd.scans.scan import Scan
from shd.signal.response import Response

__all__ = ["OutputFolder", "write_fit"]

_WRITERS = 2
_B0 = {"Description": "Mean of the b=0 volumes", "Units": "arbitrary"}
_RESIDUAL = {
    "Description": "Root mean square of measured minus predicted signal over the diffusion-weighted volumes",
    "Units": "standard deviations of the noise; about 1 where the fODFs explain the signal",
}


def write_fit(
    folder: OutputFolder,
    scan: Scan,
    result: Fit,
    inputs: Mapping[str, Any],
    report: Report = silent,
    warnings: Sequence[str] = (),
) -> list[Path]:
    """Write every file of a fit and return them in their final place.

    wm_fod (MRtrix3 basis, scanner axes), an l=0 image a further tissue, peaks (MRtrix3 layout) and the mask that was
    fitted, mean b=0 and residual, each NIfTI in float32 with a JSON sidecar; responses as MRtrix3 text; log.csv of a
    training; model, picture and run.json.

    inputs: what was read from where, for run.json. report: told the progress. warnings: said in the run, for run.json.
    Raises OutputError where a file cannot be written; then none is.
    """
    report(Progress("writing", 0.0))
    target = folder.partial
    describe = {r.tissue: _sidecar(result, r) for r in result.responses}
    fod, mask, background = result.fod, result.fod.mask.astype(np.float32), _mean_b0(scan)
    scalars = [("mask", mask, {"Type": "Brain"}), ("b0", background, _B0)]
    scalars += [("residual", result.residual, _RESIDUAL)] if result.residual is not None else []
    with ThreadPoolExecutor(_WRITERS) as pool:  # packing takes the time, and leaves Python free for the picture
        images = [
            pool.submit(write_fod, target / "wm_fod.nii.gz", fod.wm, scan.affine, fod.mask, describe["wm"]),
            pool.submit(write_peaks, target / "peaks.nii.gz", result.peaks, scan.affine, describe["wm"]),
            *(
                pool.submit(write_scalar, target / f"{tissue}.nii.gz", volume, scan.affine, describe[tissue])
                for tissue, volume in fod.isotropic.items()
            ),
            *(
                pool.submit(write_image, target / f"{name}.nii.gz", [volume], mask.shape, scan.affine, about)
                for name, volume, about in scalars
            ),
        ]
        for response in result.responses:
            write_response(target / f"response_{response.tissue}.txt", response)
        write_model(target / "model.safetensors", result.model, result.responses, result.trained)
        if result.history:
            write_csv(target / "log.csv", result.history)
        title = f"shd {'fit' if result.settings else 'infer'}: {scan.name}"
        fit_figure(target / "fit.png", background=background, fod=fod, history=result.history, title=title)
        for image in images:
            image.result()
    write_json(target / "run.json", run_record(scan, result, inputs, warnings))
    return folder.publish()


def _mean_b0(scan: Scan) -> Float[np.ndarray, "x y z"]:
    """Return the mean of the b=0 volumes, 0 where it is not finite (voxels that were left out)."""
    total = np.zeros(scan.shape, dtype=np.float64)
    for volume in scan.gradients.b0_volumes:
        total += scan.data[..., volume]
    return np.where(np.isfinite(total), total / len(scan.gradients.b0_volumes), 0.0)


def _sidecar(result: Fit, response: Response) -> dict[str, Any]:
    """Return the BEP016 keys about model and response."""
    rows = zip(response.bvalues, response.coefficients, strict=True)
    return {
        "Model": {
            "Description": "Spatio-hemispherical deconvolution (Elaldi, Gerig and Dey, NeurIPS 2024)",
            "Parameters": asdict(result.model.config),
            "URL": "https://arxiv.org/abs/2411.11819",
        },
        "ResponseFunction": {"Type": "zsh", "Coefficients": {f"{bvalue:.0f}": row.tolist() for bvalue, row in rows}},
        "NonNegativity": "soft",
        "GeneratedBy": [{"Name": "shd", "Version": __version__}],
    }
