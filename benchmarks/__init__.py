"""Measurements that the pages of docs/ quote; `python -m benchmarks` lists them."""

import os

# As the shd program does: threads that wait sleep, or a busy machine slows training many times over. Before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
