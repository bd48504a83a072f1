"""`shd infer`: a network fitted before, on another scan."""

from pathlib import Path

import typer

from shd.cli.results import announce, output_folder, paths_of

__all__ = ["infer"]


def infer(
    dwi: Path = typer.Argument(help="Preprocessed diffusion scan, NIfTI (x, y, z, volume)."),
    bval: Path | None = typer.Argument(None, help="FSL b-values (s/mm²); by default the .bval beside the scan."),
    bvec: Path | None = typer.Argument(None, help="FSL gradient directions; by default the .bvec beside the scan."),
    model: Path = typer.Option(..., help="The model.safetensors of a fit with the same shells."),
    out: Path = typer.Option(..., help="Folder for the results; it appears when all are there."),
    grad: Path | None = typer.Option(None, help="MRtrix gradient table (.b: x y z b) instead of bval and bvec."),
    mask: Path | None = typer.Option(None, help="Brain mask; computed if not given."),
    degree: int | None = typer.Option(None, help="Degree of the fODFs; 12 if not given."),
    tile: int | None = typer.Option(None, help="Half the side of the boxes in voxels (even); by default what fits."),
    device: str | None = typer.Option(None, help="cpu or cuda; by default cuda where there is one."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads; by default all."),
    engine: str = typer.Option("auto", help="auto, compiled, torch or reference: equal results, unequal speed."),
    bfloat16: bool = typer.Option(False, "--bfloat16", help="Half precision: a third quicker for wide networks."),
    ignore_bad_voxels: bool = typer.Option(False, "--ignore-bad-voxels", help="Leave out NaN and infinite voxels."),
    force: bool = typer.Option(False, "--force", help="Replace results in the output folder."),
) -> None:
    """Apply a fitted network to another scan with the same shells, without training."""
    from shd.cli.fit import check_choices
    from shd.cli.progress_bar import shown_progress
    from shd.fitting.device import usable_device
    from shd.fitting.infer import infer as infer_scan
    from shd.fitting.outputs import write_fit
    from shd.io.scans import read_scan

    check_choices(None, None, degree, tile, engine)
    device = usable_device(device)
    inputs = paths_of(dwi=dwi, bval=bval, bvec=bvec, grad=grad, mask=mask, model=model)
    with output_folder(out, force) as folder:
        scan = read_scan(dwi, bval, bvec, grad, mask, ignore_bad_voxels)
        with shown_progress() as report:
            result = infer_scan(
                scan, model, degree=degree, tile=tile, device=device, threads=threads, engine=engine,
                bfloat16=bfloat16, report=report,
            )  # fmt: skip
            files = write_fit(folder, scan, result, inputs, report)
    announce(result, files, out)
