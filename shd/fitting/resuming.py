"""The checkpoint of a training: saved, taken up again, and what is said where it cannot be."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from shd.errors import CheckpointError
from shd.io.atomic import write_json
from shd.io.checkpoints import read_state, write_state
from shd.training.distributed import Processes

__all__ = ["Resumable", "resume", "save"]

State = tuple[dict[str, Tensor], dict[str, Any]]


@runtime_checkable
class Resumable(Protocol):
    """A training whose state is tensors and plain numbers."""

    def state(self) -> State:
        """Return what `load_state` goes on from."""
        ...

    def load_state(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Take up training where `state` was called."""
        ...


def resume(training: Resumable, checkpoint: Path | None, processes: Processes = Processes()) -> None:  # frozen
    """Go on where `checkpoint` was saved, if it is there; the first process reads it for all.

    Raises CheckpointError where it cannot be read, belongs to another training, or is of another version of shd.
    """
    with _named(checkpoint):
        state = read_state(checkpoint) if processes.first and checkpoint and checkpoint.exists() else None
    state = processes.from_first(state)
    if state is not None:
        with _named(checkpoint):
            training.load_state(*state)


def save(training: Resumable, checkpoint: Path) -> None:
    """Write the state, and what it says in plain words beside it."""
    tensors, numbers = training.state()
    write_state(checkpoint, tensors, numbers)
    write_json(checkpoint.with_suffix(".json"), numbers)


@contextmanager
def _named(checkpoint: Path | None) -> Iterator[None]:
    """Name `checkpoint`, and the way out, in what goes wrong while the block takes it up."""
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
