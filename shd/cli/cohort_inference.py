"""`shd infer` on a list of subjects: what it says while they are computed, and in the end."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from shd.cli.messages import complain, tell
from shd.errors import number_of

if TYPE_CHECKING:  # importing what computes takes seconds, which `shd --help` should not
    from shd.fitting.cohort_subject import Choices, Outcome

__all__ = ["conclude", "infer_list", "say_outcome"]

_NAMES_SHOWN = 8


def infer_list(
    path: Path, out: Path, choices: "Choices", scheduler: str | None, workers: int | None, retries: int
) -> None:
    """Infer every subject of a list; exit with 2 where one failed, having said which and why."""
    from shd.cli.progress_bar import shown_progress
    from shd.fitting.cohort import infer_cohort
    from shd.io.subjects import read_subjects

    subjects = read_subjects(path)
    try:
        with shown_progress() as report:
            outcomes = infer_cohort(
                subjects, out, choices, scheduler=scheduler, workers=workers, retries=retries, report=report,
                on_outcome=say_outcome,
            )  # fmt: skip
    except KeyboardInterrupt:
        complain("interrupted", "yellow", f"the same command goes on with the subjects that are not in {out} yet")
        raise
    conclude(outcomes, out, out / "cohort.json")


def say_outcome(outcome: "Outcome") -> None:
    """Say what was warned of a subject, and why it failed."""
    for message in outcome.warnings:
        complain("warning", "yellow", f"{outcome.name}: {message}")
    if outcome.error:
        complain("failed", "bold red", f"{outcome.name}: {outcome.error}")


def conclude(outcomes: tuple["Outcome", ...], out: Path, summary: Path) -> None:
    """Say how many subjects were done, and end with 2 where one failed."""
    from shd.fitting.cohort_subject import DONE_BEFORE, FAILED

    failed = [outcome.name for outcome in outcomes if outcome.state == FAILED]
    before = [outcome.name for outcome in outcomes if outcome.state == DONE_BEFORE]
    if before:
        tell(
            f"skipped {len(before)} of {number_of(len(outcomes), 'subject')}, which were done before: {_listed(before)}"
        )
    done = len(outcomes) - len(failed) - len(before)
    tell(f"wrote {done} of {number_of(len(outcomes), 'subject')} in {out}; what became of each is in {summary}")
    if failed:
        complain(
            "error", "bold red", f"{len(failed)} of {number_of(len(outcomes), 'subject')} failed: {_listed(failed)}"
        )
        raise typer.Exit(2)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more
