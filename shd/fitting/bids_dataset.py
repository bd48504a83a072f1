"""A cohort's results as a BIDS dataset: where they go, how a subject is published, what its record says."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shd.fitting.cohort_subject import Choices, is_finished, write_subject
from shd.fitting.output_folder import OutputFolder
from shd.io.atomic import check_absent, write_json
from shd.io.bids import planned_files, put_derivatives
from shd.io.bids_names import KINDS, Entities, NameTemplate, entities_of
from shd.io.bids_sidecars import SOURCE
from shd.io.fit_folder import read_fit_folder
from shd.io.staging import staged_files
from shd.io.subjects import Subject
from shd.signal.response import TISSUES

__all__ = ["BidsDataset", "record_path"]

_EVERY = tuple((kind, tissue) for kind in KINDS for tissue in (TISSUES if kind in ("fod", "response") else ("wm",)))


@dataclass(frozen=True)
class BidsDataset:
    """A `Destination`: BIDS derivatives in `out` of the scans in the dataset `source`.

    work: folder where a subject's fit is until it is published. responses: files by tissue, the same for all subjects;
    none to have each scan's own. desc: what their derivatives are called besides.
    """

    out: Path
    source: Path
    work: Path
    names: NameTemplate
    responses: Mapping[str, Path] = field(default_factory=dict)
    desc: str = ""

    @property
    def summary(self) -> Path:
        """File of the summary."""
        return self.out / "logs" / ("_".join(filter(None, ("cohort", self.desc and f"desc-{self.desc}"))) + ".json")

    def telling(self) -> Mapping[str, Any]:
        """Return the template's patterns, and the fingerprints of the responses given."""
        prints = {tissue: hashlib.sha256(path.read_bytes()).hexdigest() for tissue, path in self.responses.items()}
        return {"template": dict(self.names.patterns), "response_fingerprints": prints}

    def record(self, subject: Subject) -> Path:
        """Return the record of a subject's results."""
        return record_path(self.out, self._entities(subject))

    def write(self, subject: Subject, choices: Choices, wanted: Mapping[str, Any]) -> None:
        """Infer a subject and publish its derivatives, which appear together, then its record.

        A fit that an earlier run left finished in the work folder is published as it is: this run made it after having
        checked that its names were free.
        """
        entities = self._entities(subject)
        work = self.work / self.record(subject).stem
        if choices.force or not is_finished(work / "run.json", wanted):
            # A variant's mask is that of the scan, whoever wrote it first
            named = self.names.paths(entities, [each for each in _EVERY if each[0] != "mask" or not self.desc])
            check_absent((self.out / path for path in named.values()), choices.force)
            folder = OutputFolder(work, force=True)
            try:
                write_subject(replace(subject, responses=self.responses), folder, choices, wanted)
            except BaseException:
                folder.discard()
                raise
        self._publish(work, entities, self._sources(subject), self.record(subject))
        shutil.rmtree(work)

    def _publish(self, work: Path, entities: Entities, sources: list[str], record: Path) -> None:
        stored = read_fit_folder(work)
        with staged_files(self.out) as stage:
            put_derivatives(stage, stored, self.names, entities, sources)
        files = {" ".join(output).strip(): str(path) for output, path in self._planned(stored, entities).items()}
        record.parent.mkdir(exist_ok=True)
        write_json(record, {**stored.record, "files": files})

    def _planned(self, stored: Any, entities: Entities) -> dict[tuple[str, str], Path]:
        return planned_files(stored, self.names, entities)

    def _entities(self, subject: Subject) -> Entities:
        return replace(entities_of(subject.name), desc=self.desc)

    def _sources(self, subject: Subject) -> list[str]:
        """Return the BIDS URIs of the scan and its mask."""
        paths = [subject.dwi, *([subject.mask] if subject.mask else [])]
        return [f"bids:{SOURCE}:{path.relative_to(self.source)}" for path in paths]


def record_path(out: Path, entities: Entities) -> Path:
    """Return the record of a scan's results, logs/sub-01_…_run.json; it is written last, so what it names is whole."""
    labels = (
        f"sub-{entities.subject}", entities.session and f"ses-{entities.session}", entities.other,
        entities.space and f"space-{entities.space}", entities.desc and f"desc-{entities.desc}", "run.json",
    )  # fmt: skip
    return out / "logs" / "_".join(filter(None, labels))


def read_record(path: Path) -> dict[str, Any]:
    """Return a record, or nothing where there is none."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
