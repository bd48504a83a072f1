"""What is said where a training cannot be taken up again."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shd.errors import CheckpointError

__all__ = ["resuming"]


@contextmanager
def resuming(checkpoint: Path | None) -> Iterator[None]:
    """Name `checkpoint`, and the way out, in what goes wrong while the block takes it up.

    Raises CheckpointError where it cannot be read, belongs to another training, or is of another version of shd.
    """
    try:
        yield
    except CheckpointError as error:
        named = str(error) if str(checkpoint) in str(error) else f"{checkpoint}: {error}"
        raise CheckpointError(named if "--force" in named else f"{named}, or --force to start anew") from error
    except (KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{checkpoint}: saved by another version of shd ({type(error).__name__}); give --force to start anew, or "
            "another --out"
        ) from error
