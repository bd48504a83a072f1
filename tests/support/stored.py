"""Small scans on disk, and the program run on them as a user would."""

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from shd.cli import main
from shd.scans.scan import Scan
from tests.support.affines import write_table

# A fit in seconds: what is tested is not how good it is.
QUICK = ("--steps", "2", "--width", "2", "--tile", "4", "--threads", "1", "--device", "cpu")


def store(scan: Scan, folder: Path, convention: str = "fsl", data: np.ndarray | None = None) -> dict[str, Path]:
    """Write image, mask and table of a scan; return them as arguments for `read_scan`."""
    folder.mkdir(parents=True, exist_ok=True)
    image, mask = folder / "dwi.nii.gz", folder / "mask.nii.gz"
    nib.save(nib.Nifti1Image(scan.data if data is None else data, scan.affine), image)
    nib.save(nib.Nifti1Image(scan.mask.astype(np.uint8), scan.affine), mask)
    table = write_table(convention, image, scan.gradients.bvalues, scan.gradients.directions, scan.affine)
    return {"dwi": image, "mask": mask, **table}


def words(files: dict[str, Path]) -> list[str]:
    """Return files as the program's arguments."""
    positional = [str(files[name]) for name in ("dwi", "bval", "bvec") if name in files]
    options = [word for name in ("mask", "grad") if name in files for word in (f"--{name}", str(files[name]))]
    return positional + options


@dataclass(frozen=True)
class Ran:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


def run_program(capsys: pytest.CaptureFixture[str], *arguments: object) -> Ran:
    """Run `shd` in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main.run([str(argument) for argument in arguments])
    code = end.value.code
    return Ran(code if isinstance(code, int) else 0, *capsys.readouterr())


def everything_in(folder: Path) -> dict[str, bytes]:
    """Return every file and folder below, with contents."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}
