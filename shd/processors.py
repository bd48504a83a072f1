"""How many processors this process may use."""

import os

__all__ = ["usable_processors"]


def usable_processors() -> int:
    """Return the number of processors that this process may run on: of a job with 4 of a node's 64, 4."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
