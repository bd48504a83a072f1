"""`shd fit`: the fODFs of one scan."""

from pathlib import Path
from typing import Any

import typer

from shd.cli.early_checks import check_files, check_model
from shd.cli.messages import tell
from shd.cli.results import announce, output_folder
from shd.cli.scan_arguments import BVAL, BVEC, GRAD, IGNORE_BAD_VOXELS, MASK, scan_given

__all__ = ["fit"]

ENGINE_NAMES = ("auto", "compiled", "torch", "reference")  # shd.engines.ENGINES, which would load torch


def fit(
    dwi: Path = typer.Argument(help="Preprocessed diffusion scan (x, y, z, volume): NIfTI, or .mif."),
    bval: Path | None = BVAL,
    bvec: Path | None = BVEC,
    out: Path = typer.Option(..., help="Folder for the results; it appears when all are there."),
    grad: Path | None = GRAD,
    mask: Path | None = MASK,
    wm: Path | None = typer.Option(None, help="White-matter response (MRtrix text); estimated if not given."),
    gm: Path | None = typer.Option(None, help="Grey-matter response, with --wm."),
    csf: Path | None = typer.Option(None, help="CSF response, with --wm."),
    minutes: float | None = typer.Option(None, min=0.0, help="Training time; by default ¼ to 2½ by the mask's size."),
    steps: int | None = typer.Option(None, min=1, help="Training steps in place of minutes: the same result always."),
    degree: int | None = typer.Option(None, show_default="12", help="Degree of the fODFs."),
    start: str | None = typer.Option(None, show_default="small", help="small, base, file or folder to adapt, or none."),
    width: int | None = typer.Option(None, min=1, help="Channels of a network from nothing; 8 on a CPU, 32 on a GPU."),
    tile: int = typer.Option(8, help="Side of the training tiles in voxels (even); smaller takes less memory."),
    device: str | None = typer.Option(None, help="cpu or cuda; by default cuda where there is one."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads; by default all."),
    engine: str = typer.Option("auto", help="auto, compiled, torch or reference: equal results, unequal speed."),
    seed: int = typer.Option(0, min=0, help="Seed of everything random."),
    ignore_bad_voxels: bool = IGNORE_BAD_VOXELS,
    force: bool = typer.Option(False, "--force", help="Replace results; forget an interrupted fit."),
) -> None:
    """Fit the fODFs of one scan: a trained network is adapted to the scan, then applied to every voxel of the mask."""
    check_choices(minutes, steps, degree, tile, engine)
    _check_start(start, width)
    check_files(dwi, bval, bvec, grad, mask, out=out, force=force, wm=wm, gm=gm, csf=csf)
    from shd.cli.progress_bar import shown_progress
    from shd.fitting.budget import default_settings, describe
    from shd.fitting.device import usable_device
    from shd.fitting.fit import fit as fit_scan
    from shd.fitting.outputs import write_fit
    from shd.fitting.said_warnings import said_warnings
    from shd.io.subject_inputs import inputs_of, used_files

    others: dict[str, Any] = {"start": start, "tile": tile, "seed": seed, "engine": engine}
    others |= {"device": usable_device(device)} | ({"threads": threads} if threads else {})
    subject = scan_given(out, dwi, bval, bvec, grad, mask, wm=wm, gm=gm, csf=csf)
    with output_folder(out, force, inputs=[*used_files(subject)[0].values(), start]) as folder, said_warnings() as said:
        told = {**inputs_of(subject), "choices": {"ignore_bad_voxels": ignore_bad_voxels}}
        scan, responses = subject.read(ignore_bad_voxels)
        voxels = int(scan.mask.sum())
        settings = default_settings(voxels, minutes=minutes, steps=steps, width=width, **others)
        tell(describe(settings, voxels))
        if folder.checkpoint.exists():
            tell(f"going on with the interrupted fit in {folder.partial}")
        with shown_progress() as report:
            result = fit_scan(scan, responses, settings, degree=degree, checkpoint=folder.checkpoint, report=report)
            files = write_fit(folder, scan, result, told, report, said)
    announce(result, files, out)


def _check_start(start: str | None, width: int | None) -> None:
    if start not in (None, "none"):
        if width is not None:
            raise typer.BadParameter(f"--width {width} and --start {start}: a trained network has one; give either")
        check_model(start)


def check_choices(
    minutes: float | None, steps: int | None, degree: int | None, tile: int | None, engine: str = "auto"
) -> None:
    """Raise a usage error for options that exclude each other or cannot be."""
    if minutes is not None and steps is not None:
        raise typer.BadParameter(f"--minutes {minutes} and --steps {steps}: give one of them")
    if minutes is not None and minutes <= 0:
        raise typer.BadParameter(f"--minutes {minutes}: give more than 0")
    if degree is not None and (degree % 2 or not 2 <= degree <= 16):
        raise typer.BadParameter(f"--degree {degree}: give an even number from 2 to 16")
    if tile is not None and (tile % 2 or tile < 2):
        raise typer.BadParameter(f"--tile {tile}: give an even number from 2")
    if engine not in ENGINE_NAMES:
        raise typer.BadParameter(f"--engine {engine}: give one of {', '.join(ENGINE_NAMES)}")
