"""What is true of a simulated scan, as far as scores need it: the same from a phantom in memory and from its files."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from shd.simulation.phantoms import Phantom
from shd.sphere.harmonics import coefficient_count, degree_of_count, gaussian_factors

__all__ = ["Truth"]

# Voxels of which more than this share is white matter are scored.
_WHITE_MATTER = 0.5


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth of every voxel of a grid.

    directions, fractions: of the bundles present in each voxel, largest first, zero-padded; directions are unit vectors
    in scanner axes, fractions shares of the voxel's volume. bundles: number of the bundle of each, -1 where absent.
    tissue_fractions: white matter, grey matter, CSF. fods: the exact fODF cut at its degree, not smoothed: MRtrix3
    basis, scanner axes, per response (a voxel full of fibres has l=0 coefficient 1/√4π). endpoints: 2·bundle + 1 where
    a bundle starts, 2·bundle + 2 where it ends, 0 elsewhere. affine: voxel index → scanner RAS mm. mask: voxels at
    least half tissue.
    """

    directions: Float[np.ndarray, "x y z fibre 3"]
    fractions: Float[np.ndarray, "x y z fibre"]
    bundles: Int[np.ndarray, "x y z fibre"]
    tissue_fractions: Float[np.ndarray, "x y z tissue"]
    fods: Float[np.ndarray, "x y z coeff"]
    endpoints: Int[np.ndarray, "x y z"]
    affine: Float[np.ndarray, "4 4"]
    mask: Bool[np.ndarray, "x y z"]

    @classmethod
    def of(cls, phantom: Phantom) -> "Truth":
        """Return the truth of a phantom."""
        return cls(
            phantom.directions,
            phantom.fractions,
            phantom.bundles,
            phantom.tissue_fractions,
            phantom.fods,
            phantom.endpoints,
            phantom.scan.affine,
            phantom.scan.mask,
        )

    @property
    def scored(self) -> Bool[np.ndarray, "x y z"]:
        """The voxels that count: in the mask, and more than half white matter."""
        return self.mask & (self.tissue_fractions[..., 0] > _WHITE_MATTER)

    def ceiling(self, *, degree: int = 12, smoothing_degrees: float = 5.0) -> Float[np.ndarray, "x y z coeff"]:
        """Return the true fODFs as an output of finite sharpness can show them: the best that a method can do.

        They are cut at `degree` (their own if that is lower) and multiplied by exp(−σ²l(l+1)/2), which spreads every
        direction into a Gaussian of width σ = `smoothing_degrees`. Basis, axes and units are those of `fods`.
        """
        degree = min(degree, degree_of_count(self.fods.shape[-1]))
        smoothing = gaussian_factors(degree, smoothing_degrees)
        return self.fods[..., : coefficient_count(degree)] * smoothing.astype(self.fods.dtype)
