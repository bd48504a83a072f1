"""The memory that a call takes at its peak, for tests that run a program of their own (Linux)."""

from collections.abc import Callable
from pathlib import Path


def memory_taken(call: Callable[[], object]) -> int:
    """Return by how many bytes this process's resident memory rises at most while `call` runs."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _said("VmRSS")
    call()
    return _said("VmHWM") - before


def _said(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
