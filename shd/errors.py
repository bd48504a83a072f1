"""Errors a user can act on: each message holds the numbers that disagree and a way out.

The command line prints the message alone and exits with code 2; the library raises.
"""


class ShdError(Exception):
    """Anything wrong with what the user gave or asked; never a bug in shd."""


class ScanError(ShdError):
    """The diffusion image, its mask or their geometry cannot be used as given."""


class GradientError(ShdError):
    """The b-values or gradient directions cannot be used as given."""


class ResponseError(ShdError):
    """A response function is missing, does not fit the scan's shells, or cannot be estimated."""


class OutputError(ShdError):
    """A result cannot be written where it was asked."""


class EvaluationError(ShdError):
    """A result and its truth cannot be compared, or a scan does not allow the evaluation asked for."""


class SimulationError(ShdError):
    """A phantom cannot be simulated as described: its geometry, its tissues or its measurement."""


class CheckpointError(ShdError):
    """A saved model or a saved training state cannot be used."""


class SettingsError(ShdError):
    """The settings asked for are unknown, contradict each other or cannot be."""


class FormatError(ShdError):
    """A file's basis, frame or layout is not what was said, or a result cannot be written in the layout asked for."""


class ResourceError(ShdError):
    """The machine has not the memory or the device for what was asked."""


class ShdWarning(UserWarning):
    """Something the user should look at, though the result can be computed."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether Python, NumPy or torch ran out of memory; torch, slow to load, is known by its names."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "not enough memory" in str(error)
        or "can't allocate memory" in str(error)
    )


def number_of(count: int, noun: str) -> str:
    """Return how many there are, for messages: `1 file`, `2 files`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
