"""How a long computation tells the outside what it is doing, without printing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["Progress", "Report", "counted", "silent"]


@dataclass(frozen=True)
class Progress:
    """stage: what is being done. done: part of it, 0 to 1. values: numbers worth showing, such as loss terms."""

    stage: str
    done: float
    values: Mapping[str, float] = field(default_factory=dict)


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Ignore the progress."""


def counted(stage: str, total: int, report: Report) -> Callable[[int | float], None]:
    """Start a stage of `total` voxels; return a function to call with how many each piece of work finished."""
    done = 0.0

    def advance(voxels: int | float) -> None:
        nonlocal done
        done += voxels
        report(Progress(stage, done / total))

    report(Progress(stage, 0.0))
    return advance
