"""Train one network on many scans, simulated and measured, for any protocol."""

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from shd.errors import CheckpointError, ResourceError, SettingsError, is_out_of_memory
from shd.fitting.device import check_engine
from shd.fitting.progress import Progress, Report, silent
from shd.fitting.resuming import resuming
from shd.fitting.train_choices import TrainPlan, fingerprint, held_out_count
from shd.fitting.training_subjects import StudySubjects, group_response, with_responses
from shd.io.atomic import write_json
from shd.io.checkpoints import read_model, read_state, write_state
from shd.io.examples import KeptExamples
from shd.io.subjects import Subject
from shd.io.tables import write_csv
from shd.models.deconvolver import Deconvolver
from shd.scans.trained_range import TrainedRange
from shd.training.course import Course
from shd.training.distributed import Processes
from shd.training.examples import DrawnExamples, Examples, MixedExamples, SimulatedExamples
from shd.training.population import PopulationTraining, Prepared, TrainSettings
from shd.training.real_examples import RealExamples
from shd.training.stream import stream

__all__ = ["Training", "train"]

_VALIDATION_SEED = 1 << 40  # beyond the seeds that anyone gives


@dataclass(frozen=True, eq=False)
class Training:
    """What a training gave.

    model: the averaged weights of the best validation. trained: range of what it has seen. history: a row a validation:
    step, seconds, learning rate, mean terms of training since the last row, and of validation (held_out…). held_out:
    names of the subjects that it has not learned from.
    """

    model: Deconvolver
    settings: TrainSettings
    plan: TrainPlan
    trained: TrainedRange
    history: list[dict[str, int | float]]
    best_loss: float
    steps: int
    learned: tuple[str, ...]
    held_out: tuple[str, ...]


def train(
    settings: TrainSettings,
    plan: TrainPlan,
    subjects: Sequence[Subject] = (),
    *,
    group: Path | None = None,
    start: Path | str | None = None,
    keep: Path | None = None,
    ignore_bad_voxels: bool = False,
    processes: Processes = Processes(),  # frozen
    checkpoint: Path | None = None,
    log: Path | None = None,
    report: Report = silent,
) -> Training:
    """Return a network trained on simulated scans and boxes of the subjects' scans.

    group: folder with the responses of all subjects; else each has its own, given or estimated. start: a network to go
    on from, of the same shape. keep: folder in which examples with their estimates, masks and responses are kept, for
    this training and others; by default examples are made whenever they are needed. checkpoint: file from which an
    interrupted training goes on, and into which it saves itself. log: CSV file with the history, written as it grows.
    processes: that train together, each calling this alike.

    Raises SettingsError for settings that cannot be, CheckpointError where `checkpoint` or `start` does not fit,
    ResourceError where memory is missing, and what reading subjects raises.
    """
    _check(settings, plan, subjects, processes)
    training = PopulationTraining(settings, processes)
    if start is not None:
        _begin_from(training, start)
    name = fingerprint(settings, plan, subjects, None if start is None else str(start))
    course = Course(training, plan.validations, plan.patience, name)
    _resume(course, checkpoint)
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(TemporaryDirectory(prefix="shd-train-")))
        learned, held_out = _read(settings, plan, subjects, folder, group, ignore_bad_voxels, processes, report)
        examples, validation = _series(settings, plan, learned, held_out, keep)
        try:
            _run(course, examples, validation, plan, checkpoint, log, report)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise ResourceError(
                f"training on boxes of {plan.tile or plan.side} voxels a side, with a network of width "
                f"{settings.width}, does not fit into memory; give a smaller --tile, --side or --width"
            ) from error
    model = course.best_model()
    names = [tuple(subject.name for subject in study.subjects) for study in (learned, held_out)]
    return Training(
        model, settings, plan, course.seen, course.history, course.best_loss, course.steps_done, names[0], names[1]
    )


def _check(settings: TrainSettings, plan: TrainPlan, subjects: Sequence[Subject], processes: Processes) -> None:
    if not subjects and not plan.simulated:
        raise SettingsError("0 subjects and 0 simulated scans; give --subjects, or --simulated more than 0")
    if settings.batch % processes.count:
        raise SettingsError(
            f"a batch of {settings.batch} examples cannot be shared evenly by {processes.count} processes; give "
            f"--batch {-(-settings.batch // processes.count) * processes.count}"
        )
    if subjects and not settings.signal:
        raise SettingsError(
            f"{len(subjects)} subjects, but weight 0 of the loss that they are for; give --signal more than 0"
        )
    if not any(settings.truth) and not settings.signal:
        raise SettingsError("all weights of the loss are 0; give --signal more than 0, or weights of truth")
    held_out_count(plan.held_out, len(subjects))
    check_engine(settings.engine, settings.device, settings.config.kernel)


def _begin_from(training: PopulationTraining, start: Path | str) -> None:
    """Take the weights of a trained network. Raises CheckpointError where it has another shape."""
    found, wanted = read_model(start).network, training.settings.config
    other = [
        f"{name} {getattr(found.config, name)} instead of {value}"
        for name, value in vars(wanted).items()
        if getattr(found.config, name) != value
    ]
    if other:
        raise CheckpointError(f"{start}: another network ({', '.join(other)}); give these settings, or no --start")
    for network in (training.optimisation.model, training.optimisation.average):
        network.load_state_dict(found.state_dict())


