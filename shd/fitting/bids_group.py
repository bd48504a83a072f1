"""The group of a BIDS dataset: its mean responses, and a table of how each scan stands among the others."""

import csv
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shd.errors import OutputError, ResponseError, ScanError, ShdWarning, number_of
from shd.fitting.bids_dataset import GROUP, BidsDataset, read_records, record_path
from shd.io.atomic import write_json
from shd.io.bids_names import Entities
from shd.io.responses import read_stored_response, write_response
from shd.io.staging import staged_files
from shd.io.subjects import Subject
from shd.report.response_figure import response_figure
from shd.signal.response import TISSUES, Response
from shd.signal.response_average import mean_response, relative_gains

__all__ = ["Group", "average_participants"]

_SCALE = "intensity_scale"
_COLUMNS = {
    "participant_id": {"Description": "Participant"},
    "session_id": {"Description": "Session, if any"},
    "scan": {"Description": "Further entities of the scan's name"},
    "voxels": {"Description": "Voxels fitted"},
    "gradients": {"Description": "What the check of the gradients' orientation found"},
    "seconds": {"Description": "Time of computation", "Units": "s"},
    _SCALE: {"Description": "Mean factor that the fODFs were divided by after the fit with the group's responses"},
}


@dataclass(frozen=True)
class Group:
    """What the group level found. responses: means by tissue. scans: how many they are of. files: those written."""

    responses: tuple[Response, ...]
    scans: int
    files: tuple[Path, ...]


def average_participants(dataset: BidsDataset, subjects: Sequence[Subject], force: bool = False) -> Group:
    """Average the responses that the participants' scans had of their own; write them and a table of the scans.

    Files in `out/group`: response_wm.txt (and of gm, csf), responses.tsv with a row a scan, responses.json, which says
    what its columns mean. Scans without results are left out, with a warning. force: replace mean responses that differ
    from those there, which normalised results may rest on.

    Raises ScanError where no scan has results, ResponseError where responses cannot be averaged, OutputError where
    other means are there already.
    """
    records = {record_path(dataset.out, entities): (entities, record) for entities, record in read_records(dataset.out)}
    wanted = {record_path(dataset.out, dataset.entities(subject)): subject for subject in subjects}
    found = [records[path] for path in wanted if path in records]
    if not found:
        raise ScanError(
            f"{dataset.out}: 0 of {len(wanted)} scans have results; first run shd bids … participant, with each scan's "
            "own responses"
        )
    absent = [subject.name for path, subject in wanted.items() if path not in records]
    if absent:
        warnings.warn(
            f"{len(absent)} of {len(wanted)} scans have no results and are left out: {', '.join(absent)}",
            ShdWarning,
            stacklevel=2,
        )
    own = [_responses(dataset.out, record) for _, record in found]
    _check_tissues(found, own)
    means = tuple(mean_response([each[tissue] for each in own]) for tissue in own[0])
    gains = {tissue: relative_gains([each[tissue] for each in own]) for tissue in own[0]}
    scales = _scales([record for _, record in records.values()])
    rows = []
    for place, (entities, record) in enumerate(found):
        row = _about(entities, record)
        row |= {f"{tissue}_gain": round(float(each[place]), 6) for tissue, each in gains.items()}
        row |= {name: value for mean in means for name, value in _signals(mean, own[place][mean.tissue]).items()}
        rows.append(row | ({_SCALE: scales.get(record["inputs"]["dwi"], "n/a")} if scales else {}))
    with staged_files(dataset.out / GROUP) as stage:
        _write(stage, means, rows)
        _check_same(stage, dataset.out / GROUP, len(found), force)
        by_tissue = {mean.tissue: [each[mean.tissue] for each in own] for mean in means}
        names = [_named(entities) for entities, _ in found]
        response_figure(stage / "responses.png", means, by_tissue, gains, names)
        files = tuple(dataset.out / GROUP / path.name for path in sorted(stage.iterdir()))
    return Group(means, len(found), files)


def _responses(out: Path, record: Mapping[str, Any]) -> dict[str, Response]:
    files = {tissue: record["files"].get(f"response {tissue}") for tissue in TISSUES}
    return {tissue: read_stored_response(out / path, tissue) for tissue, path in files.items() if path}


def _check_tissues(found: Sequence[tuple[Entities, Mapping[str, Any]]], own: Sequence[Mapping[str, Response]]) -> None:
    """Raise ResponseError where scans have not the same tissues."""
    for (entities, _), responses in zip(found, own, strict=True):
        if responses.keys() != own[0].keys():
            raise ResponseError(
                f"sub-{entities.subject}: responses of {number_of(len(responses), 'tissue')} "
                f"({', '.join(responses)}) but sub-{found[0][0].subject} has {len(own[0])} ({', '.join(own[0])}); "
                "average scans of one protocol, chosen by --participant-label"
            )


def _scales(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return, by scan, what normalised results were divided by."""
    made = [record for record in records if "intensity_normalisation" in record]
    return {record["inputs"]["dwi"]: round(record["intensity_normalisation"]["Scale"], 6) for record in made}


def _about(entities: Entities, record: Mapping[str, Any]) -> dict[str, Any]:
    scan = entities.scan
    return {
        "participant_id": f"sub-{entities.subject}",
        "session_id": f"ses-{entities.session}" if entities.session else "n/a",
        "scan": scan or "n/a",
        "voxels": record["scan"]["mask_voxels"],
        "gradients": record["gradient_coherence"]["verdict"],
        "seconds": round(sum(record["seconds"].values()), 1),
    }


def _signals(mean: Response, own: Response) -> dict[str, float]:
    """Return a scan's mean signals, by columns that are called after the group's shells."""
    pairs = zip(mean.bvalues, own.mean_signal, strict=True)
    return {f"{mean.tissue}_b{bvalue:.0f}": round(float(signal), 4) for bvalue, signal in pairs}


def _named(entities: Entities) -> str:
    return "_".join(filter(None, (f"sub-{entities.subject}", entities.session and f"ses-{entities.session}")))


def _write(stage: Path, means: Sequence[Response], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write means, the table, and what its columns mean."""
    for mean in means:
        write_response(stage / f"response_{mean.tissue}.txt", mean)
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), delimiter="\t", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    (stage / "responses.tsv").write_text(text.getvalue(), encoding="utf-8")
    write_json(stage / "responses.json", {name: _meaning(name) for name in rows[0]})


def _check_same(stage: Path, folder: Path, scans: int, force: bool) -> None:
    """Raise OutputError where another mean is there that may not be replaced."""
    for new in sorted(stage.glob("response_*.txt")):
        old = folder / new.name
        if old.is_file() and not force and old.read_bytes() != new.read_bytes():
            raise OutputError(
                f"{old}: exists and differs from the mean of these {scans} scans; results fitted with it would no "
                "longer compare with new ones. Give the same participants, or --force to replace it"
            )


def _meaning(column: str) -> dict[str, str]:
    """Return what a column means, in BIDS's words."""
    if column in _COLUMNS:
        return _COLUMNS[column]
    tissue, _, what = column.partition("_")
    if what == "gain":
        return {
            "Description": f"Factor that brings this scan's {tissue} response to the group's intensity; one far from "
            "the others' is suspect"
        }
    return {"Description": f"Mean signal of the {tissue} response at b = {what[1:]} s/mm²", "Units": "arbitrary"}
