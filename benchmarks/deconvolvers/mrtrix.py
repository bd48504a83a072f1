"""Deconvolution by MRtrix3's `dwi2fod`, on a Scan: csd (one shell) and msmt_csd (several tissues)."""

import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np

from shd.errors import ShdError
from shd.evaluation.constrained_deconvolution import deconvolved_shell
from shd.fodf.field import FodField
from shd.scans.scan import Scan
from shd.signal.response import Response

__all__ = ["RivalError", "mrtrix_installed", "multi_tissue_deconvolution", "single_shell_deconvolution"]


class RivalError(ShdError):
    """Another program failed."""


def mrtrix_installed() -> bool:
    """Return whether MRtrix3's `dwi2fod` can be run here."""
    return shutil.which("dwi2fod") is not None


def single_shell_deconvolution(scan: Scan, response: Response, *, degree: int = 8) -> FodField:
    """Return the fODFs of `dwi2fod csd` (Tournier et al., NeuroImage 35 (2007)) of the shell that DIPY's CSD gets.

    response: white matter at the scan's shells; the shell's row is used. degree: of the fODF; above what the shell's
    directions determine it is that paper's super-resolution.
    """
    shell = deconvolved_shell(scan.gradients, degree)
    kept = np.concatenate([scan.gradients.b0_volumes, shell.volumes])
    one_shell = replace(scan, data=scan.data[..., kept], gradients=scan.gradients.select(kept))
    row = int(np.abs(response.bvalues - shell.bvalue).argmin())
    volumes = _dwi2fod("csd", one_shell, {"wm": response.coefficients[row : row + 1]}, [degree])
    return FodField(volumes["wm"], {}, scan.affine, scan.mask)


def multi_tissue_deconvolution(scan: Scan, responses: tuple[Response, ...], *, degree: int = 8) -> FodField:
    """Return the fODFs of `dwi2fod msmt_csd` (Jeurissen et al., NeuroImage 103 (2014)).

    responses: white matter first; as many tissues as are given. degree: of the white-matter fODF.
    """
    degrees = [0 if response.isotropic else degree for response in responses]
    fods = _dwi2fod("msmt_csd", scan, {r.tissue: r.coefficients for r in responses}, degrees)
    wm = fods.pop("wm")
    isotropic = {tissue: np.reshape(fod, scan.mask.shape) for tissue, fod in fods.items()}
    return FodField(wm, isotropic, scan.affine, scan.mask)


def _dwi2fod(algorithm: str, scan: Scan, responses: dict[str, np.ndarray], degrees: list[int]) -> dict[str, np.ndarray]:
    """Return the volume of each tissue; MRtrix writes its coefficients in scanner axes already."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _save(folder / "dwi.nii", np.asarray(scan.data, dtype=np.float32), scan.affine)
        _save(folder / "mask.nii", scan.mask.astype(np.uint8), scan.affine)
        table = np.column_stack([scan.gradients.directions, scan.gradients.bvalues])
        np.savetxt(folder / "dwi.b", table, fmt="%.10g")
        command = ["dwi2fod", algorithm, "dwi.nii", "-grad", "dwi.b", "-mask", "mask.nii", "-quiet"]
        command += ["-lmax", ",".join(map(str, degrees))]
        for tissue, coefficients in responses.items():
            np.savetxt(folder / f"{tissue}.txt", coefficients, fmt="%.10g")
            command += [f"{tissue}.txt", f"{tissue}.nii"]
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            raise RivalError(f"{' '.join(command)}: exit {error.returncode}: {error.stderr.strip()}") from error
        images = {tissue: nib.Nifti1Image.from_filename(folder / f"{tissue}.nii") for tissue in responses}
        return {tissue: image.get_fdata(dtype=np.float32) for tissue, image in images.items()}


def _save(path: Path, volume: np.ndarray, affine: np.ndarray) -> None:
    nib.save(nib.Nifti1Image(volume, affine), path)
