"""Measurements that the pages of docs/ quote; `python -m benchmarks` lists them.

They run as the shd program does: waiting threads sleep, which must be said before torch loads, and freed memory is
kept.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from shd.cli.allocator import keep_freed_memory

keep_freed_memory()
