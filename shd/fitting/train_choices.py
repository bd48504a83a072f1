"""Every choice of a training on many scans: defaults, a stored configuration, and what is given, in this order."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_origin

from shd.errors import SettingsError, number_of
from shd.training.population import TrainSettings

__all__ = ["TrainPlan", "check_names", "choices_of", "fingerprint", "held_out_count", "made", "read_configuration"]


_SIGNAL = 0.1  # where there are measured scans; 1 and 3 forget more of simulated truth (docs/training.md)


@dataclass(frozen=True)
class TrainPlan:
    """What is learned from, and how the training is watched.

    simulated: how many different random scans. boxes: how many boxes of each subject. side: voxels along each axis of
    both. tile: side of the part that a step takes of them, None for all. held_out: subjects that are not learned from,
    as a number or as a share below 1. validation: examples that a validation takes; simulated and real ones share them.
    validations: over the budget. patience: validations without improvement after which training ends. fewer, noisier,
    coarser: as in `RealExamples`. checkpoint_seconds: longest training that an interruption can lose. workers:
    processes that make examples; preparing: threads that take them to the device.
    """

    simulated: int = 1000
    boxes: int = 8
    side: int = 16
    tile: int | None = None
    held_out: float = 0.1
    validation: int = 16
    validations: int = 20
    patience: int | None = None
    fewer: float = 0.5
    noisier: float = 0.3
    coarser: float = 0.1
    checkpoint_seconds: float = 20.0
    workers: int = 0
    preparing: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot be."""
        if min(self.boxes, self.validation, self.validations, self.preparing) < 1 or self.side < 4:
            raise ValueError("boxes, validation, validations and preparing are 1 or more, side is 4 or more")
        if min(self.simulated, self.workers, self.held_out, self.checkpoint_seconds) < 0:
            raise ValueError("simulated, workers, held_out and checkpoint_seconds are 0 or more")
        if self.held_out >= 1 and self.held_out % 1:
            raise ValueError(f"held_out {self.held_out}: a whole number of subjects, or a share below 1")
        if (self.patience is not None and self.patience < 1) or (self.tile is not None and self.tile < 2):
            raise ValueError(f"patience {self.patience} and tile {self.tile}: at least 1 and 2 where they are given")
        if not all(0 <= share <= 1 for share in (self.fewer, self.noisier, self.coarser)):
            raise ValueError("fewer, noisier and coarser are shares, from 0 to 1")


def choices_of(
    given: Mapping[str, Any], configuration: Path | None = None, with_subjects: bool = False
) -> tuple[TrainSettings, TrainPlan]:
    """Return all settings: those given before those of a JSON file, and these before the defaults.

    with_subjects: whether there are measured scans; then the loss that they are for has weight 0.1 by default. Raises
    SettingsError for an unknown name, a value that cannot be, or two budgets.
    """
    stored = read_configuration(configuration) if configuration else {}
    if "minutes" in given and "steps" in given:
        raise SettingsError(f"{given['minutes']} minutes and {number_of(given['steps'], 'step')}; give one of them")
    if "steps" in given:
        stored.pop("minutes", None)
    usual = {"signal": _SIGNAL} if with_subjects else {}
    return _chosen(usual | stored | dict(given))


def read_configuration(path: Path) -> dict[str, Any]:
    """Return the choices in a JSON file. Raises SettingsError where it is none."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: no configuration can be read ({error}); give a JSON file") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: holds a {type(content).__name__}; write choices as {{\"width\": 16, …}}")
    return content


def _chosen(choices: Mapping[str, Any]) -> tuple[TrainSettings, TrainPlan]:
    """Return all settings from the choices that differ from the defaults, by the names of their fields."""
    known = [f.name for part in (TrainSettings, TrainPlan) for f in fields(part)]
    check_names(choices, known)
    settings, plan = made(TrainSettings, choices), made(TrainPlan, choices)
    try:
        factor = settings.config.spatial_factor
    except (TypeError, ValueError) as error:
        raise SettingsError(f"settings: {error}") from error
    if plan.side % factor or (plan.tile or 0) % factor:
        raise SettingsError(f"side {plan.side} and tile {plan.tile}: give multiples of {factor}, the spatial pooling")
    return settings, plan


def check_names(choices: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise SettingsError where a choice has a name that is not known."""
    unknown = [name for name in choices if name not in known]
    if unknown:
        raise SettingsError(f"{len(unknown)} unknown settings ({', '.join(unknown)}); known are {', '.join(known)}")


def made(kind: Any, choices: Mapping[str, Any]) -> Any:
    """Return a dataclass of this kind with those of the choices that are its fields.

    Raises SettingsError for a value of another type, or that cannot be.
    """
    values = {}
    for field in fields(kind):
        if field.name in choices:
            values[field.name] = _as(field.type, field.name, choices[field.name])
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"settings: {error}") from error


def _as(kind: Any, name: str, value: Any) -> Any:
    """Return a plain value as one of this type. Raises SettingsError where it is none."""
    if is_dataclass(kind) and isinstance(value, Mapping):
        unknown = set(value) - {f.name for f in fields(kind)}
        if unknown:
            raise SettingsError(f"setting {name}: unknown {', '.join(sorted(unknown))}")
        return made(kind, value)
    if get_origin(kind) is tuple and isinstance(value, list | tuple):
        parts = get_args(kind)
        count = len(value) if parts[-1] is Ellipsis else len(parts)
        if len(value) == count:
            return tuple(_as(parts[0], name, each) for each in value)
    for one in get_args(kind) or (kind,):
        if one is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if isinstance(one, type) and isinstance(value, one) and not (one is int and isinstance(value, bool)):
            return value
    raise SettingsError(f"setting {name}: {value!r} is no {getattr(kind, '__name__', kind)}")


def held_out_count(held_out: float, subjects: int) -> int:
    """Return how many of so many subjects are held out: a number, or of a share below 1 at least one, but not all."""
    some = max(1, round(held_out * subjects)) if held_out and subjects > 1 else 0
    count = int(held_out) if held_out >= 1 else some
    if subjects and count >= subjects:
        raise SettingsError(f"{count} of {subjects} subjects held out; give a smaller --held-out, or more subjects")
    return count


def fingerprint(settings: TrainSettings, plan: TrainPlan, subjects: Mapping[str, str], start: str | None) -> str:
    """Return a short name of everything that shapes the result; where and how quickly it is computed is no part.

    subjects: by name, what their files hold and how they are read (`subject_states`).
    """
    shaping = replace(settings, device="cpu", engine="auto")
    learned = replace(plan, workers=0, preparing=1, checkpoint_seconds=0.0)
    return hashlib.sha256(repr((shaping, learned, list(subjects.items()), start)).encode()).hexdigest()[:12]
