"""The measured scans of a training: read once to see that they can be used, then whenever a box of one is needed."""

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from shd.errors import ResponseError, ShdError, ShdWarning, number_of
from shd.io.atomic import write_json
from shd.io.images import write_image
from shd.io.responses import write_response
from shd.io.subject_inputs import inputs_of, state_name
from shd.io.subjects import Subject
from shd.scans.coherence import gradient_coherence
from shd.scans.scan import Scan
from shd.signal.response import TISSUES, Response
from shd.signal.response_estimation import estimate_responses

__all__ = ["StudySubjects", "group_response", "subject_states", "with_responses"]


@dataclass(frozen=True)
class StudySubjects:
    """Subjects of `with_responses` as `RealExamples` asks for them: a scan is in memory while it is used.

    states: of each, as in `subject_states`.
    """

    subjects: tuple[Subject, ...]
    states: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.subjects)

    def fingerprint(self) -> str:
        """Return a short name of what the subjects' files hold."""
        return hashlib.sha256("".join(self.states).encode()).hexdigest()[:12]

    def part(self, places: Sequence[int]) -> "StudySubjects":
        """Return the subjects at these places."""
        return StudySubjects(tuple(self.subjects[k] for k in places), tuple(self.states[k] for k in places))

    def __getitem__(self, number: int) -> tuple[Scan, tuple[Response, ...]]:
        """Return one subject's scan and responses."""
        subject = self.subjects[number]
        with warnings.catch_warnings():  # they were shown when the subject was read first
            warnings.simplefilter("ignore", ShdWarning)
            scan, responses = subject.read()
        if responses is None:
            raise ResponseError(f"{subject.name}: 0 responses; give them, or have them estimated")
        return scan, responses


def group_response(folder: Path) -> dict[str, Path]:
    """Return the files of a folder with response_wm.txt and, where they are there, response_gm.txt and _csf.txt."""
    paths = {tissue: folder / f"response_{tissue}.txt" for tissue in TISSUES}
    found = {tissue: path.absolute() for tissue, path in paths.items() if path.is_file()}
    if "wm" not in found:
        raise ResponseError(
            f"{folder}: {number_of(len(found), 'response')} and none of white matter; it needs response_wm.txt"
        )
    return found


def subject_states(subjects: Sequence[Subject], ignore_bad_voxels: bool) -> dict[str, str]:
    """Return, by name of subject, a short name of what its files hold, wherever they lie, and of how they are read.

    Its files are those of `used_files`: a table found beside the scan is one. Raises what `inputs_of` raises.
    """
    return {each.name: f"{state_name(inputs_of(each))}-{ignore_bad_voxels:d}" for each in subjects}


def with_responses(
    subjects: Sequence[Subject],
    states: Mapping[str, str],
    folder: Path,
    tissues: tuple[str, ...],
    ignore_bad_voxels: bool = False,
    on_subject: Callable[[float], None] = lambda done: None,
) -> StudySubjects:
    """Return the subjects with masks and responses of their own, having read each of them once.

    What a subject lacks is computed and kept in `folder`, where it is found again as long as its state is the same.
    states: `subject_states`. tissues: of the network. on_subject: told the part that is done. Raises what reading
    raises, and ResponseError where a subject has tissues that the network has not.
    """
    ready = []
    for number, subject in enumerate(subjects):
        ready.append(_complete(subject, states[subject.name], folder / subject.name, tissues, ignore_bad_voxels))
        on_subject((number + 1) / len(subjects))
    return StudySubjects(tuple(ready), tuple(states[subject.name] for subject in subjects))


def _complete(subject: Subject, state: str, folder: Path, tissues: tuple[str, ...], ignore_bad_voxels: bool) -> Subject:
    """Return one subject with mask and responses."""
    record = folder / "subject.json"
    if not (record.is_file() and _recorded(record) == state):
        try:
            scan, responses = subject.read(ignore_bad_voxels)
            gradients = gradient_coherence(scan)
            if responses is None:
                responses, _ = estimate_responses(scan.intensities(np.argwhere(scan.mask)), scan.gradients, scan.mask)
        except ShdError as error:  # files of many scans have one name
            raise type(error)(f"{subject.name}: {error}") from error
        folder.mkdir(parents=True, exist_ok=True)
        mask = scan.mask.astype(np.float32)
        write_image(folder / "mask.nii.gz", [mask], mask.shape, scan.affine, {"Type": "Brain"})
        for response in responses:
            write_response(folder / f"response_{response.tissue}.txt", response)
        doubt = None if gradients.consistent else gradients.message
        write_json(record, {"state": state, "tissues": [response.tissue for response in responses], "doubt": doubt})
    held = json.loads(record.read_text("utf-8"))
    if held.get("doubt"):  # of the gradient directions; said again where the subject is found complete
        warnings.warn(f"{subject.name}: {held['doubt']}", ShdWarning, stacklevel=3)
    given = held["tissues"]
    if not set(given) <= set(tissues):
        raise ResponseError(
            f"{subject.name}: {number_of(len(given), 'tissue')} ({', '.join(given)}), but the network has "
            f"{len(tissues)} ({', '.join(tissues)}); give responses of these alone, for example by --group-response"
        )
    responses_of = {tissue: folder / f"response_{tissue}.txt" for tissue in given}
    return replace(subject, mask=folder / "mask.nii.gz", responses=responses_of)


def _recorded(record: Path) -> str | None:
    try:
        return str(json.loads(record.read_text("utf-8"))["state"])
    except (ValueError, KeyError, TypeError):
        return None
