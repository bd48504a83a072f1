"""The `shd` program: its commands, and how errors and warnings reach a user.

Importing this module must stay quick: commands import what they compute with inside their functions.
"""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from shd._version import __version__
from shd.cli.allocator import keep_freed_memory
from shd.cli.bids import bids
from shd.cli.convert import convert
from shd.cli.demo import demo
from shd.cli.evaluate import evaluate
from shd.cli.export import export
from shd.cli.fit import fit
from shd.cli.infer import infer
from shd.cli.label_lists import LabelLists
from shd.cli.maps import maps
from shd.cli.messages import complain
from shd.cli.normalise import normalise
from shd.cli.peaks import peaks
from shd.cli.report import report
from shd.cli.response import response
from shd.cli.segment import segment
from shd.cli.simulate import simulate
from shd.cli.track import track
from shd.cli.train import train
from shd.errors import ShdError, ShdWarning, is_out_of_memory

__all__ = ["app", "run"]

# Threads that wait for others spin by default; on a machine that does other work too, that made training 2 to 10 times
# slower. Read when torch loads its OpenMP, so it is set before any command imports torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# NumPy's products here are many and small: shared out over threads that spin in between, they took seven times as long
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

OUT_OF_MEMORY = "not enough memory; try a smaller tile (--tile), or close other programs"

_UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # from whichever click typer uses

app = typer.Typer(
    name="shd",
    help="Fibre orientation distributions from diffusion MRI, by equivariant networks on the half-sphere.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a bug shows Python's own traceback; a user's error is one line, below
    context_settings={"help_option_names": ["-h", "--help"]},
)


_FIT, _USE, _GROUP, _SCORE, _LABEL = (
    "fODFs of a scan", "What is made of them", "Cohorts", "Simulate and score", "Labels from raw scans"
)  # fmt: skip
_PANELS = (
    (_FIT, (fit, infer, train, demo)),
    (_USE, (report, maps, peaks, track, export, convert)),
    (_GROUP, (normalise,)),
    (_SCORE, (simulate, evaluate)),
)
for _panel, _commands in _PANELS:
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
app.command(cls=LabelLists, rich_help_panel=_GROUP)(bids)
app.add_typer(response, rich_help_panel=_GROUP)
app.add_typer(segment, rich_help_panel=_LABEL)


def _version(wanted: bool) -> bool:
    if wanted:
        print(f"shd {__version__}")
        raise typer.Exit()
    return wanted


@app.callback()
def _shd(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    pass


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the program on `arguments` (default: the process's own) and exit with its code.

    0 done; 2 the user's input or machine cannot do it, said in one line on stderr; 130 interrupted; 1, with a
    traceback, a bug.
    """
    keep_freed_memory()
    try:
        with _warnings_in_one_line():
            code = app(args=arguments, prog_name="shd", standalone_mode=False)
    except ShdError as error:
        complain("error", "bold red", str(error))
        sys.exit(2)
    except _UsageError as error:
        _complain_of_usage(error)
        sys.exit(2)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        complain("error", "bold red", OUT_OF_MEMORY)
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)


def _complain_of_usage(error: Any) -> None:
    """Say in one line what is wrong with the words given, and where help is; a command alone shows its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return
    message = error.format_message().rstrip(".").removeprefix("Invalid value: ")
    command = error.ctx.command_path if error.ctx else "shd"
    complain("error", "bold red", f"{message}; see {command} --help")


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Show shd's own warnings as `warning: …`, without file and line; leave other libraries' as they are."""

    def show(message: Warning | str, category: type[Warning], *place: Any, **rest: Any) -> None:
        if issubclass(category, ShdWarning):
            complain("warning", "yellow", str(message))
        else:
            shown_before(message, category, *place, **rest)

    with warnings.catch_warnings():
        shown_before = warnings.showwarning
        warnings.simplefilter("always", ShdWarning)
        warnings.showwarning = show
        yield
