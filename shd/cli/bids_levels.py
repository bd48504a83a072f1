"""The levels of `shd bids`: what each reads, computes, writes and says."""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import typer

from shd.cli.cohort_inference import conclude, say_outcome
from shd.cli.messages import complain, tell, tell_command
from shd.errors import number_of

if TYPE_CHECKING:  # importing what computes takes seconds, which `shd --help` should not
    from shd.fitting.bids_dataset import BidsDataset
    from shd.fitting.cohort_subject import Choices
    from shd.io.subjects import Subject

__all__ = ["Asked", "average_group", "infer_participants"]


@dataclass(frozen=True)
class Asked:
    """What both levels are told of the datasets."""

    source: Path
    out: Path
    participants: tuple[str, ...]
    sessions: tuple[str, ...]
    template: str
    work: Path | None
    skip_validation: bool

    def read(self, responses: str) -> tuple["BidsDataset", tuple["Subject", ...]]:
        """Return the dataset to write and the scans asked for, having checked both."""
        from shd.fitting.bids_app import responses_in
        from shd.fitting.bids_dataset import GROUP, BidsDataset
        from shd.io.bids_inputs import check_dataset, check_separate, read_participants
        from shd.io.bids_names import read_template

        names = read_template(self.template)
        check_separate(self.source, self.out)
        subjects = read_participants(self.source, self.participants, self.sessions)
        if not self.skip_validation:
            check_dataset(self.source)
        out = self.out.absolute()
        work = (self.work or out).absolute()
        given = {} if responses == "own" else responses_in(out / GROUP if responses == GROUP else Path(responses))
        return BidsDataset(out, self.source.absolute(), work, names, given), subjects


def infer_participants(
    asked: Asked, responses: str, choices: "Choices", scheduler: str | None, workers: int | None, retries: int
) -> None:
    """Infer every scan asked for; exit with 2 where one failed, having said which and why."""
    from shd.cli.progress_bar import shown_progress
    from shd.fitting.bids_app import run_participants

    dataset, subjects = asked.read(responses)
    try:
        with shown_progress() as report:
            outcomes = run_participants(
                dataset, subjects, choices, scheduler=scheduler, workers=workers, retries=retries, report=report,
                on_outcome=say_outcome,
            )  # fmt: skip
    except KeyboardInterrupt:
        complain("interrupted", "yellow", f"the same command goes on with the scans that are not in {asked.out} yet")
        raise
    conclude(outcomes, asked.out, dataset.summary)
    tell(f"look at {asked.out}/sub-*.html; next, for example")
    both = f"{quote(str(asked.source))} {quote(str(asked.out))}"
    tell_command(f"shd bids {both} group" if responses == "own" else f"shd bids {both} group  # adds intensity scales")


def average_group(asked: Asked, responses: str, force: bool) -> None:
    """Average the responses of the scans asked for."""
    from shd.fitting.bids_group import average_participants

    if responses != "own":
        raise typer.BadParameter(f"--responses {responses}: the group level averages each scan's own; leave it out")
    dataset, subjects = asked.read(responses)
    group = average_participants(dataset, subjects, force)
    for mean in group.responses:
        pairs = zip(mean.bvalues, mean.mean_signal, strict=True)
        signals = ", ".join(f"{signal:.4g} at b = {bvalue:.0f}" for bvalue, signal in pairs)
        tell(f"{mean.tissue}, mean of {number_of(group.scans, 'scan')}: {signals}")
    tell(f"wrote {number_of(len(group.files), 'file')} in {group.files[0].parent}; next")
    tell_command(f"shd bids {quote(str(asked.source))} {quote(str(asked.out))} participant --responses group")
