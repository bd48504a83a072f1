"""What a network was trained on, and where a scan lies outside of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from shd.scans.normalisation import NormalisedScan
from shd.signal.response import Response

__all__ = ["TrainedRange", "joined", "range_of"]

_SLACK = 0.02  # beyond the ends, of their value: b-values and voxel sizes are rounded


@dataclass(frozen=True)
class TrainedRange:
    """Lowest and highest of each quantity among the scans trained on: its name, with its unit, to both ends."""

    ends: Mapping[str, tuple[float, float]]

    def outside(self, scan: "TrainedRange") -> list[str]:
        """Return in words where a scan's own range leaves this one; empty where it does not."""
        found = []
        for name, (low, high) in self.ends.items():
            least, most = scan.ends.get(name, (low, high))
            if least < low * (1 - _SLACK) or most > high * (1 + _SLACK):
                own = f"{least:.4g}" if least == most else f"{least:.4g} to {most:.4g}"
                found.append(f"{name} {own} (trained: {low:.4g} to {high:.4g})")
        return found


def range_of(
    scan: NormalisedScan, responses: tuple[Response, ...], noise: Float[np.ndarray, " voxel"]
) -> TrainedRange:
    """Return the range of one scan. responses: white matter first. noise: deviation of S/S₀ in its voxels."""
    shells = scan.gradients.weighted_shells
    sizes = np.linalg.norm(scan.affine[:3, :3], axis=0)
    white = responses[0]
    decay = -np.log(white.mean_signal[1] / white.mean_signal[0]) / white.bvalues[1]  # the first row is b=0
    snr = 1 / float(np.median(noise)) if len(noise) else np.nan
    return TrainedRange({
        "b-values (s/mm²)": (shells[0].bvalue, shells[-1].bvalue),
        "directions a shell": (min(len(s.volumes) for s in shells), max(len(s.volumes) for s in shells)),
        "SNR at b=0": (snr, snr),
        "voxel size (mm)": (float(sizes.min()), float(sizes.max())),
        "diffusivity of the white-matter response (mm²/s)": (float(decay), float(decay)),
    })  # fmt: skip


def joined(ranges: Iterable[TrainedRange]) -> TrainedRange:
    """Return the range of several scans together."""
    ends: dict[str, tuple[float, float]] = {}
    for one in ranges:
        for name, (low, high) in one.ends.items():
            lowest, highest = ends.get(name, (low, high))
            ends[name] = (float(min(low, lowest)), float(max(high, highest)))
    return TrainedRange(ends)
