"""The shape of a network: everything needed to build it again, as plain numbers and words."""

from dataclasses import dataclass

from shd.graphs.hemisphere import check_nside
from shd.graphs.spatial import distance_classes
from shd.signal.response import TISSUES

__all__ = ["FEATURES", "NORMALISATIONS", "ModelConfig"]

NORMALISATIONS = ("batch", "voxel", "none")
FEATURES = ("shells", "fibre")


@dataclass(frozen=True)
class ModelConfig:
    """Configuration of a deconvolution network.

    input_channels: spherical features a voxel. tissues: "wm" first, then any isotropic ones. nside: finest sphere.
    width: channels at the finest level, doubled at each coarser one. levels: nsides nside, nside/2, …. convolutions: a
    level and side. order: Chebyshev terms. kernel: voxels a side of the spatial kernel; 1 is voxel-wise.
    spatial_poolings: how many of the poolings also halve the voxel grid. hemisphere: half the sphere (the method) or
    all of it. features: "shells", the signal of each shell of one protocol (`shd.scans.features`), or "fibre", for any
    protocol (`shd.scans.fibre_features`). The published systems are ESD (kernel=1, spatial_poolings=0,
    hemisphere=False), RT-ESD (hemisphere=False) and SHD (the default form).
    """

    input_channels: int
    tissues: tuple[str, ...] = TISSUES
    nside: int = 8
    width: int = 16
    levels: int = 4
    convolutions: int = 2
    order: int = 5
    kernel: int = 3
    spatial_poolings: int = 1
    normalisation: str = "batch"
    hemisphere: bool = True
    features: str = "shells"

    def __post_init__(self) -> None:
        """Check what would otherwise fail deep inside the network."""
        check_nside(self.nside)
        distance_classes(self.kernel)
        if self.nside > 16:
            raise ValueError(f"nside {self.nside}: networks work in the eigenbasis, up to nside 16")
        if not 1 <= self.levels <= self.nside.bit_length():
            raise ValueError(f"{self.levels} levels: nside {self.nside} allows 1 to {self.nside.bit_length()}")
        if not 0 <= self.spatial_poolings < self.levels:
            allowed = f"{self.levels} levels allow 0 to {self.levels - 1}"
            raise ValueError(f"{self.spatial_poolings} spatial poolings: {allowed}")
        if self.normalisation not in NORMALISATIONS:
            raise ValueError(f"normalisation {self.normalisation!r}: use one of {', '.join(NORMALISATIONS)}")
        if self.features not in FEATURES:
            raise ValueError(f"features {self.features!r}: use one of {', '.join(FEATURES)}")
        if not self.tissues or self.tissues[0] != "wm" or len(set(self.tissues)) != len(self.tissues):
            raise ValueError(f"tissues {self.tissues}: name each once, 'wm' first")
        if min(self.input_channels, self.width, self.convolutions, self.order) < 1:
            raise ValueError("input_channels, width, convolutions and order must be at least 1")

    @property
    def spatial_factor(self) -> int:
        """By how many voxels the coarsest level's voxel is wide: tiles are multiples of it."""
        return 2**self.spatial_poolings
