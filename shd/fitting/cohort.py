"""One network on every subject of a cohort: each in a folder of its own, those finished before left as they are."""

import os
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, replace
from datetime import datetime, timezone
from math import prod
from pathlib import Path
from typing import Any

import torch

from shd._version import __version__
from shd.errors import OutputError, ScanError
from shd.fitting.cluster import Failure, can_distribute, in_turn, local_cluster, running_scheduler, spread
from shd.fitting.cohort_subject import (
    DONE_BEFORE,
    FAILED,
    Choices,
    Destination,
    Folders,
    Outcome,
    absolute_model,
    infer_subject,
    wanted_inputs,
)  # fmt: skip
from shd.fitting.device import usable_device
from shd.fitting.progress import Progress, Report, silent
from shd.inference.memory import available_memory
from shd.io.atomic import write_json
from shd.io.images import read_grid
from shd.io.subject_inputs import is_made_of
from shd.io.subjects import Subject
from shd.processors import usable_processors

__all__ = ["Choices", "Outcome", "infer_cohort", "infer_into"]

_SCAN_COPIES = 3
"""Copies of a scan in float32 that a subject takes at the peak: read, normalised, and its estimates."""
_BOX = 4 << 30
"""Bytes that a subject should have for the network besides."""


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

    A subject whose folder holds a finished result of the same files, model and choices is left as it is, unless
    `choices.force`; results of others are not replaced without it. One that fails does not stop the others, and leaves
    nothing. The rest is as in `infer_into`.
    """
    return infer_into(
        Folders(Path(out).absolute()), subjects, choices, scheduler=scheduler, workers=workers, retries=retries,
        report=report, on_outcome=on_outcome,
    )  # fmt: skip


def infer_into(
    destination: Destination,
    subjects: Sequence[Subject],
    choices: Choices,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    retries: int = 2,
    report: Report = silent,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> tuple[Outcome, ...]:
    """Infer every subject into a destination, each once whatever happens to the others; return what became of each.

    A subject whose record is of the same files, model and choices (`changed_inputs`) is left as it is, unless
    `choices.force`; one whose record is of others fails, and says which, unless `choices.force`.

    scheduler: address, or JSON file, of a running dask scheduler, whose workers see the same paths. workers: processes
    on this machine otherwise, of one subject at a time; by default one for two cores as far as memory goes and dask is
    installed, and one on a GPU. One worker is this process. retries: how often a subject is tried again whose worker
    was killed or met a bug; what a user can act on is not tried again. report: told the part that is done. on_outcome:
    told of each subject as it ends.

    Raises CheckpointError for a file that holds no model, OutputError where the destination cannot be written,
    ResourceError where the scheduler, dask or the device is missing.
    """
    choices = replace(choices, model=absolute_model(choices.model))
    _check_writable(destination.out)
    subjects = [destination.inferred(subject) for subject in subjects]
    wanted = {**wanted_inputs(choices), **destination.telling()}
    outcomes = {}
    for subject in subjects:
        if not choices.force and is_made_of(destination.record(subject), subject, wanted):
            outcomes[subject.name] = Outcome(subject.name, DONE_BEFORE)
            on_outcome(outcomes[subject.name])
    pending = [subject for subject in subjects if subject.name not in outcomes]
    _tell(report, outcomes, len(subjects))
    with closing(_results(pending, destination, choices, wanted, scheduler, workers, retries)) as results:
        for name, result in results:
            if isinstance(result, Failure):
                result = Outcome(name, FAILED, error=result.message, trace=result.trace)
            outcomes[name] = result
            on_outcome(result)
            _tell(report, outcomes, len(subjects))
    ordered = tuple(outcomes[subject.name] for subject in subjects)
    destination.summary.parent.mkdir(parents=True, exist_ok=True)
    write_json(destination.summary, _summary(ordered, choices.model, wanted))
    return ordered


def _results(
    subjects: Sequence[Subject],
    destination: Destination,
    choices: Choices,
    wanted: Mapping[str, Any],
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
            threads = choices.threads or max(1, usable_processors() // count)
            if count > 1:
                client = stack.enter_context(local_cluster(count, threads, retries))
                choices = replace(choices, threads=threads, sharers=count)
        destination.begin()
        tasks = {s.name: (s, destination, choices, wanted) for s in subjects}
        yield from spread(client, infer_subject, tasks, retries) if client else in_turn(infer_subject, tasks, retries)


def _check_writable(out: Path) -> None:
    """Raise OutputError where subjects could not be written, before any is computed."""
    nearest = next(folder for folder in (out, *out.parents) if folder.exists())
    if not nearest.is_dir():
        raise OutputError(f"{out}: {nearest} is a file; give a folder for the subjects' folders")
    if not os.access(nearest, os.W_OK):
        raise OutputError(f"{out}: cannot write in {nearest}; choose another --out")


def _workers_for(subjects: Sequence[Subject], device: str) -> int:
    """Return how many subjects this machine should compute at once: one for two cores, as far as memory goes."""
    if device != "cpu" or not can_distribute():
        return 1
    needed = _BOX + max(map(_bytes_of, subjects))
    return max(1, min(usable_processors() // 2, available_memory(torch.device("cpu")) // needed))


def _bytes_of(subject: Subject) -> int:
    """Return what the scan takes in memory at the peak, by its header; 0 where it has none, as its task will say."""
    with suppress(ScanError):
        return _SCAN_COPIES * 4 * prod(read_grid(subject.dwi)[0])
    return 0


def _tell(report: Report, outcomes: Mapping[str, Outcome], total: int) -> None:
    counts = Counter(outcome.state for outcome in outcomes.values())
    values = {state: float(count) for state, count in counts.items()}
    report(Progress("subjects", len(outcomes) / total, values))


def _summary(outcomes: Sequence[Outcome], model: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "shd": __version__,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model": model,
        **wanted,
        "subjects": len(outcomes),
        "counts": dict(Counter(outcome.state for outcome in outcomes)),
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }
