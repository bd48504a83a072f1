"""Spatio-hemispherical deconvolution of diffusion MRI.

The folders, each importing only from those before it: `sphere` (harmonics, rotations), `graphs` (the HEALPix
half-sphere), `signal` (gradients, responses, forward model), `models` (convolutions, U-Net), `fodf` (fields, peaks),
`scans`, `simulation`, `evaluation`, `training`, `inference`, `tracking`, `io`, `report`, `fitting` (one subject, end
to end), `cli`.
"""

from typing import TYPE_CHECKING, Any

from shd._version import __version__

if TYPE_CHECKING:
    from shd.fitting.fit import fit
    from shd.fitting.infer import infer
    from shd.fitting.simulate import simulate
    from shd.fitting.track import track
    from shd.fitting.train import train
    from shd.io.scans import read_scan

__all__ = ["__version__", "fit", "infer", "read_scan", "simulate", "track", "train"]

_FRONT = {
    "fit": "shd.fitting.fit",
    "infer": "shd.fitting.infer",
    "read_scan": "shd.io.scans",
    "simulate": "shd.fitting.simulate",
    "track": "shd.fitting.track",
    "train": "shd.fitting.train",
}


def __dir__() -> list[str]:
    """Return the front functions, so that completion finds them before their first use."""
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Import the front functions when they are first used: importing shd alone stays quick."""
    if name not in _FRONT:
        raise AttributeError(f"module 'shd' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_FRONT[name]), name)
