"""One subject of a cohort: inferred where it is computed, and published whole in its place."""

import hashlib
import json
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from shd.engines.choice import choose_engine
from shd.errors import OutputError, ShdError, ShdWarning
from shd.fitting.device import usable_device
from shd.fitting.fit import Fit
from shd.fitting.infer import infer
from shd.fitting.output_folder import OutputFolder
from shd.fitting.outputs import write_fit
from shd.fitting.progress import Report, silent
from shd.fitting.said_warnings import said_warnings
from shd.graphs.spatial import distance_classes
from shd.inference.memory import voxels_that_fit
from shd.inference.tiled import HALO
from shd.io.checkpoints import read_model
from shd.io.model_files import PACKAGED
from shd.io.subject_inputs import changed_inputs, inputs_of, used_files
from shd.io.subjects import Subject

__all__ = [
    "DONE", "DONE_BEFORE", "FAILED", "Choices", "Destination", "Folders", "Outcome", "absolute_model", "files_read",
    "infer_subject", "wanted_inputs", "write_subject",
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

    def inferred(self, subject: Subject) -> Subject:
        """Return the subject with the files that this destination has every result made of."""

    def begin(self) -> None:
        """Write what all results share, before the first is computed."""

    def record(self, subject: Subject) -> Path:
        """Return the JSON file that comes last, whose `inputs` say of which files, model and choices a result is."""

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

    def inferred(self, subject: Subject) -> Subject:
        """Return the subject as it is."""
        return subject

    def begin(self) -> None:
        """Results share nothing."""

    def record(self, subject: Subject) -> Path:
        """Return the subject's run.json."""
        return self.out / subject.name / "run.json"

    def write(self, subject: Subject, choices: Choices, wanted: Mapping[str, Any]) -> None:
        """Infer a subject and publish its folder; leave nothing on an error."""
        folder = OutputFolder(self.out / subject.name, choices.force, inputs=files_read(subject, choices))
        try:
            write_subject(subject, folder, choices, wanted)
        except BaseException:
            folder.discard()
            raise


def infer_subject(subject: Subject, destination: Destination, choices: Choices, wanted: Mapping[str, Any]) -> Outcome:
    """Write one subject's results, which appear whole; what a user can act on is in the outcome.

    wanted: what the record says of inputs when this is done, besides files. If a worker died between publishing a
    subject and saying so, the subject is not computed again. A result of other inputs is replaced only by force.
    """
    start = time.perf_counter()
    error = ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ShdWarning)
        try:
            record = destination.record(subject)
            changed = None if choices.force else changed_inputs(record, subject, wanted)
            if changed:
                raise OutputError(
                    f"{record}: of other inputs than this run's ({'; '.join(changed)}); give --force to replace the "
                    "result, or another output folder"
                )
            if changed is None:
                destination.write(subject, choices, wanted)
        except ShdError as failure:
            error = str(failure)
    said = tuple(str(w.message) for w in caught if issubclass(w.category, ShdWarning))
    seconds = round(time.perf_counter() - start, 3)
    return Outcome(subject.name, FAILED if error else DONE, seconds, error, warnings=said)


def write_subject(
    subject: Subject,
    folder: OutputFolder,
    choices: Choices,
    extra: Mapping[str, Any] | None = None,
    report: Report = silent,
) -> tuple[Fit, list[Path]]:
    """Read a subject, infer, and publish the folder; return the result and its files.

    extra: what run.json says of inputs besides the files, the model's path and the choices; `wanted_inputs` if None.
    Raises what reading, `infer` and `write_fit` raise.
    """
    files = inputs_of(subject)  # as they were before they are read
    with said_warnings() as said:
        scan, responses = subject.read(choices.ignore_bad_voxels)
        tile = _tile(scan.shape, choices)
        result = infer(
            scan, choices.model, responses, degree=choices.degree, tile=tile, device=choices.device,
            threads=choices.threads, engine=choices.engine, bfloat16=choices.bfloat16, report=report,
        )  # fmt: skip
    made = {"tile": tile, "device": usable_device(choices.device), "threads": torch.get_num_threads()}
    told = {**_telling(choices), "engine": choices.engine, **made}
    more = wanted_inputs(choices) if extra is None else extra
    inputs = {**files, "model": absolute_model(choices.model), **more, "choices": told}
    return result, write_fit(folder, scan, result, inputs, report, said)


def files_read(subject: Subject, choices: Choices) -> list[Path]:
    """Return the files that a result is made of."""
    return [*used_files(subject)[0].values(), *([] if choices.model in PACKAGED else [Path(choices.model)])]


def wanted_inputs(choices: Choices) -> dict[str, Any]:
    """Return what a record says of the network, by its SHA-256, and of the choices that change results.

    Raises CheckpointError where the file holds no model.
    """
    return {"model_fingerprint": _fingerprint(choices.model), "choices": _telling(choices)}


def _fingerprint(model: str) -> str:
    """Return the SHA-256 of the network's configuration, weights and responses, wherever its file lies."""
    stored = read_model(model)
    digest = hashlib.sha256(json.dumps(asdict(stored.network.config)).encode())
    for name, tensor in stored.network.state_dict().items():
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    for response in stored.responses:
        digest.update(response.tissue.encode() + response.bvalues.tobytes() + response.coefficients.tobytes())
    return digest.hexdigest()


def _telling(choices: Choices) -> dict[str, Any]:
    """Return the choices that change results."""
    return {name: getattr(choices, name) for name in ("degree", "bfloat16", "ignore_bad_voxels")}


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
    engine = choose_engine(choices.engine, empty, radii).name
    voxels = voxels_that_fit(config, device, engine, choices.sharers)
    core = round(voxels ** (1 / 3)) - 2 * HALO
    return None if prod(shape) <= voxels else max(4, core // 4 * 2)
