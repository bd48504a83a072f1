"""Time and memory of a call.

A time is the median over repeats, after calls that are not counted: the first one allocates, chooses kernels and may
compile. The fastest and slowest repeat say how quiet the machine was.
"""

import ctypes
import gc
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Patience", "Timing", "measure", "peak_memory"]

@dataclass(frozen=True)
class Patience:
    """How long to repeat a call: `least` times and `seconds`, whichever is longer, but no longer than `most` seconds.

    A call under way is always finished, so that one which takes longer than `most` is measured once. warm_up: seconds
    of calls before, which are not counted.
    """

    seconds: float = 1.5
    least: int = 5
    most: float = 30.0
    warm_up: float = 0.2


@dataclass(frozen=True)
class Timing:
    """Seconds of a call: median, fastest and slowest of `repeats`."""

    median: float
    fastest: float
    slowest: float
    repeats: int


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def measure(call: Callable[[], object], patience: Patience | None = None, warmed: float = 0.0) -> Timing:
    """Return the time of a call, repeated by `patience`.

    warmed: seconds that calls to warm up took already.
    """
    patience = patience or Patience()
    while warmed < patience.warm_up:
        warmed += _seconds(call)
    taken, total = [], 0.0
    while total < patience.most and (len(taken) < patience.least or total < patience.seconds):
        taken.append(_seconds(call))
        total += taken[-1]
    return Timing(statistics.median(taken), min(taken), max(taken), len(taken))


def peak_memory(call: Callable[[], object]) -> int | None:
    """Return by how many bytes the process's resident memory rises at most during a call; None where unknown.

    Memory freed before goes back to the system first, and the kernel's mark of the largest resident size is set back
    (proc(5), clear_refs): both are Linux's own.
    """
    if sys.platform != "linux":
        return None
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    before = _status("VmRSS")
    call()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))
