"""A trained segmentation applied to a scan: probabilities and labels on its grid."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int

from shd._version import __version__
from shd.errors import SettingsError
from shd.fitting.output_folder import OutputFolder
from shd.fitting.progress import Report, counted, silent
from shd.fitting.record import versions
from shd.inference.segmentation import TILE, label_probabilities
from shd.io.atomic import write_json
from shd.io.images import write_image
from shd.io.segmenters import StoredSegmenter
from shd.io.subject_inputs import is_made_of
from shd.io.subject_lists import lists_subjects
from shd.io.subjects import Subject, read_subjects
from shd.scans.coherence import checked_directions
from shd.scans.q_table import q_signal
from shd.scans.scan import Scan

__all__ = [
    "is_predicted", "labels_of", "predict_subject", "prediction_choices", "subjects_of", "write_prediction",
]  # fmt: skip


def subjects_of(dwi: Path, out: Path, files: Mapping[str, Path | None]) -> list[tuple[Path, Subject]]:
    """Return the scan, or those of a list, each with the folder for its results.

    files: of the one scan: bval, bvec, grad, mask. Raises SettingsError where they come with a list, which has columns
    for them, and what `read_subjects` raises.
    """
    if not lists_subjects(dwi):
        bval, bvec, grad, mask = (files.get(name) for name in ("bval", "bvec", "grad", "mask"))
        return [(out, Subject(out.name, dwi, bval, bvec, grad, mask))]
    given = [name for name, path in files.items() if path is not None]
    if given:
        raise SettingsError(f"{', '.join(given)}: only for one scan; a list of subjects has columns for them")
    return [(out / subject.name, subject) for subject in read_subjects(dwi)]


def is_predicted(folder: Path, subject: Subject, choices: Mapping[str, Any]) -> bool:
    """Return whether a folder holds the finished prediction of a subject as it is now by this version of shd.

    choices: `prediction_choices`.
    """
    record = folder / "run.json"
    if not is_made_of(record, subject, choices):
        return False
    return bool(json.loads(record.read_text(encoding="utf-8")).get("shd") == __version__)


def prediction_choices(model: Path, resample: bool, ignore_bad_voxels: bool) -> dict[str, Any]:
    """Return what a prediction is made by, for run.json: the model, what its weights are by a short name, choices."""
    weights = hashlib.sha256(model.read_bytes()).hexdigest()[:12]
    choices = {"resample": resample, "ignore_bad_voxels": ignore_bad_voxels}
    return {"model": str(model.absolute()), "weights": weights, **choices}


def predict_subject(
    stored: StoredSegmenter,
    subject: Subject,
    *,
    resample: bool = False,
    ignore_bad_voxels: bool = False,
    tile: int = TILE,
    report: Report = silent,
) -> tuple[Scan, Float32[np.ndarray, "label x y z"]]:
    """Return a subject's scan and the probability of each label, the background first; zero outside the mask.

    Raises what reading a scan raises, GradientError where its q-table is not the network's (see `q_signal` for
    `resample`), ResourceError where a box does not fit into memory.
    """
    scan, _ = subject.read(ignore_bad_voxels)
    checked_directions(scan, subject.name)
    signal = q_signal(scan, stored.table, resample)
    advance = counted("segmenting", int(scan.mask.sum()), report)
    return scan, label_probabilities(stored.network, signal, tile=tile, on_tile=advance)


def labels_of(chances: Float32[np.ndarray, "label x y z"], labels: tuple[int, ...]) -> Int[np.ndarray, "x y z"]:
    """Return the value of the likeliest label of each voxel; the background where there is no probability at all."""
    return np.array(labels, dtype=np.int16)[chances.argmax(axis=0)]


def write_prediction(
    folder: OutputFolder,
    stored: StoredSegmenter,
    scan: Scan,
    chances: Float32[np.ndarray, "label x y z"],
    inputs: Mapping[str, Any],
) -> list[Path]:
    """Write probability, label and mask images and run.json; return them in their final place.

    probability.nii.gz: one volume for each label but the background, 3-D where there is one label. inputs: what was
    read from where, for run.json.
    """
    target, affine = folder.partial, scan.affine
    shape = scan.shape if len(chances) == 2 else (*scan.shape, len(chances) - 1)
    model = {"Description": "shd segment: voxel-wise prediction from raw q-space", "Parameters": asdict(stored.config)}
    sidecar = {"Model": model, "Labels": list(stored.labels[1:]), "Thresholds": list(stored.thresholds)}
    write_image(target / "probability.nii.gz", chances[1:], shape, affine, sidecar | {"Units": "probability"})
    labels = labels_of(chances, stored.labels)
    write_image(target / "label.nii.gz", [labels], scan.shape, affine, sidecar, dtype="<i2")
    write_image(target / "mask.nii.gz", [scan.mask.astype(np.float32)], scan.shape, affine, {"Type": "Brain"})
    record = {
        "shd": __version__,
        "inputs": dict(inputs),
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "scan": {"name": scan.name, "shape": list(scan.shape), "mask_voxels": int(scan.mask.sum())},
        "labels": list(stored.labels),
        "voxels": {str(v): int((labels_of(chances, stored.labels) == v).sum()) for v in stored.labels[1:]},
        "versions": versions(),
    }
    write_json(target / "run.json", record)
    return folder.publish()
