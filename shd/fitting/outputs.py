"""The files of a result: one folder that appears whole, or not at all."""

import os
import platform
import shutil
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from shd._version import __version__
from shd.errors import OutputError
from shd.fitting.fit import Fit
from shd.io.atomic import write_json
from shd.io.checkpoints import write_model
from shd.io.fodf import write_fod, write_scalar
from shd.io.peaks import write_peaks
from shd.io.responses import write_response
from shd.report.figures import fit_figure
from shd.scans.scan import Scan
from shd.signal.response import Response

__all__ = ["OutputFolder", "write_fit"]


class OutputFolder:
    """A folder in the making: files go into `<out>.partial`, which becomes `<out>` by one rename.

    An interrupted fit leaves its checkpoint in `<out>.partial`, where the next run with the same `<out>` finds it.
    """

    def __init__(self, out: Path, force: bool = False) -> None:
        """Make sure that results can be written. Raises OutputError where they cannot, or where `out` holds files."""
        self.out = Path(os.path.abspath(out))  # noqa: PTH100  (a name for the folder beside it; links stay links)
        self.partial = self.out.with_name(self.out.name + ".partial")
        if self.out.is_file():
            raise OutputError(f"{out}: is a file; give a folder that does not exist yet")
        held = sorted(path.name for path in self.out.iterdir()) if self.out.exists() else []
        if held and not force:
            raise OutputError(f"{out}: holds {len(held)} files already ({held[0]}, …); give another --out, or --force")
        if force and self.partial.exists():
            shutil.rmtree(self.partial)
        try:
            self.partial.mkdir(parents=True, exist_ok=True)
            probe = self.partial / ".probe"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise OutputError(f"{out}: cannot be written ({error.strerror}); choose another --out") from error

    @property
    def checkpoint(self) -> Path:
        """Where an interrupted fit is taken up again."""
        return self.partial / "checkpoint.safetensors"

    def discard(self) -> None:
        """Remove the folder in the making, unless it holds a checkpoint worth keeping."""
        if not self.checkpoint.exists():
            shutil.rmtree(self.partial, ignore_errors=True)

    def publish(self) -> list[Path]:
        """Give the finished files their place; return them. Files of an earlier result with the same names are replaced."""
        self.checkpoint.unlink(missing_ok=True)
        try:
            if self.out.exists() and any(self.out.iterdir()):
                for path in sorted(self.partial.iterdir()):
                    path.replace(self.out / path.name)
                self.partial.rmdir()
            else:
                self.partial.replace(self.out)
        except OSError as error:
            raise OutputError(
                f"{self.out}: cannot be written ({error.strerror}); the results are in {self.partial}"
            ) from error
        return sorted(self.out.iterdir())


def write_fit(folder: OutputFolder, scan: Scan, result: Fit, inputs: dict[str, Any]) -> list[Path]:
    """Write every file of a fit and return them in their final place.

    inputs: what was read from where, for run.json.
    """
    target = folder.partial
    describe = {r.tissue: _sidecar(result, r) for r in result.responses}
    write_fod(target / "wm_fod.nii.gz", result.fod.wm, scan.affine, result.fod.mask, describe["wm"])
    for tissue, volume in result.fod.isotropic.items():
        write_scalar(target / f"{tissue}.nii.gz", volume, scan.affine, describe[tissue])
    write_peaks(target / "peaks.nii.gz", result.peaks, scan.affine, describe["wm"])
    for response in result.responses:
        write_response(target / f"response_{response.tissue}.txt", response)
    write_model(target / "model.safetensors", result.model, result.responses)
    background = np.zeros(scan.shape, dtype=np.float64)
    for volume in scan.gradients.b0_volumes:
        background += scan.data[..., volume]
    fit_figure(
        target / "fit.png",
        background=background / len(scan.gradients.b0_volumes),
        fod=result.fod,
        history=result.history,
        title=f"shd fit: {scan.name}",
    )
    write_json(target / "run.json", _run(scan, result, inputs))
    return folder.publish()


def _sidecar(result: Fit, response: Response) -> dict[str, Any]:
    """Return the BEP016 keys about model and response."""
    return {
        "Model": {
            "Description": "Spatio-hemispherical deconvolution (Elaldi, Gerig and Dey, NeurIPS 2024)",
            "Parameters": asdict(result.model.config),
            "URL": "https://arxiv.org/abs/2411.11819",
        },
        "ResponseFunction": {
            "Type": "zsh",
            "Coefficients": {f"{b:.0f}": row.tolist() for b, row in zip(response.bvalues, response.coefficients, strict=True)},
        },
        "NonNegativity": "soft",
        "GeneratedBy": [{"Name": "shd", "Version": __version__}],
    }


def _run(scan: Scan, result: Fit, inputs: dict[str, Any]) -> dict[str, Any]:
    held_out = [row["held_out"] for row in result.history if row.get("held_out") is not None]
    last = result.history[-1] if result.history else {}
    report = result.coherence
    return {
        "shd": __version__,
        "inputs": inputs,
        "scan": {
            "shape": list(scan.data.shape),
            "mask_voxels": int(scan.mask.sum()),
            "shells": {f"{shell.bvalue:.0f}": len(shell.volumes) for shell in scan.gradients.shells},
        },
        "settings": asdict(result.settings) if result.settings else None,
        "model": asdict(result.model.config),
        "degree": result.fod.degree,
        "gradient_coherence": {
            "verdict": report.verdict,
            "best": report.best,
            "score_given": report.score_given,
            "score_best": report.score_best,
            "message": report.message,
        },
        "steps": int(last.get("step", 0)),
        "final_losses": {name: value for name, value in last.items() if name not in ("step", "seconds")},
        "held_out_loss": {"first": held_out[0], "best": min(held_out)} if held_out else None,
        "seconds": result.seconds,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numpy", "scipy", "healpy", "dipy", "nibabel", "numba")},
        },
    }
