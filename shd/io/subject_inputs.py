"""What a subject's result rests on: every file that is read, tables found beside the scan included, as it is now."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shd.errors import ScanError, ShdError
from shd.io.gradient_source import gradient_source
from shd.io.subjects import Subject

__all__ = ["changed_inputs", "inputs_of", "is_made_of", "state_name", "used_files"]

_STATES, _CONVENTION = "states", "gradients"
_CHUNK = 1 << 20
_LONG = 40  # letters of values that no message shows: fingerprints and patterns


def used_files(subject: Subject, labelled: bool = False) -> tuple[dict[str, Path], str]:
    """Return the files that `Subject.read` reads, by what they are, and in which convention the directions are.

    What is given and not read is left out, as a pair that gives way to QSIPrep's `.b`. labelled: the image of labels is
    read besides. Paths are absolute. Conventions are those of `GradientSource`. Raises what `gradient_source` raises.
    """
    source = gradient_source(subject.dwi, subject.bval, subject.bvec, subject.grad)
    mask = {} if subject.mask is None else {"mask": subject.mask}
    label = {"label": subject.label} if labelled and subject.label is not None else {}
    files = {"dwi": subject.dwi, **source.files, **mask, **subject.responses, **label}
    return {name: path.absolute() for name, path in files.items()}, source.convention


def inputs_of(subject: Subject, labelled: bool = False) -> dict[str, Any]:
    """Return, as plain JSON for a record, what `changed_inputs` compares a subject with later.

    The path of each file by what it is (dwi, bval, …); `gradients`, the convention; and `states` of the files: size in
    bytes, time of the last change (ns) and SHA-256. Reads every file once. labelled: as in `used_files`. Raises
    ScanError for one that cannot be read, and what `used_files` raises.
    """
    files, convention = used_files(subject, labelled)
    states = {name: _state(path) for name, path in files.items()}
    return {**{name: str(path) for name, path in files.items()}, _CONVENTION: convention, _STATES: states}


def state_name(inputs: Mapping[str, Any]) -> str:
    """Return a short name of what the files of `inputs_of` hold, wherever they lie."""
    held = {name: state["sha256"] for name, state in inputs[_STATES].items()}
    return hashlib.sha256(repr((sorted(held.items()), inputs[_CONVENTION])).encode()).hexdigest()[:16]


def changed_inputs(record: Path, subject: Subject, wanted: Mapping[str, Any]) -> list[str] | None:
    """Return in words which of its inputs a result was not made of; None where `record` is of no result.

    record: JSON whose `inputs` are those of `inputs_of` and more. wanted: of them besides the files; of a mapping, the
    keys given. A file of another size has changed; one of another place or time is read, and has changed where its
    SHA-256 is another. Raises what `used_files` raises.
    """
    try:
        inputs = json.loads(record.read_text(encoding="utf-8"))["inputs"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not isinstance(inputs, dict):
        return None
    return [*_changed_files(inputs, subject), *_changed_choices(inputs, wanted)]


def is_made_of(record: Path, subject: Subject, wanted: Mapping[str, Any]) -> bool:
    """Return whether `record` is of a result of a subject as it is now; arguments as in `changed_inputs`."""
    try:
        return changed_inputs(record, subject, wanted) == []
    except ShdError:  # which reading the subject will say
        return False


def _changed_files(inputs: Mapping[str, Any], subject: Subject) -> Iterator[str]:
    states = inputs.get(_STATES)
    if not isinstance(states, dict):
        yield "which files it was made of is not recorded"
        return
    files, convention = used_files(subject)
    for name, path in files.items():
        if name not in states:
            yield f"{name} {path} was not used"
        elif not path.is_file():
            yield f"{name} {path} is missing"
        elif not _unchanged(states[name], inputs[name], path):
            before = inputs[name]
            yield f"{name} {path} {'has changed' if str(path) == before else f'is not what {before} was'}"
    for name in states.keys() - files.keys():
        yield f"{name} {inputs[name]} was used"
    if inputs.get(_CONVENTION) != convention:
        yield f"directions were read as {inputs.get(_CONVENTION)}'s, not {convention}'s"


def _changed_choices(inputs: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    for name, value in wanted.items():
        held = inputs.get(name)
        if isinstance(value, Mapping) and isinstance(held, Mapping):
            yield from _changed_choices(held, value)
        elif held != value:
            long = len(f"{held}{value}") > _LONG
            yield f"another {name}" if long else f"{name} was {held}, not {value}"


def _state(path: Path) -> dict[str, Any]:
    """Return a file's size, time and contents."""
    try:
        held = path.stat()
        return {"bytes": held.st_size, "modified": held.st_mtime_ns, "sha256": _digest(path)}
    except FileNotFoundError:
        raise ScanError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise ScanError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def _unchanged(state: Mapping[str, Any], before: str, path: Path) -> bool:
    held = path.stat()
    if held.st_size != state["bytes"]:
        return False
    return (str(path) == before and held.st_mtime_ns == state["modified"]) or _digest(path) == state["sha256"]


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
