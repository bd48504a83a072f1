"""`shd response estimate`, or `shd response` alone: the response functions of a scan, as MRtrix3 text files."""

from pathlib import Path

import typer

from shd.cli.early_checks import check_files
from shd.cli.scan_arguments import BVAL, BVEC, GRAD, IGNORE_BAD_VOXELS, MASK

__all__ = ["estimate"]


def estimate(
    dwi: Path = typer.Argument(help="Diffusion scan (x, y, z, volume): NIfTI, or .mif."),
    bval: Path | None = BVAL,
    bvec: Path | None = BVEC,
    grad: Path | None = GRAD,
    mask: Path | None = MASK,
    ignore_bad_voxels: bool = IGNORE_BAD_VOXELS,
    out: Path = typer.Option(..., help="Folder for response_wm.txt (and response_gm.txt, response_csf.txt)."),
    force: bool = typer.Option(False, "--force", help="Replace responses in the folder."),
) -> None:
    """Estimate the response functions: white matter for one shell; white matter, grey matter and CSF for several."""
    check_files(dwi, bval, bvec, grad, mask)
    import numpy as np

    from shd.errors import number_of
    from shd.io.atomic import check_absent
    from shd.io.responses import write_response
    from shd.io.scans import read_scan
    from shd.io.staging import staged_files
    from shd.scans.coherence import checked_directions
    from shd.signal.response import TISSUES
    from shd.signal.response_estimation import estimate_responses

    paths = {tissue: out / f"response_{tissue}.txt" for tissue in TISSUES}
    check_absent(paths.values(), force)
    scan = read_scan(dwi, bval, bvec, grad, mask, ignore_bad_voxels)
    checked_directions(scan)
    responses, voxels = estimate_responses(scan.data[scan.mask].astype(np.float32), scan.gradients, scan.mask)
    with staged_files(out) as stage:
        for each in responses:
            write_response(stage / paths[each.tissue].name, each)
    for each in responses:
        typer.echo(f"{paths[each.tissue]}: {number_of(voxels[each.tissue].sum(), 'voxel')}")
