"""A cohort's results as a BIDS dataset: where they go, how a scan's are published, what its record says."""

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from shd.errors import FormatError
from shd.fitting.cohort_subject import Choices, write_subject
from shd.fitting.normalise import normalise_fit, write_normalised
from shd.fitting.output_folder import OutputFolder
from shd.fodf.intensity import HIGHEST_ORDER
from shd.io.atomic import check_absent, write_json
from shd.io.bids import planned_files, put_derivatives, put_description
from shd.io.bids_names import KINDS, Entities, NameTemplate, entities_of
from shd.io.bids_sidecars import SOURCE
from shd.io.fit_folder import read_fit_folder
from shd.io.staging import staged_files
from shd.io.subject_inputs import is_made_of
from shd.io.subjects import Subject
from shd.signal.response import TISSUES

__all__ = ["GROUP", "NORMALISED", "BidsDataset", "log_path", "read_record", "read_records", "record_path"]

GROUP = "group"
"""Folder, in the dataset, of the group's responses."""
NORMALISED = "normalised"
"""What derivatives in the group's unit are called: desc-normalised."""
_EVERY = tuple((kind, tissue) for kind in KINDS for tissue in (TISSUES if kind in ("fod", "response") else ("",)))


@dataclass(frozen=True)
class BidsDataset:
    """A `Destination`: BIDS derivatives in `out` of the scans in the dataset `source`.

    work: folder in which `.work` holds a scan's fit until it is published. responses: files by tissue, the same for all
    scans; then the results are in one unit, intensities are normalised, and names say so. Without, each has its own.
    """

    out: Path
    source: Path
    work: Path
    names: NameTemplate
    responses: Mapping[str, Path] = field(default_factory=dict)

    @property
    def unpublished(self) -> Path:
        """Folder of the fits that are not published, which is the run's own: `work` may hold what is the user's."""
        return self.work / ".work"

    @property
    def summary(self) -> Path:
        """File of the summary."""
        return self.out / "logs" / ("_".join(filter(None, ("cohort", self._desc and f"desc-{self._desc}"))) + ".json")

    def telling(self) -> Mapping[str, Any]:
        """Return the template's patterns."""
        return {"template": dict(self.names.patterns)}

    def inferred(self, subject: Subject) -> Subject:
        """Return the subject with the responses of all scans, if they have any."""
        return replace(subject, responses=dict(self.responses))

    def check_names(self, subjects: Iterable[Subject]) -> None:
        """Raise FormatError where the template calls the files of two scans alike."""
        owners: dict[Path, str] = {}
        for subject in subjects:
            for path in self.names.paths(self.entities(subject), _EVERY).values():
                other = owners.setdefault(path, subject.name)
                if other != subject.name:
                    raise FormatError(
                        f"{self.names.name}: {path} would be of 2 scans, {other} and {subject.name}; add {{session}}, "
                        "{other}, {space} and {after} to the patterns"
                    )

    def begin(self) -> None:
        """Describe the dataset. Raises OutputError where `out` is one of another program."""
        with staged_files(self.out) as stage:
            put_description(stage, self.out, self.source)

    def record(self, subject: Subject) -> Path:
        """Return the record of a scan's results."""
        return record_path(self.out, self.entities(subject))

    def entities(self, subject: Subject) -> Entities:
        """Return what names a scan's results."""
        return replace(entities_of(subject.name), desc=self._desc)

    @property
    def _desc(self) -> str:
        return NORMALISED if self.responses else ""

    def write(self, subject: Subject, choices: Choices, wanted: Mapping[str, Any]) -> None:
        """Infer a scan and publish its derivatives, which appear together, then its record.

        A fit that an earlier run left finished in the work folder is published as it is: that run made it after having
        checked that its names were free.
        """
        work = self._work_of(subject)
        if choices.force or not is_made_of(work / "run.json", subject, wanted):
            # the mask is that of the scan, whichever of its results came first
            outputs = [output for output in _EVERY if output[0] != "mask" or not self._desc]
            names = self.names.paths(self.entities(subject), outputs).values()
            check_absent([self.out / name for name in names], choices.force)
            _infer(subject, work, choices, wanted)
        self._publish(_normalised(work, choices.threads) if self._desc else work, subject)
        self.forget(subject)

    def forget(self, subject: Subject) -> None:
        """Remove the fit of a scan that is published, where a run was killed before it did so."""
        shutil.rmtree(self._work_of(subject), ignore_errors=True)

    def _work_of(self, subject: Subject) -> Path:
        return self.unpublished / self.record(subject).stem

    def _publish(self, fit: Path, subject: Subject) -> None:
        stored, entities, record = read_fit_folder(fit), self.entities(subject), self.record(subject)
        scan = [subject.dwi, *([subject.mask] if subject.mask else [])]
        sources = [f"bids:{SOURCE}:{path.relative_to(self.source).as_posix()}" for path in scan]
        with staged_files(self.out, record.stem) as stage:
            put_derivatives(stage, stored, self.names, entities, sources)
        planned = planned_files(stored, self.names, entities)
        files = {" ".join(output).strip(): path.as_posix() for output, path in planned.items()}
        record.parent.mkdir(exist_ok=True)
        told = {name: value for name, value in stored.record.items() if name != "written"}  # names in the work folder
        write_json(record, {**told, "entities": asdict(entities), "files": files})


def _infer(subject: Subject, work: Path, choices: Choices, wanted: Mapping[str, Any]) -> None:
    """Write the fit into the work folder, which holds nothing of the user's."""
    shutil.rmtree(work, ignore_errors=True)
    folder = OutputFolder(work)
    try:
        write_subject(subject, folder, choices, wanted)
    except BaseException:
        folder.discard()
        raise


def _normalised(fit: Path, threads: int | None) -> Path:
    """Return the folder, within that of the fit, of the fit with its intensity normalised.

    White matter alone says how bright a scan is, but not where within it, so one factor is then all.
    """
    shutil.rmtree(fit / NORMALISED, ignore_errors=True)
    stored, folder = read_fit_folder(fit), OutputFolder(fit / NORMALISED)
    order = HIGHEST_ORDER if stored.fod.isotropic else 0
    write_normalised(folder, stored, normalise_fit(stored, order=order, threads=threads))
    shutil.copyfile(fit / "fit.png", folder.out / "fit.png")
    return folder.out


def record_path(out: Path, entities: Entities) -> Path:
    """Return the record of a scan's results, logs/sub-01_…_run.json. Written last, it says that all is there."""
    return out / "logs" / f"{_stem(entities)}_run.json"


def log_path(out: Path, entities: Entities) -> Path:
    """Return the log of a scan, logs/sub-01_….log: one, whatever its results are called."""
    return out / "logs" / f"{_stem(replace(entities, desc=''))}.log"


def read_record(path: Path) -> dict[str, Any]:
    """Return a record."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def read_records(out: Path) -> list[tuple[Entities, dict[str, Any]]]:
    """Return the entities and the record of every result in a dataset, in the order of their names."""
    found = []
    for path in sorted((out / "logs").glob("sub-*_run.json")):
        record = read_record(path)
        found.append((Entities(**record["entities"]), record))
    return found


def _stem(entities: Entities) -> str:
    labels = (
        f"sub-{entities.subject}", entities.session and f"ses-{entities.session}", entities.scan,
        entities.desc and f"desc-{entities.desc}",
    )  # fmt: skip
    return "_".join(filter(None, labels))
