"""run.json: everything needed to know what a result is, and to make it again."""

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Any

from shd._version import __version__
from shd.engines.choice import describe_engine
from shd.fitting.fit import Fit
from shd.graphs.spatial import distance_classes
from shd.models.deconvolver import Deconvolver
from shd.scans.scan import Scan

__all__ = ["run_record", "versions"]

_LIBRARIES = ("torch", "numpy", "scipy", "healpy", "dipy", "nibabel", "numba")


def run_record(scan: Scan, result: Fit, inputs: Mapping[str, Any], warnings: Sequence[str] = ()) -> dict[str, Any]:
    """Return inputs, scan, settings, versions, timings, the gradients' verdict, losses and warnings, as plain JSON."""
    last = result.history[-1] if result.history else {}
    report = result.coherence
    return {
        "shd": __version__,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "inputs": dict(inputs),
        "scan": {
            "name": scan.name,
            "shape": list(scan.data.shape),
            "mask_voxels": int(scan.mask.sum()),
            "shells": {f"{shell.bvalue:.0f}": len(shell.volumes) for shell in scan.gradients.shells},
            "snr": round(result.snr, 2) if result.snr is not None else None,
        },
        "settings": asdict(result.settings) if result.settings else None,
        "model": asdict(result.model.config),
        "engine": _engine(result.model),
        "tissues": [response.tissue for response in result.responses],
        "degree": result.fod.degree,
        "gradient_coherence": {
            "verdict": report.verdict,
            "best": report.best,
            "score_given": report.score_given,
            "score_best": report.score_best,
            "certainty": _finite(report.certainty),
            "message": report.message,
        },
        "steps": int(last.get("step", 0)),
        "final_losses": {name: _finite(value) for name, value in last.items() if name not in ("step", "seconds")},
        "held_out_loss": _held_out(result),
        "warnings": list(warnings),
        "seconds": result.seconds,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that decide numbers."""
    return {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}


def _engine(model: Deconvolver) -> str:
    device = next(model.parameters()).device
    return describe_engine(model.unet.engine, str(device), len(distance_classes(model.config.kernel)))


def _held_out(result: Fit) -> dict[str, float] | None:
    """Return the held-out voxels' loss before training and at its best."""
    losses = [row["held_out"] for row in result.history if _finite(row.get("held_out")) is not None]
    return {"first": losses[0], "best": min(losses)} if losses else None


def _finite(value: float | None) -> float | None:
    """Return the number, or None where JSON has none for it."""
    return value if value is not None and math.isfinite(value) else None
