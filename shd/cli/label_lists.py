"""Options that take several values in a row, as BIDS Apps' do: `--participant-label 01 02 03`."""

from collections.abc import Iterator, Sequence
from typing import Any

from shd.cli.plain_help import PlainCommand

__all__ = ["LabelLists", "repeated"]

LISTS = ("--participant-label", "--participant_label", "--session-label", "--session_label")
LEVELS = ("participant", "group")


class LabelLists(PlainCommand):
    """A command whose label options may be followed by several labels, once the level has been named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments with the options repeated for each label; ctx: click's, or typer's copy of it."""
        return super().parse_args(ctx, list(repeated(args)))


def repeated(arguments: Sequence[str]) -> Iterator[str]:
    """Give the arguments with a list option repeated before each further value.

    Before the level, what follows a label may be a folder, so only one value is taken there.
    """
    option, further, level = "", False, False
    for argument in arguments:
        if argument.startswith("-"):
            option, further = (argument if argument in LISTS else ""), False
        elif not option:
            level = level or argument in LEVELS
        elif further:
            yield option
        else:
            option, further = (option if level else ""), True
        yield argument