def _resume(course: Course, checkpoint: Path | None) -> None:
    """Go on where `checkpoint` was saved, if it is there; the first process reads it for all."""
    processes = course.training.processes
    with resuming(checkpoint):
        state = read_state(checkpoint) if processes.first and checkpoint and checkpoint.exists() else None
    state = processes.from_first(state)
    if state is not None:
        with resuming(checkpoint):
            course.load_state(*state)


def _read(
    settings: TrainSettings,
    plan: TrainPlan,
    subjects: Sequence[Subject],
    folder: Path,
    group: Path | None,
    ignore_bad_voxels: bool,
    processes: Processes,
    report: Report,
) -> tuple[StudySubjects, StudySubjects]:
    """Return the subjects to learn from and those held out, which the first process has read once."""
    ready = StudySubjects(())
    if processes.first and subjects:
        report(Progress("subjects", 0.0))
        ready = with_responses(
            subjects, folder / "subjects", settings.tissues, group_response(group) if group else None,
            ignore_bad_voxels, lambda done: report(Progress("subjects", done)),
        )  # fmt: skip
    ready = processes.from_first(ready)
    order = np.random.default_rng([settings.seed, 3]).permutation(len(ready))
    count = held_out_count(plan.held_out, len(ready))
    parts = (sorted(order[count:]), sorted(order[:count]))
    learned, held_out = (StudySubjects(tuple(ready.subjects[number] for number in part)) for part in parts)
    return learned, held_out


def _series(
    settings: TrainSettings, plan: TrainPlan, learned: StudySubjects, held_out: StudySubjects, keep: Path | None
) -> tuple[Examples, Examples]:
    """Return the examples to learn from, without end, and those of a validation."""

    def kept(examples: Examples, name: str) -> Examples:
        return KeptExamples(examples, keep / name, settings.config.nside, settings.coherence) if keep else examples

    def simulated(seed: int, count: int) -> tuple[Examples, int]:
        return kept(SimulatedExamples(seed, plan.side), f"simulated-{seed}-{plan.side}"), count

    def real(study: StudySubjects, seed: int, count: int) -> tuple[Examples, int]:
        examples = RealExamples(study, seed, plan.side, plan.fewer, plan.noisier, plan.coarser)
        shares = f"{plan.fewer:g}-{plan.noisier:g}-{plan.coarser:g}"
        return kept(examples, f"real-{study.fingerprint()}-{seed}-{plan.side}-{shares}"), count

    measured = plan.boxes * len(learned)
    shared = plan.validation // 2 if measured and plan.simulated else plan.validation
    other = settings.seed + _VALIDATION_SEED
    learning, validating = [], []
    if plan.simulated:
        learning.append(simulated(settings.seed, plan.simulated))
        validating.append(simulated(other, plan.validation - shared if measured else shared))
    if measured:
        learning.append(real(learned, settings.seed, measured))
        validating.append(real(held_out if len(held_out) else learned, other, shared))
    drawn = DrawnExamples(MixedExamples(tuple(learning)), settings.seed, plan.tile)
    return drawn, DrawnExamples(MixedExamples(tuple(validating)), other, plan.tile)


def _run(
    course: Course,
    examples: Examples,
    validation: Examples,
    plan: TrainPlan,
    checkpoint: Path | None,
    log: Path | None,
    report: Report,
) -> None:
    """Train to the end of the budget, validating at even parts of it and saving every so often."""
    training, processes = course.training, course.training.processes
    scored: list[Prepared] = []
    if processes.first:
        report(Progress("validation set", 0.0))
        numbers = range(plan.validation)
        for example in stream(validation, numbers, training.prepare, workers=plan.workers, threads=plan.preparing):
            scored.append(example)
            report(Progress("validation set", len(scored) / plan.validation))

    def validate() -> None:
        course.validate(scored)
        if log is not None and processes.first:
            write_csv(log, course.history)

    if not course.history:  # the untrained network, which is the first estimate, is the one to beat
        validate()
    batch = training.settings.batch
    last = sys.maxsize if training.settings.minutes else training.settings.steps * batch
    own = range(course.steps_done * batch + processes.rank, last, processes.count)
    report(Progress("training", training.progress))
    with closing(stream(examples, own, training.prepare, workers=plan.workers, threads=plan.preparing)) as prepared:
        done = saved = time.monotonic()
        while not course.finished:
            step = [next(prepared) for _ in range(batch // processes.count)]
            before, done = done, time.monotonic()
            if course.step(step, done - before):
                validate()
            if processes.first:
                row = course.history[-1]
                values: dict[str, int | float] = {name: row[name] for name in ("loss", "held_out") if name in row}
                report(Progress("training", min(training.progress, 1.0), values))
            if checkpoint is not None and processes.first and done - saved >= plan.checkpoint_seconds:
                _save(course, checkpoint)
                saved = time.monotonic()


def _save(course: Course, checkpoint: Path) -> None:
    """Write the state, and what it says in plain words beside it."""
    tensors, numbers = course.state()
    write_state(checkpoint, tensors, numbers)
    write_json(checkpoint.with_suffix(".json"), numbers)
