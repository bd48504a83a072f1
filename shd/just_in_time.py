"""Compilation of inner loops over plain arrays, by numba.

The loops stand alone in `*_kernel` modules. Run-time shape checks would wrap such a function in Python that numba
cannot compile, hence `@no_type_check` on each.
"""

from typing import Any

import numba

__all__ = ["compiled", "compiled_fused"]


def compiled(function):  # type: ignore[no-untyped-def]  # numba dispatchers carry no useful type
    """Compile without holding the GIL, and keep the result on disk where there is a writable place for it.

    Loops are shared out by Python threads, not by numba's own: those end the process where two threads call at once
    (its plain workqueue) or after a fork (GNU OpenMP).
    """
    return _compile(function)


def compiled_fused(function):  # type: ignore[no-untyped-def]
    """Compile as `compiled` does, but let a product and a sum be rounded once, where the processor does both at once.

    Sums of products take a fifth less time; the last digit may differ between processors.
    """
    return _compile(function, fastmath={"contract"})


def _compile(function, **options: Any):  # type: ignore[no-untyped-def]
    try:
        return numba.njit(nogil=True, cache=True, error_model="numpy", **options)(function)
    except RuntimeError:  # numba found neither __pycache__ nor its own cache folder writable
        return numba.njit(nogil=True, error_model="numpy", **options)(function)
