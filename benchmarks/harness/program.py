"""What a benchmark's program says of a mistake: one line, as shd itself does."""

import sys
from collections.abc import Callable, Sequence
from functools import wraps

from shd.errors import ShdError

__all__ = ["errors_in_one_line"]


def errors_in_one_line(main: Callable[[Sequence[str]], None]) -> Callable[..., None]:
    """Return `main`, which writes what a user can act on to stderr and exits with 2."""

    @wraps(main)
    def program(options: Sequence[str] = ()) -> None:
        try:
            main(options)
        except ShdError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)

    return program
