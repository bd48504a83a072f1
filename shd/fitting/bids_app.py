"""The participants of a BIDS dataset: each scan inferred once, with a log, and each participant with a page."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from shd._version import __version__
from shd.errors import ResponseError
from shd.fitting.bids_dataset import GROUP, BidsDataset, log_path, read_record, read_records
from shd.fitting.cohort import infer_into
from shd.fitting.cohort_subject import DONE, DONE_BEFORE, Choices, Outcome
from shd.fitting.progress import Report, silent
from shd.io.atomic import whole_file
from shd.io.responses import read_response_folder
from shd.io.subjects import Subject
from shd.report.bids_page import participant_page

__all__ = ["responses_in", "run_participants", "write_pages"]


def run_participants(
    dataset: BidsDataset,
    subjects: Sequence[Subject],
    choices: Choices,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    retries: int = 2,
    report: Report = silent,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> tuple[Outcome, ...]:
    """Infer every scan into the dataset, once whatever happens to the others; return what became of each.

    Arguments and errors as in `infer_into`; FormatError where the template would give files of two scans one name. A
    scan's log gains an entry as it ends; then come the participants' pages.
    """
    dataset.check_names(subjects)
    named = {subject.name: subject for subject in subjects}

    def log(outcome: Outcome) -> None:
        if outcome.state == DONE_BEFORE:
            dataset.forget(named[outcome.name])
        else:
            _append(dataset, outcome, named[outcome.name])
        on_outcome(outcome)

    outcomes = infer_into(
        dataset, subjects, choices, scheduler=scheduler, workers=workers, retries=retries, report=report, on_outcome=log
    )
    write_pages(dataset.out, sorted({dataset.entities(subject).subject for subject in subjects}))
    with suppress(OSError):  # other runs may be at work there
        dataset.unpublished.rmdir()
    return outcomes


def responses_in(folder: Path) -> dict[str, Path]:
    """Return the responses in a folder by tissue. Raises ResponseError where they are missing or unreadable."""
    try:
        tissues = [response.tissue for response in read_response_folder(folder)]
    except ResponseError as error:
        raise ResponseError(f"{error}; or first run shd bids … {GROUP}, which averages the participants'") from error
    return {tissue: (folder / f"response_{tissue}.txt").absolute() for tissue in tissues}


def write_pages(out: Path, participants: Sequence[str]) -> list[Path]:
    """Write `sub-<label>.html` of each participant that has results; return the pages."""
    records, pages = read_records(out), []
    for label in participants:
        own = [(entities, record) for entities, record in records if entities.subject == label]
        if own:
            pages.append(out / f"sub-{label}.html")
            with whole_file(pages[-1]) as partial:
                partial.write_text(participant_page(label, own), encoding="utf-8")
    return pages


def _append(dataset: BidsDataset, outcome: Outcome, subject: Subject) -> None:
    """Add what became of a scan to its log."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    lines = [f"{now} shd {__version__}: {outcome.state} after {outcome.seconds:.1f} s"]
    lines += [f"  {name}: {path}" for name, path in subject.files().items()]
    if outcome.state == DONE:
        laps = read_record(dataset.record(subject))["seconds"]
        lines.append("  seconds: " + ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in laps.items()))
    lines += [f"  warning: {message}" for message in outcome.warnings]
    lines += [f"  error: {outcome.error}"] if outcome.error else []
    lines += [f"  {line}" for line in outcome.trace.splitlines()]
    log = log_path(dataset.out, dataset.entities(subject))
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
