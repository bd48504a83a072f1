"""The engines a test is run with; the compiled one is skipped, and says why, where this machine cannot build it."""

import pytest

from shd.engines.choice import compiled_engine
from shd.engines.compiled.engine import RADII
from shd.graphs.spatial import distance_classes

NAMES = ("reference", "torch", "compiled")
engines = pytest.mark.parametrize("engine", NAMES)


def takes(engine: str, size: int) -> bool:
    """Return whether `engine` takes kernels of `size` voxels a side."""
    return engine != "compiled" or len(distance_classes(size)) in RADII


engines_and_sizes = pytest.mark.parametrize(
    ("engine", "size"), [(name, size) for name in NAMES for size in (1, 3, 5) if takes(name, size)]
)


def require(engine: str) -> None:
    """Skip the test that calls where `engine` does not run."""
    if engine == "compiled" and isinstance(found := compiled_engine(), str):
        pytest.skip(f"the compiled engine does not run here: {found}")
