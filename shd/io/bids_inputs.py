"""The scans of a BIDS App's participants, in a dataset of preprocessed derivatives."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shd.errors import ScanError, number_of
from shd.io.bids_names import checked_label, entities_of
from shd.io.subjects import Subject, read_subjects

__all__ = ["check_dataset", "check_separate", "read_participants"]

_NAMES_SHOWN = 8


def read_participants(
    source: str | Path, participants: Sequence[str] = (), sessions: Sequence[str] = ()
) -> tuple[Subject, ...]:
    """Return the preprocessed scans of the participants and sessions asked for, of all where none is.

    source: folder of BIDS derivatives as QSIPrep writes it (see `read_subjects`). participants, sessions: labels, with
    their keys or without. Raises FormatError for a label that BIDS does not allow, ScanError where the folder is none,
    holds no scan, or a label is of none of its scans.
    """
    source = Path(source).absolute()
    if not source.is_dir():
        raise ScanError(f"{source}: no such folder; give the folder that QSIPrep wrote")
    found = read_subjects(source)
    entities = {subject.name: entities_of(subject.name) for subject in found}
    for key, field, asked in (("sub", "subject", participants), ("ses", "session", sessions)):
        wanted = [checked_label(key, label) for label in asked]
        held = sorted({getattr(of, field) for of in entities.values()} - {""})
        unknown = [label for label in wanted if label not in held]
        if unknown:
            named = [f"{key}-{label}" for label in held[:_NAMES_SHOWN]]
            some = ", ".join(named) + (", …" if len(held) > _NAMES_SHOWN else "") or "none"
            raise ScanError(
                f"{source}: no scan of {key}-{unknown[0]} among {number_of(len(found), 'scan')}; there are {some}"
            )
        found = tuple(s for s in found if not wanted or getattr(entities[s.name], field) in wanted)
    if not found:
        raise ScanError(
            f"{source}: 0 scans of participants {', '.join(participants)} in sessions {', '.join(sessions)}; each "
            "label is there, but not together"
        )
    return found


def check_separate(source: str | Path, out: str | Path) -> None:
    """Raise ScanError where results would go into the dataset that they come from."""
    if Path(source).resolve() == Path(out).resolve():
        raise ScanError(f"{out}: input and output are 1 folder; give another output, such as derivatives/shd")


def check_dataset(source: str | Path) -> None:
    """Raise ScanError unless dataset_description.json says that `source` holds BIDS derivatives.

    It matters: by it the gradient tables of QSIPrep are known as such.
    """
    description = Path(source) / "dataset_description.json"
    way_out = "correct it, or give --skip-bids-validation"
    try:
        content: Any = json.loads(description.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ScanError(f"{description}: no such file, so this is no BIDS dataset; {way_out}") from None
    except (OSError, ValueError) as error:
        raise ScanError(f"{description}: not readable as JSON ({error}); {way_out}") from error
    required = ("Name", "BIDSVersion")
    absent = [key for key in required if not isinstance(content, dict) or not content.get(key)]
    if absent:
        missing = f"{len(absent)} of {len(required)} keys missing ({', '.join(absent)})"
        raise ScanError(f"{description}: {missing}; {way_out}")
    kind = content.get("DatasetType", "derivative")
    if kind != "derivative":
        raise ScanError(
            f"{description}: DatasetType is {kind!r}, but preprocessed scans are 'derivative'; give QSIPrep's output, "
            "or --skip-bids-validation"
        )
