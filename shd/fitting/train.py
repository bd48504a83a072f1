"""Train one network on many scans, simulated and measured, for any protocol."""

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from shd.errors import CheckpointError, ResourceError, SettingsError, is_out_of_memory, number_of
from shd.fitting.device import check_engine
from shd.fitting.progress import Progress, Report, silent
from shd.fitting.resuming import resume, save
from shd.fitting.train_choices import TrainPlan, fingerprint, held_out_count
from shd.fitting.training_subjects import StudySubjects, group_response, subject_states, with_responses
from shd.io.checkpoints import read_model
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
from shd.training.watch import HELD_OUT, LEARNED

__all__ = ["Training", "train"]

_VALIDATION_SEED = 1 << 40  # beyond the seeds that anyone gives


@dataclass(frozen=True, eq=False)
class Training:
    """What a training gave.

    model: the averaged weights of the best validation. trained: range of what it has seen. history: a row a validation:
    step, seconds, learning rate, mean terms of training since the last row, and of validation (by `on`). held_out:
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

    @property
    def on(self) -> str:
        """How the history names what validations score: `HELD_OUT`, or `LEARNED` where no subject is held out."""
        return _validated_on(len(self.learned), len(self.held_out))


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
    if group is not None:
        subjects = tuple(replace(subject, responses=group_response(group)) for subject in subjects)
    states = _states(subjects, ignore_bad_voxels, processes, report)
    name = fingerprint(settings, plan, states, None if start is None else str(start))
    on = _validated_on(len(subjects), held_out_count(plan.held_out, len(subjects)))
    course = Course(training, plan.validations, plan.patience, name, on)
    resume(course, checkpoint, processes)
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(TemporaryDirectory(prefix="shd-train-")))
        learned, held_out = _read(settings, plan, subjects, states, folder, ignore_bad_voxels, processes, report)
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


def _validated_on(subjects: int, held_out: int) -> str:
    """Return what validations score: scans held out, simulated ones among them, or also boxes of those learned from."""
    return LEARNED if subjects and not held_out else HELD_OUT


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
            f"{number_of(len(subjects), 'subject')}, but weight 0 of the loss that they are for; give --signal more "
            "than 0"
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


def _states(
    subjects: Sequence[Subject], ignore_bad_voxels: bool, processes: Processes, report: Report
) -> dict[str, str]:
    """Return what `subject_states` does; the first process reads the files for all."""
    if not subjects:
        return {}
    report(Progress("subjects", 0.0))
    return processes.from_first(subject_states(subjects, ignore_bad_voxels) if processes.first else {})


def _read(
    settings: TrainSettings,
    plan: TrainPlan,
    subjects: Sequence[Subject],
    states: Mapping[str, str],
    folder: Path,
    ignore_bad_voxels: bool,
    processes: Processes,
    report: Report,
) -> tuple[StudySubjects, StudySubjects]:
    """Return the subjects to learn from and those held out, which the first process has read once."""
    ready = StudySubjects((), ())
    if processes.first and subjects:
        ready = with_responses(
            subjects, states, folder / "subjects", settings.tissues, ignore_bad_voxels,
            lambda done: report(Progress("subjects", done)),
        )  # fmt: skip
    ready = processes.from_first(ready)
    order = np.random.default_rng([settings.seed, 3]).permutation(len(ready))
    count = held_out_count(plan.held_out, len(ready))
    parts = (sorted(order[count:].tolist()), sorted(order[:count].tolist()))
    learned, held_out = (ready.part(part) for part in parts)
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
                values: dict[str, int | float] = {name: row[name] for name in ("loss", course.on) if name in row}
                report(Progress("training", min(training.progress, 1.0), values))
            # after a validation, which may take long, at once: not only after one step more
            if checkpoint is not None and processes.first and time.monotonic() - saved >= plan.checkpoint_seconds:
                save(course, checkpoint)
                saved = time.monotonic()
