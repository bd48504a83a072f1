"""Simulated scans with truth.

- `protocols`  acquisition protocols and their gradient tables
- `tissues`    the signal of white matter, grey matter and CSF, and the exact responses
- `geometry`   bundles and balls in scanner space
- `phantoms`   sampling a geometry into a scan with its truth
- `true_fods`  the phantom's fODFs at a finite degree
- `crossing`   the crossing phantom and the single bundle
"""

from shd.simulation.crossing import crossing_phantom, single_bundle
from shd.simulation.phantoms import Phantom

__all__ = ["Phantom", "crossing_phantom", "single_bundle"]
