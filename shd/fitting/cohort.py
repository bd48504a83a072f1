"""One network on every subject of a cohort: each in a folder of its own, those finished before left as they are."""

import hashlib
import json
import os
import time
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from math import prod
from pathlib import Path
from typing import Any

import nibabel as nib
import torch

from shd._version import __version__
from shd.engines.choice import choose_engine
from shd.errors import OutputError, ShdError, ShdWarning
from shd.fitting.cluster import Failure, can_distribute, in_turn, local_cluster, running_scheduler, spread
from shd.fitting.device import usable_device
from shd.fitting.fit import Fit
from shd.fitting.infer import infer
from shd.fitting.output_folder import OutputFolder
from shd.fitting.outputs import write_fit
from shd.fitting.progress import Progress, Report, silent
from shd.graphs.spatial import distance_classes
from shd.inference.memory import available_memory, voxels_that_fit
from shd.inference.tiled import HALO
from shd.io.atomic import write_json
from shd.io.checkpoints import PACKAGED, read_model
from shd.io.subjects import Subject

__all__ = ["DONE", "DONE_BEFORE", "FAILED", "Choices", "Outcome", "infer_cohort", "infer_subject", "write_subject"]

DONE, DONE_BEFORE, FAILED = "done", "done before", "failed"
_SCAN_COPIES = 3
"""Copies of a scan in float32 that a subject takes at the peak: read, normalised, and its estimates."""
_BOX = 4 << 30
"""Bytes that a subject should have for the network besides."""


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


def infer_cohort(
    subjects: Sequence[Subject],
    out: Path | str,
    choices: Choices,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    retries: int = 2,
    report: Report = silent,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> tuple[Outcome, ...]:
    """Write the fODFs of every subject to `out/<name>`, and the summary `out/cohort.json`; return what became of each.

    A subject whose folder holds a finished result of this scan, model and choices is left as it is, unless
    `choices.force`. One that fails does not stop the others, and leaves nothing.

    scheduler: address, or JSON file, of a running dask scheduler, whose workers see the same paths. workers: processes
    on this machine otherwise, of one subject at a time; by default one for two cores as far as memory goes and dask is
    installed, and one on a GPU. One worker is this process. retries: how often a subject is tried again whose worker
    was killed or met a bug; what a user can act on is not tried again. report: told the part that is done. on_outcome:
    told of each subject as it ends.

    Raises CheckpointError for a file that holds no model, OutputError where `out` cannot be written, ResourceError
    where the scheduler, dask or the device is missing.
    """
    out, choices = Path(out).absolute(), replace(choices, model=_absolute(choices.model))
    _check_writable(out)
    common = {"model_fingerprint": _fingerprint(choices.model), "choices": _telling(choices)}
    wanted = {subject.name: {"dwi": str(subject.dwi.absolute()), **common} for subject in subjects}
    outcomes = {}
    for subject in subjects:
        if not choices.force and _is_finished(out / subject.name, wanted[subject.name]):
            outcomes[subject.name] = Outcome(subject.name, DONE_BEFORE)
            on_outcome(outcomes[subject.name])
    pending = [subject for subject in subjects if subject.name not in outcomes]
    _tell(report, outcomes, len(subjects))
    with closing(_results(pending, out, choices, wanted, scheduler, workers, retries)) as results:
        for name, result in results:
            if isinstance(result, Failure):
                result = Outcome(name, FAILED, error=result.message, trace=result.trace)
            outcomes[name] = result
            on_outcome(result)
            _tell(report, outcomes, len(subjects))
    ordered = tuple(outcomes[subject.name] for subject in subjects)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "cohort.json", _summary(ordered, choices.model, common))
    return ordered


