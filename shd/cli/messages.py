"""What the program says: wrapped between words on a terminal, one line a message in a file or a pipe."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from shd.errors import number_of

__all__ = ["complain", "tell", "tell_command", "tell_files"]


def tell(message: str) -> None:
    """Write a message to stdout."""
    _print(Console(), Text(message))


def tell_command(command: str) -> None:
    """Write a command to copy to stdout: never broken by us, whatever the width."""
    Console().print(Text(f"  {command}"), soft_wrap=True, highlight=False)


def tell_files(files: Sequence[Path], folder: Path, more: str = "") -> None:
    """Write to stdout which files were written in a folder, and what `more` there is to say."""
    tell(f"wrote {number_of(len(files), 'file')} in {folder}: {', '.join(path.name for path in files)}{more}")


def complain(label: str, style: str, message: str) -> None:
    """Write `label: message` to stderr; the message is plain text, so brackets in it are not markup."""
    _print(Console(stderr=True), Text.assemble((f"{label}: ", style), message))


def _print(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=not console.is_terminal, highlight=False)
