"""The simulated tissues: their signal, and the exact responses that describe it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from shd.errors import SimulationError
from shd.signal.compartments import ball, stick, zeppelin, zonal_coefficients
from shd.signal.response import Response

__all__ = [
    "B0_INTENSITY",
    "CSF",
    "GREY_MATTER",
    "WHITE_MATTER",
    "Fibre",
    "FreeWater",
    "fibre_response",
    "tissue_responses",
]

# Intensity of every tissue at b=0, in scan units: relaxation and proton density are left out of the simulation.
B0_INTENSITY = 1000.0

_FASTEST = 0.01  # mm²/s: above it, a diffusivity was given in other units


@dataclass(frozen=True)
class Fibre:
    """White matter of one fibre population: a stick inside axons, a zeppelin of equal d∥ around them.

    stick_fraction: of the signal at b=0. parallel, perpendicular: diffusivities in mm²/s.
    Raises SimulationError for a fraction outside 0 to 1 or diffusivities that no tissue has.
    """

    stick_fraction: float
    parallel: float
    perpendicular: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.stick_fraction <= 1.0:
            raise SimulationError(f"stick_fraction {self.stick_fraction:g}; a fraction is from 0 to 1")
        if not 0.0 <= self.perpendicular <= self.parallel or not 0.0 < self.parallel <= _FASTEST:
            raise SimulationError(
                f"diffusivities {self.parallel:g} along and {self.perpendicular:g} mm²/s across a fibre; give "
                f"0 ≤ across ≤ along ≤ {_FASTEST:g}, in mm²/s (free water has 3e-3)"
            )

    def signal(
        self, bvalues: Float[np.ndarray, "*#grid"], cosines: Float[np.ndarray, "*#grid"]
    ) -> Float[np.ndarray, "*grid"]:
        """Return intensities for gradients at the given cosines to the fibre."""
        inside = stick(bvalues, cosines, self.parallel)
        outside = zeppelin(bvalues, cosines, self.parallel, self.perpendicular)
        return B0_INTENSITY * (self.stick_fraction * inside + (1 - self.stick_fraction) * outside)


@dataclass(frozen=True)
class FreeWater:
    """A tissue without direction: a ball of one diffusivity, in mm²/s."""

    diffusivity: float

    def signal(self, bvalues: Float[np.ndarray, "*grid"]) -> Float[np.ndarray, "*grid"]:
        """Return intensities, the same for every gradient direction."""
        return B0_INTENSITY * ball(bvalues, self.diffusivity)


# In vivo values: d∥ = 1.7e-3 and free water 3.0e-3 as fixed by Zhang et al., NeuroImage 61 (2012) (NODDI);
# d⊥ = (1 − stick fraction)·d∥, the tortuosity of the same paper (eq. 6), with a typical white-matter fraction of 0.6.
WHITE_MATTER = Fibre(stick_fraction=0.6, parallel=1.7e-3, perpendicular=0.68e-3)
CSF = FreeWater(3.0e-3)
# Mean diffusivity of cortex: 0.83e-3 mm²/s in Pierpaoli et al., Radiology 201 (1996), table 1, to one figure.
GREY_MATTER = FreeWater(0.8e-3)


def fibre_response(fibre: Fibre, bvalue: float, degree: int) -> Float[np.ndarray, " even_degree"]:
    """Return the zonal coefficients of a fibre's signal at one b-value (s/mm²)."""
    return zonal_coefficients(lambda cosines: fibre.signal(np.full_like(cosines, bvalue), cosines), degree)


def tissue_responses(
    bvalues: Float[np.ndarray, " shell"], degree: int = 12, fibre: Fibre = WHITE_MATTER
) -> tuple[Response, Response, Response]:
    """Return the exact responses of white matter (to `degree`), grey matter and CSF at the shells' b-values.

    bvalues: s/mm², ascending, b=0 first. fibre: the kind that white matter is made of.
    """
    white = np.stack([fibre_response(fibre, float(bvalue), degree) for bvalue in bvalues])
    grey, csf = (np.sqrt(4 * np.pi) * tissue.signal(bvalues)[:, None] for tissue in (GREY_MATTER, CSF))
    return Response("wm", bvalues, white), Response("gm", bvalues, grey), Response("csf", bvalues, csf)
