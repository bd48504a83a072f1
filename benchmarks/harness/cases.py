"""A row of a table: what is built and timed, and what came out."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from benchmarks.harness.precision import relative_error
from benchmarks.harness.timing import Patience, Timing, measure, peak_memory
from shd.errors import ShdError

__all__ = ["Case", "Result", "Work", "measured"]


@dataclass(frozen=True)
class Work:
    """What a case does once it is built.

    call: what is timed. answer: tensors to be compared with `expected`, the same in double precision. floor: least
    seconds on this machine. amount: how many things (voxels) a call does. parts, memory: asked after the timing, the
    median seconds of the parts of a call, and the peak bytes of a call that runs in another process.
    """

    call: Callable[[], object]
    answer: Callable[[], Sequence[Tensor]] | None = None
    expected: Callable[[], Sequence[Tensor]] | None = None
    floor: float | None = None
    amount: float | None = None
    parts: Callable[[], dict[str, float]] | None = None
    memory: Callable[[], int] | None = None


@dataclass(frozen=True)
class Case:
    """A row's name, and how its work is built: only when its turn comes, and never kept longer."""

    name: str
    build: Callable[[], Work]


@dataclass(frozen=True)
class Result:
    """What was measured of a case: seconds, relative error, bytes; or why it could not be."""

    name: str
    timing: Timing | None = None
    error: float | None = None
    floor: float | None = None
    memory: int | None = None
    amount: float | None = None
    parts: dict[str, float] = field(default_factory=dict)
    skipped: str | None = None


def measured(cases: Iterable[Case], patience: Patience | None = None) -> Iterator[Result]:
    """Yield each case's result as it comes; one that cannot run here is skipped, with its reason."""
    for case in cases:
        try:
            yield _measured(case, patience)
        except (ImportError, RuntimeError, ValueError, ShdError) as error:
            reason = " ".join(str(error).split())
            yield Result(case.name, skipped=f"{type(error).__name__}: {reason[:160]}")


def _measured(case: Case, patience: Patience | None) -> Result:
    work = case.build()
    error = None
    if work.answer is not None and work.expected is not None:
        error = relative_error(work.answer(), work.expected())
    started = time.perf_counter()
    memory = peak_memory(work.call)
    timing = measure(work.call, patience, warmed=time.perf_counter() - started)
    memory = memory if work.memory is None else work.memory()
    parts = work.parts() if work.parts is not None else {}
    return Result(case.name, timing, error, work.floor, memory, work.amount, parts)
