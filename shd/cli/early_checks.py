"""What a command refuses before anything heavy is imported: names, files that are missing, outputs that are taken."""

from collections.abc import Sequence
from pathlib import Path

import typer

from shd.errors import OutputError, ScanError

__all__ = [
    "FAMILY_NAMES", "PROTOCOL_NAMES", "TRACTOGRAM_ENDINGS", "check_choice", "check_ending", "check_files",
    "check_model",
]  # fmt: skip

# Names that are at home where they would load torch, SciPy or DIPY; tests/cli/test_early_checks.py holds them equal.
FAMILY_NAMES = ("crossing", "fanning", "kissing", "bending", "tangle", "challenge", "brain")
PROTOCOL_NAMES = ("research", "hardi", "clinical")
TRACTOGRAM_ENDINGS = (".trx", ".tck", ".trk")


def check_choice(option: str, given: str, allowed: Sequence[str]) -> None:
    """Raise a usage error for a name that is none of those allowed."""
    if given not in allowed:
        raise typer.BadParameter(f"{option} {given}: give one of {', '.join(allowed)}")


def check_files(
    *read: Path | None, out: Path | None = None, force: bool = False, option: str = "--out", **responses: Path | None
) -> None:
    """Raise ScanError for the first file or folder to read that is not there, OutputError for a folder that is taken.

    None is not given. out: folder for results, which may not be a file, nor hold files unless `force`; option: by which
    it was chosen. responses: by tissue; without white matter's they are refused later, in better words.
    """
    for path in (*read, *(responses.values() if responses.get("wm") else ())):
        if path is not None and not path.exists():
            raise ScanError(f"{path}: no such file; check the path")
    if out is not None:
        from shd.fitting.output_folder import check_free

        check_free(out, force, option)


def check_model(model: str | Path) -> None:
    """Raise CheckpointError for a network that is neither packaged nor there."""
    from shd.io.model_files import model_file

    model_file(model)


def check_ending(path: Path, endings: Sequence[str]) -> None:
    """Raise OutputError for a file to be written whose name says no known format."""
    if path.suffix not in endings:
        raise OutputError(f"{path.name}: ends in {path.suffix or 'nothing'}; give {', '.join(endings)}")
