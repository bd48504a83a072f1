"""The problems with known answers: phantom, protocol, signal-to-noise ratio and seed."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.deconvolvers.methods import MethodError
from shd.scans.scan import Scan
from shd.simulation import Phantom, crossing_phantom, tangle_phantom
from shd.simulation.protocols import CLINICAL, HARDI, RESEARCH, Protocol

__all__ = ["PHANTOMS", "PROTOCOLS", "Problem", "white_matter_scan"]

PHANTOMS: dict[str, Callable[[Protocol, float, int], Phantom]] = {
    "tangle": lambda protocol, snr, seed: tangle_phantom(protocol=protocol, snr=snr, seed=seed),
    "small-tangle": lambda protocol, snr, seed: tangle_phantom(
        bundles=10, extent_mm=36.0, protocol=protocol, snr=snr, seed=seed
    ),
    "crossing-60": lambda protocol, snr, seed: crossing_phantom(60.0, protocol=protocol, snr=snr, seed=seed),
    "crossing-45": lambda protocol, snr, seed: crossing_phantom(45.0, protocol=protocol, snr=snr, seed=seed),
}
"""By name, from protocol, SNR and seed. "tangle": 16 bundles in a ball of 52 mm; "small-tangle": 10 in 36 mm."""

PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in (RESEARCH, HARDI, CLINICAL)}

_WORTH_FITTING = 0.4  # of white matter: what is scored has more than half, and a voxelwise method needs no others


@dataclass(frozen=True)
class Problem:
    """phantom, protocol: names of `PHANTOMS` and `PROTOCOLS`. snr: at b=0. seed: of geometry and noise.

    Raises MethodError for what there is not, and for an SNR not above zero.
    """

    phantom: str
    protocol: str
    snr: float
    seed: int

    def __post_init__(self) -> None:
        """Check what would otherwise fail after the problems before it."""
        for word, value, known in (
            ("phantom", self.phantom, PHANTOMS),
            ("protocol", self.protocol, PROTOCOLS),
        ):
            if value not in known:
                raise MethodError(f"no {word} {value}; there are: {', '.join(known)}")
        if not self.snr > 0:
            raise MethodError(f"SNR {self.snr:g}: give one above 0")

    @property
    def setting(self) -> tuple[str, str, float]:
        """The problem but for its seed: problems of one setting share a table."""
        return self.phantom, self.protocol, self.snr

    def __str__(self) -> str:
        """Return it as a person reads it."""
        return f"{self.phantom}, {self.protocol}, SNR {self.snr:g}, seed {self.seed}"

    def make(self) -> Phantom:
        """Return the phantom, the same at every call."""
        return PHANTOMS[self.phantom](PROTOCOLS[self.protocol], self.snr, self.seed)


def white_matter_scan(phantom: Phantom) -> Scan:
    """Return the scan with its mask cut to white matter: a voxelwise method loses nothing by it, and saves minutes."""
    return replace(phantom.scan, mask=phantom.scan.mask & (phantom.tissue_fractions[..., 0] > _WORTH_FITTING))
