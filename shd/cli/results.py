"""From an output folder to the last lines that a command writes: what is there now, and what to do next."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from shd.cli.messages import complain, tell, tell_command, tell_files
from shd.errors import CheckpointError, OutputError
from shd.report.next_steps import next_steps

if TYPE_CHECKING:  # importing what computes takes seconds, which `shd --help` should not
    from shd.fitting.fit import Fit
    from shd.fitting.output_folder import OutputFolder

__all__ = ["announce", "output_folder", "paths_of", "said_if_interrupted"]


@contextmanager
def said_if_interrupted(out: Path) -> Iterator[None]:
    """Say so when the user interrupts the block, which writes `out` whole or not at all."""
    try:
        yield
    except KeyboardInterrupt:
        complain("interrupted", "yellow", f"nothing was written to {out}")
        raise


@contextmanager
def output_folder(
    out: Path,
    force: bool,
    forget: bool | None = None,
    option: str = "--out",
    inputs: Iterable[str | Path | None] = (),
    adds: bool = False,
) -> Iterator["OutputFolder"]:
    """Give the folder in the making; on the way out leave nothing unfinished but a checkpoint, and say where it is.

    inputs: what the command reads, which is not replaced.
    """
    from shd.fitting.output_folder import OutputFolder

    folder = OutputFolder(out, force, forget, option, [Path(path) for path in inputs if path], adds)
    try:
        with said_if_interrupted(out):
            yield folder
    except BaseException as error:
        folder.discard()
        if isinstance(error, OutputError) and not folder.partial.exists():  # else it says that results are there
            raise OutputError(str(error).replace(str(folder.partial), str(out))) from error
        if folder.checkpoint.exists() and not isinstance(error, CheckpointError):
            complain("note", "yellow", f"the same command goes on from {folder.checkpoint}; --force starts anew")
        raise


def paths_of(**given: Path | None) -> dict[str, str]:
    """Return the whole paths of the files given, by name."""
    return {name: str(path.absolute()) for name, path in given.items() if path is not None}


def announce(result: "Fit", files: Sequence[Path], out: Path) -> None:
    """Say what the gradient check found, what was written, and what may come next."""
    if result.coherence.consistent:  # else a warning has said it
        tell(result.coherence.message)
    if len(result.responses) == 1:
        tell(
            "with a single shell there is white matter's response alone: fODFs in grey matter and fluid are spurious; "
            "use a white-matter mask for tracking"
        )
    tell_files(files, out)
    tell(f"look at {out / 'fit.png'}; next, for example")
    for command in (f"shd report {quote(str(out))}", *next_steps(out)):
        tell_command(command)
