"""Deconvolution by other programs, on a Scan: what a table compares shd with."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np

from shd.fodf.field import FodField
from shd.scans.scan import Scan
from shd.signal.response import Response


def mrtrix_installed() -> bool:
    """Return whether MRtrix3's `dwi2fod` can be run here."""
    return shutil.which("dwi2fod") is not None


def multi_tissue_deconvolution(scan: Scan, responses: tuple[Response, ...], *, degree: int = 8) -> FodField:
    """Return the fODFs of MRtrix3's `dwi2fod msmt_csd` (Jeurissen et al., NeuroImage 103 (2014)).

    responses: white matter first; as many tissues as are given. degree: of the white-matter fODF. MRtrix writes its
    coefficients in scanner axes already.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _save(folder / "dwi.nii", np.asarray(scan.data, dtype=np.float32), scan.affine)
        _save(folder / "mask.nii", scan.mask.astype(np.uint8), scan.affine)
        table = np.column_stack([scan.gradients.directions, scan.gradients.bvalues])
        np.savetxt(folder / "dwi.b", table, fmt="%.10g")
        command = ["dwi2fod", "msmt_csd", "dwi.nii", "-grad", "dwi.b", "-mask", "mask.nii", "-quiet"]
        command += ["-lmax", ",".join(str(0 if response.isotropic else degree) for response in responses)]
        for response in responses:
            np.savetxt(folder / f"{response.tissue}.txt", response.coefficients, fmt="%.10g")
            command += [f"{response.tissue}.txt", f"{response.tissue}.nii"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        fods = {response.tissue: nib.load(folder / f"{response.tissue}.nii").get_fdata(dtype=np.float32)
                for response in responses}
    wm = fods.pop("wm")
    isotropic = {tissue: np.reshape(fod, scan.mask.shape) for tissue, fod in fods.items()}
    return FodField(wm, isotropic, scan.affine, scan.mask)



def _save(path: Path, volume: np.ndarray, affine: np.ndarray) -> None:
    nib.save(nib.Nifti1Image(volume, affine), path)
