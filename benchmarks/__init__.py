"""Measurements that the pages of docs/ quote; `python -m benchmarks` lists them."""

import os

# As the shd program does, before torch loads: waiting threads sleep, or a busy machine slows training many times over.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
