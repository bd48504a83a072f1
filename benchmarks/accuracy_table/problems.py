"""The problems with known answers: phantom, protocol, signal-to-noise ratio and seed."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.deconvolvers.methods import MethodError
from shd.scans.scan import Scan
from shd.simulation import Phantom, crossing_phantom
from shd.simulation.families import family_geometry
from shd.simulation.phantoms import measured
from shd.simulation.protocols import CLINICAL, HARDI, RESEARCH, Protocol

__all__ = ["PHANTOMS", "PROTOCOLS", "RANGE", "Family", "Problem", "white_matter_scan"]


@dataclass(frozen=True)
class Family:
    """A family of phantoms, a member for each seed. voxels: of its mask, roughly, in those of "tangle"."""

    make: Callable[[Protocol, float, int], Phantom]
    voxels: float


def _family(name: str, voxel_mm: float = 2.0, **choices: float) -> Callable[[Protocol, float, int], Phantom]:
    def make(protocol: Protocol, snr: float, seed: int) -> Phantom:
        geometry = family_geometry(name, seed=seed, **choices)
        return measured(geometry, voxel_mm=voxel_mm, protocol=protocol, snr=snr, seed=seed)

    return make


def _crossing(degrees: float) -> Callable[[Protocol, float, int], Phantom]:
    return lambda protocol, snr, seed: crossing_phantom(degrees, protocol=protocol, snr=snr, seed=seed)


PHANTOMS = {
    "tangle": Family(_family("tangle", bundles=16, extent=52.0), 1.0),
    "small-tangle": Family(_family("tangle", bundles=10, extent=36.0), 0.33),
    "isbi": Family(_family("challenge"), 7.0),
    "small-isbi": Family(_family("challenge", voxel_mm=4.0), 0.9),
    "fanning": Family(_family("fanning"), 1.0),
    "kissing": Family(_family("kissing"), 1.0),
    "crossing-60": Family(
        lambda protocol, snr, seed: crossing_phantom(60.0, protocol=protocol, snr=snr, seed=seed), 0.4
    ),
    "crossing-45": Family(
        lambda protocol, snr, seed: crossing_phantom(45.0, protocol=protocol, snr=snr, seed=seed), 0.4
    ),
}
"""By name. "tangle": 16 bundles in a ball of 52 mm, voxels of 2 mm; "small-tangle": 10 in 36 mm. "isbi": 27 bundles as
in the ISBI 2013 challenge in a ball of 100 mm, voxels of 2 mm; "small-isbi": of 4 mm.
"""

RANGE = (
    Protocol("6@1000", 1, ((1000.0, 6),)),
    Protocol("12@1000", 2, ((1000.0, 12),)),
    Protocol("12@3000", 2, ((3000.0, 12),)),
    Protocol("20@2000", 2, ((2000.0, 20),)),
    Protocol("30@700", 3, ((700.0, 30),)),
    CLINICAL,
    Protocol("30@1000-2500", 3, ((1000.0, 15), (2500.0, 15))),
    Protocol("60@1000-2500", 4, ((1000.0, 30), (2500.0, 30))),
    HARDI,
    RESEARCH,
    Protocol("120@700-5000", 8, ((700.0, 16), (1500.0, 24), (3000.0, 32), (5000.0, 48))),
    Protocol("288@1000-3000", 18, ((1000.0, 96), (2000.0, 96), (3000.0, 96))),
)
"""What one network meets: one to four shells, 6 to 288 directions, b from 700 to 5000; by number of directions."""

PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in (RESEARCH, HARDI, CLINICAL, *RANGE)}

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
        return PHANTOMS[self.phantom].make(PROTOCOLS[self.protocol], self.snr, self.seed)


def white_matter_scan(phantom: Phantom) -> Scan:
    """Return the scan with its mask cut to white matter: a voxelwise method loses nothing by it, and saves minutes."""
    return replace(phantom.scan, mask=phantom.scan.mask & (phantom.tissue_fractions[..., 0] > _WORTH_FITTING))
