"""`shd response estimate`, or `shd response` alone: the response functions of a scan, as MRtrix3 text files."""

from pathlib import Path

import typer

from shd.cli.early_checks import check_files

__all__ = ["estimate"]


def estimate(
    dwi: Path = typer.Argument(help="Diffusion scan (x, y, z, volume): NIfTI, or .mif."),
    bval: Path | None = typer.Argument(None, help="FSL b-values (s/mm²); not needed with --grad."),
    bvec: Path | None = typer.Argument(None, help="FSL gradient directions; not needed with --grad."),
    grad: Path | None = typer.Option(None, help="MRtrix gradient table (.b: x y z b) instead of bval and bvec."),
    mask: Path | None = typer.Option(None, help="Brain mask; computed if not given."),
    ignore_bad_voxels: bool = typer.Option(False, "--ignore-bad-voxels", help="Leave out NaN and infinite voxels."),
    out: Path = typer.Option(..., help="Folder for response_wm.txt (and response_gm.txt, response_csf.txt)."),
) -> None:
    """Estimate the response functions: white matter for one shell; white matter, grey matter and CSF for several."""
    check_files(dwi, bval, bvec, grad, mask)
    import numpy as np

    from shd.errors import OutputError
    from shd.io.responses import write_response
    from shd.io.scans import read_scan
    from shd.scans.coherence import checked_directions
    from shd.signal.response_estimation import estimate_responses

    scan = read_scan(dwi, bval, bvec, grad, mask, ignore_bad_voxels)
    checked_directions(scan)
    responses, voxels = estimate_responses(scan.data[scan.mask].astype(np.float32), scan.gradients, scan.mask)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: folder cannot be made ({error.strerror}); choose another --out") from error
    for each in responses:
        path = out / f"response_{each.tissue}.txt"
        write_response(path, each)
        typer.echo(f"{path}: {voxels[each.tissue].sum()} voxels")
