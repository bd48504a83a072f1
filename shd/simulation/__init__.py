"""Simulated scans with truth.

- `protocols`         acquisition protocols and their gradient tables
- `tissues`           the signal of white matter, grey matter and CSF, and the exact responses
- `geometry`          bundles and regions in scanner space
- `centreline`        the curve in the middle of a bundle
- `sampling`          what every voxel of a grid holds; `candidate_kernel`, `sampling_kernel` are its compiled loops
- `fibre_signal`      from the harmonics of a voxel's fibres to its signal
- `phantoms`          the scan of a geometry with its truth
- `true_fods`         the phantom's fODFs at a finite degree
- `crossing`, `tangle`  families of phantoms
"""

from shd.simulation.crossing import crossing_phantom, single_bundle
from shd.simulation.phantoms import Phantom
from shd.simulation.tangle import tangle_phantom

__all__ = ["Phantom", "crossing_phantom", "single_bundle", "tangle_phantom"]
