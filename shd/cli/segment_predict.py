"""`shd segment predict`: a trained segmentation on a scan, or on every scan of a list."""

from pathlib import Path

import typer

from shd.cli.messages import tell, tell_command
from shd.cli.results import output_folder

__all__ = ["predict"]


def predict(
    model: Path = typer.Argument(help="The model.safetensors of shd segment train."),
    dwi: Path = typer.Argument(help="Preprocessed scan, NIfTI; or a list: .tsv, .csv, .txt or a folder of QSIPrep's."),
    bval: Path | None = typer.Argument(None, help="FSL b-values (s/mm²); by default the .bval beside the scan."),
    bvec: Path | None = typer.Argument(None, help="FSL gradient directions; by default the .bvec beside the scan."),
    out: Path = typer.Option(..., help="Folder for the results; of a list, with a folder for each subject."),
    grad: Path | None = typer.Option(None, help="MRtrix gradient table (.b: x y z b) instead of bval and bvec."),
    mask: Path | None = typer.Option(None, help="Brain mask; computed if not given."),
    resample: bool = typer.Option(False, "--resample", help="Bring the scan to the network's directions."),
    tile: int = typer.Option(24, min=1, help="Longest side of the boxes in voxels: memory, not results."),
    device: str | None = typer.Option(None, help="cpu or cuda; by default cuda where there is one."),
    threads: int | None = typer.Option(None, min=1, help="CPU threads; by default all."),
    ignore_bad_voxels: bool = typer.Option(False, "--ignore-bad-voxels", help="Leave out NaN and infinite voxels."),
    force: bool = typer.Option(False, "--force", help="Replace results in the output folder."),
) -> None:
    """Write the probability of each label in every voxel of a scan, and the likeliest one."""
    import torch

    from shd.cli.progress_bar import shown_progress
    from shd.fitting.device import usable_device
    from shd.fitting.segment_prediction import (
        is_predicted,
        predict_subject,
        prediction_inputs,
        subjects_of,
        write_prediction,
    )
    from shd.io.segmenters import read_segmenter

    if threads:
        torch.set_num_threads(threads)
    stored = read_segmenter(model, usable_device(device))
    subjects = subjects_of(dwi, out, {"bval": bval, "bvec": bvec, "grad": grad, "mask": mask})
    for folder_path, subject in subjects:
        inputs = prediction_inputs(model, subject, resample)
        if len(subjects) > 1 and not force and is_predicted(folder_path, inputs):
            tell(f"{subject.name}: finished already, in {folder_path}")
            continue
        with output_folder(folder_path, force) as folder, shown_progress() as report:
            scan, chances = predict_subject(
                stored, subject, resample=resample, ignore_bad_voxels=ignore_bad_voxels, tile=tile, report=report
            )
            files = write_prediction(folder, stored, scan, chances, inputs)
        tell(f"wrote {len(files)} files in {folder_path}: {', '.join(path.name for path in files)}")
    tell("with label images, next:")
    tell_command(f"shd segment evaluate {out} {dwi if len(subjects) > 1 else 'label.nii.gz'} --out scores")
