"""One subject of a cohort: inferred where it is computed, and published whole in its place."""

import json
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from shd.engines.choice import choose_engine
from shd.errors import ShdError, ShdWarning
from shd.fitting.device import usable_device
from shd.fitting.fit import Fit
from shd.fitting.infer import infer
from shd.fitting.output_folder import OutputFolder
from shd.fitting.outputs import write_fit
from shd.fitting.progress import Report, silent
from shd.graphs.spatial import distance_classes
from shd.inference.memory import voxels_that_fit
from shd.inference.tiled import HALO
from shd.io.checkpoints import read_model
from shd.io.model_files import PACKAGED
from shd.io.subjects import Subject

__all__ = [
    "DONE", "DONE_BEFORE", "FAILED", "Choices", "Destination", "Folders", "Outcome", "absolute_model", "infer_subject",
    "is_finished", "write_subject",
]  # fmt: skip

DONE, DONE_BEFORE, FAILED = "done", "done before", "failed"


@dataclass(frozen=True)
class Choices:
    """What is the same for all subjects; see `infer` and `read_scan`. threads: of each worker."""

    model: str = "base"
    degree: int | None = None
    tile: int | None = None
    device: str | None = None
    threads: int | None = None
    engine: str = "auto"
    bfloat16: bool = False
    ignore_bad_voxels: bool = False
    force: bool = False
    sharers: int = 1


@dataclass(frozen=True)
class Outcome:
    """What became of a subject. state: DONE, DONE_BEFORE or FAILED. error: one line; trace: Python's, of a bug."""

    name: str
    state: str
    seconds: float = 0.0
    error: str = ""
    trace: str = ""
    warnings: tuple[str, ...] = ()


@runtime_checkable
class Destination(Protocol):
    """Where a cohort's results go, in which form; sent to workers, so it must pickle."""

    @property
    def out(self) -> Path:
        """Folder of everything that is written."""

    @property
    def summary(self) -> Path:
        """File of the summary."""

    def telling(self) -> Mapping[str, Any]:
        """Return what changes results besides the choices, as plain JSON."""

    def begin(self) -> None:
        """Write what all results share, before the first is computed."""

    def record(self, subject: Subject) -> Path:
        """Return the JSON file that comes last, whose `inputs` say of which scan, model and choices a result is."""

    def write(self, subject: Subject, choices: Choices, wanted: Mapping[str, Any]) -> None:
        """Infer a subject and publish its results whole; `wanted` goes into the record's inputs."""


@dataclass(frozen=True)
class Folders:
    """A folder `out/<name>` for each subject, with the files that a single scan gets."""

    out: Path

    @property
    def summary(self) -> Path:
        """File of the summary."""
        return self.out / "cohort.json"

    def telling(self) -> Mapping[str, Any]:
        """Return what changes results besides the choices: nothing."""
        return {}

    def begin(self) -> None:
        """Results share nothing."""

    def record(self, subject: Subject) -> Path:
        """Return the subject's run.json."""
        return self.out / subject.name / "run.json"

    def write(self, subject: Subject, choices: Choices, wanted: Mapping[str, Any]) -> None:
        """Infer a subject and publish its folder; leave nothing on an error."""
        folder = OutputFolder(self.out / subject.name, choices.force)
        try:
            write_subject(subject, folder, choices, wanted)
        except BaseException:
            folder.discard()
            raise


def infer_subject(subject: Subject, destination: Destination, choices: Choices, wanted: Mapping[str, Any]) -> Outcome:
    """Write one subject's results, which appear whole; what a user can act on is in the outcome.

    wanted: what the record says of inputs when this is done. If a worker died between publishing a subject and saying
    so, the subject is not computed again.
    """
    start = time.perf_counter()
    if not choices.force and is_finished(destination.record(subject), wanted):
        return Outcome(subject.name, DONE)
    error = ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ShdWarning)
        try:
            destination.write(subject, choices, wanted)
        except ShdError as failure:
            error = str(failure)
    said = tuple(str(w.message) for w in caught if issubclass(w.category, ShdWarning))
    seconds = round(time.perf_counter() - start, 3)
    return Outcome(subject.name, FAILED if error else DONE, seconds, error, warnings=said)


def write_subject(
    subject: Subject, folder: OutputFolder, choices: Choices, extra: Mapping[str, Any], report: Report = silent
) -> tuple[Fit, list[Path]]:
    """Read a subject, infer, and publish the folder; return the result and its files.

    extra: what run.json says of inputs besides the files and the model. Raises what reading, `infer` and `write_fit`
    raise.
    """
    scan, responses = subject.read(choices.ignore_bad_voxels)
    result = infer(
        scan, choices.model, responses, degree=choices.degree, tile=_tile(scan.shape, choices), device=choices.device,
        threads=choices.threads, engine=choices.engine, bfloat16=choices.bfloat16, report=report,
    )  # fmt: skip
    files = {name: str(path.absolute()) for name, path in subject.files().items()}
    inputs = {**files, "model": absolute_model(choices.model), **extra}
    return result, write_fit(folder, scan, result, inputs, report)


def is_finished(record: Path, wanted: Mapping[str, Any]) -> bool:
    """Return whether the record, which is the last file to come, is of a result of these inputs."""
    try:
        inputs = json.loads(record.read_text(encoding="utf-8"))["inputs"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return isinstance(inputs, dict) and all(inputs.get(name) == value for name, value in wanted.items())


def absolute_model(model: str) -> str:
    """Return a file's whole path, for workers that stand elsewhere; the name of a packaged model as it is."""
    return model if model in PACKAGED else str(Path(model).absolute())


def _tile(shape: tuple[int, ...], choices: Choices) -> int | None:
    """Return half the side of boxes of which all sharers' fit into half of the free memory; None where a scan does.

    One that computes alone measures the memory itself.
    """
    if choices.tile is not None or choices.sharers == 1:
        return choices.tile
    device = torch.device(usable_device(choices.device))
    config = read_model(choices.model).network.config
    empty, radii = torch.empty(0, dtype=torch.float32, device=device), len(distance_classes(config.kernel))
    voxels = voxels_that_fit(config, device, choose_engine(choices.engine, empty, radii).name) // choices.sharers
    core = round(voxels ** (1 / 3)) - 2 * HALO
    return None if prod(shape) <= voxels else max(4, core // 4 * 2)
