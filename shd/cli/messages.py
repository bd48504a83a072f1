"""What the program says: wrapped between words on a terminal, one line a message in a file or a pipe."""

from rich.console import Console
from rich.text import Text

__all__ = ["complain", "tell", "tell_command"]


def tell(message: str) -> None:
    """Write a message to stdout."""
    _print(Console(), Text(message))


def tell_command(command: str) -> None:
    """Write a command to copy to stdout: never broken by us, whatever the width."""
    Console().print(Text(f"  {command}"), soft_wrap=True, highlight=False)


def complain(label: str, style: str, message: str) -> None:
    """Write `label: message` to stderr; the message is plain text, so brackets in it are not markup."""
    _print(Console(stderr=True), Text.assemble((f"{label}: ", style), message))


def _print(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=not console.is_terminal, highlight=False)