def infer_subject(subject: Subject, out: Path, choices: Choices, wanted: Mapping[str, Any]) -> Outcome:
    """Write one subject's fODFs to `out/<name>`, where they appear whole; what a user can act on is in the outcome.

    wanted: what run.json says of inputs when this is done. If a worker died between publishing a subject and saying
    so, the subject is not computed again.
    """
    start = time.perf_counter()
    if not choices.force and _is_finished(out / subject.name, wanted):
        return Outcome(subject.name, DONE)
    error = ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ShdWarning)
        try:
            folder = OutputFolder(out / subject.name, choices.force)
            try:
                write_subject(subject, folder, choices, wanted)
            except BaseException:
                folder.discard()
                raise
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
    inputs = {**files, "model": _absolute(choices.model), **extra}
    return result, write_fit(folder, scan, result, inputs, report)


def _results(
    subjects: Sequence[Subject],
    out: Path,
    choices: Choices,
    wanted: Mapping[str, Mapping[str, Any]],
    scheduler: str | None,
    workers: int | None,
    retries: int,
) -> Generator[tuple[str, Any], None, None]:
    """Give each subject's outcome, or why there is none, as it comes."""
    if not subjects:
        return
    client = None
    with ExitStack() as stack:
        if scheduler is not None:
            client = stack.enter_context(running_scheduler(scheduler))
        else:
            device = usable_device(choices.device)
            count = workers or _workers_for(subjects, device)
            count = min(count, len(subjects))
            threads = choices.threads or max(1, _cores() // count)
            if count > 1:
                client = stack.enter_context(local_cluster(count, threads, retries))
                choices = replace(choices, threads=threads, sharers=count)
        tasks = {s.name: (s, out, choices, wanted[s.name]) for s in subjects}
        yield from spread(client, infer_subject, tasks, retries) if client else in_turn(infer_subject, tasks, retries)


def _absolute(model: str) -> str:
    """Return a file's whole path, for workers that stand elsewhere; the name of a packaged model as it is."""
    return model if model in PACKAGED else str(Path(model).absolute())


def _fingerprint(model: str) -> str:
    """Return the SHA-256 of the network's configuration, weights and responses, wherever its file lies.

    Raises CheckpointError where the file holds no model.
    """
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


def _is_finished(folder: Path, wanted: Mapping[str, Any]) -> bool:
    """Return whether the folder holds a whole result of these inputs: run.json is the last file to come."""
    try:
        inputs = json.loads((folder / "run.json").read_text(encoding="utf-8"))["inputs"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return isinstance(inputs, dict) and all(inputs.get(name) == value for name, value in wanted.items())


def _check_writable(out: Path) -> None:
    """Raise OutputError where subjects could not be written, before any is computed."""
    nearest = next(folder for folder in (out, *out.parents) if folder.exists())
    if not nearest.is_dir():
        raise OutputError(f"{out}: {nearest} is a file; give a folder for the subjects' folders")
    if not os.access(nearest, os.W_OK):
        raise OutputError(f"{out}: cannot write in {nearest}; choose another --out")


def _cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _workers_for(subjects: Sequence[Subject], device: str) -> int:
    """Return how many subjects this machine should compute at once: one for two cores, as far as memory goes."""
    if device != "cpu" or not can_distribute():
        return 1
    needed = _BOX + max(map(_bytes_of, subjects))
    return max(1, min(_cores() // 2, available_memory(torch.device("cpu")) // needed))


def _bytes_of(subject: Subject) -> int:
    """Return what the scan takes in memory at the peak, by its header; 0 where it has none, as its task will say."""
    with suppress(OSError, ValueError, nib.filebasedimages.ImageFileError):
        return _SCAN_COPIES * 4 * prod(nib.load(subject.dwi).shape)  # type: ignore[attr-defined]
    return 0


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


def _tell(report: Report, outcomes: Mapping[str, Outcome], total: int) -> None:
    counts = Counter(outcome.state for outcome in outcomes.values())
    values = {state: float(count) for state, count in counts.items()}
    report(Progress("subjects", len(outcomes) / total, values))


def _summary(outcomes: Sequence[Outcome], model: str, common: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "shd": __version__,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model": model,
        **common,
        "subjects": len(outcomes),
        "counts": dict(Counter(outcome.state for outcome in outcomes)),
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }
