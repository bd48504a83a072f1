"""What a phantom is made of: bundles of fibres along curves, and ellipsoids of other tissue, in scanner millimetres."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from shd.errors import SimulationError
from shd.simulation.tissues import WHITE_MATTER, Fibre

__all__ = ["ENDS", "REGION_TISSUES", "TANGENTS", "Bundle", "Geometry", "Region"]

TANGENTS = ("symmetric", "incoming", "outgoing")
ENDS = ("radial", "chord")
REGION_TISSUES = ("gm", "csf")


@dataclass(frozen=True, eq=False)
class Bundle:
    """A tube of fibres around a curve through control points; `shd.simulation.centreline` draws the curve.

    control_points: mm, at least two, none twice in succession. radii: of the tube at each control point, mm; where they
    differ the fibres fan out or converge. tangents: the rule for the curve's direction at inner control points: along
    the chord between both neighbours ("symmetric"), from the point before ("incoming") or to the one after
    ("outgoing"). ends: at its two ends the curve is at right angles to a sphere around the origin ("radial", from its
    first point inwards) or follows the first and the last chord ("chord"). fibre: its diffusivities.

    Raises SimulationError for too few points, points that coincide, a radius not above zero or an unknown rule.
    """

    name: str
    control_points: Float[np.ndarray, "point 3"]
    radii: Float[np.ndarray, " _"]
    tangents: str = "symmetric"
    ends: str = "radial"
    fibre: Fibre = WHITE_MATTER

    def __post_init__(self) -> None:
        points, where = self.control_points, f"bundle {self.name}"
        if len(points) < 2:
            raise SimulationError(f"{where}: {len(points)} control points; a curve needs at least 2")
        if len(self.radii) != len(points):
            raise SimulationError(f"{where}: {len(self.radii)} radii for {len(points)} control points; give one each")
        if not (np.isfinite(points).all() and np.isfinite(self.radii).all()):
            raise SimulationError(f"{where}: a control point or radius is not a finite number; correct it")
        if not (self.radii > 0).all():
            raise SimulationError(f"{where}: radius {self.radii.min():g} mm; it must be above 0")
        steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
        if not (steps > 1e-6).all():
            raise SimulationError(f"{where}: control points {np.argmin(steps) + 1} and the next coincide; remove one")
        for name, value, known in (("tangents", self.tangents, TANGENTS), ("ends", self.ends, ENDS)):
            if value not in known:
                raise SimulationError(f"{where}: {name} {value!r}; give one of {', '.join(known)}")
        if self.ends == "radial" and np.linalg.norm(points[[0, -1]], axis=1).min() < 1e-6:
            raise SimulationError(
                f"{where}: it ends at the origin, where no direction is radial; move the end, or give ends: chord"
            )


@dataclass(frozen=True, eq=False)
class Region:
    """An ellipsoid along the scanner axes, its surface smooth or folded; used for tissue and as a boundary.

    centre, semi_axes: mm. tissue: "gm" or "csf". volume_fraction: the share of the space inside that the tissue takes;
    the rest belongs to what would be there without it. over_bundles: whether it takes the place of fibres, or they of
    it. amplitude: of the folds, as a share of the distance from the centre. waves: k_x k_y k_z and phase of each of
    the waves w that make the folds. With q = (p − centre)/semi_axes, a point p is inside where
    |q| ≤ 1 + amplitude · mean_w sin(k_w·q/|q| + phase_w).

    Raises SimulationError for a radius not above zero, a fraction outside 0 to 1, or folds as deep as the region.
    """

    name: str
    centre: Float[np.ndarray, "3"]
    semi_axes: Float[np.ndarray, "3"]
    tissue: str = "csf"
    volume_fraction: float = 1.0
    over_bundles: bool = True
    amplitude: float = 0.0
    waves: Float[np.ndarray, "wave 4"] = field(default_factory=lambda: np.zeros((0, 4)))

    def __post_init__(self) -> None:
        where = f"region {self.name}"
        if not (np.isfinite(self.centre).all() and np.isfinite(self.semi_axes).all() and np.isfinite(self.waves).all()):
            raise SimulationError(f"{where}: centre, radius or wave is not a finite number; correct it")
        if not (self.semi_axes > 0).all():
            raise SimulationError(f"{where}: radius {self.semi_axes.min():g} mm; it must be above 0")
        if not 0.0 <= self.volume_fraction <= 1.0:
            raise SimulationError(f"{where}: volume_fraction {self.volume_fraction:g}; a fraction is from 0 to 1")
        if self.tissue not in REGION_TISSUES:
            raise SimulationError(f"{where}: tissue {self.tissue!r}; give one of {', '.join(REGION_TISSUES)}")
        if not 0.0 <= self.amplitude < 1.0 or (self.amplitude > 0 and len(self.waves) == 0):
            raise SimulationError(
                f"{where}: folds of amplitude {self.amplitude:g} by {len(self.waves)} waves; "
                "the amplitude is from 0 to below 1, and above 0 it needs waves"
            )

    @classmethod
    def ball(
        cls,
        name: str,
        centre: Float[np.ndarray, "3"],
        radius: float,
        tissue: str = "csf",
        over_bundles: bool = True,
        volume_fraction: float = 1.0,
    ) -> "Region":
        """Return a ball. centre, radius: mm; the rest as in the class."""
        return cls(name, np.asarray(centre, float), np.full(3, float(radius)), tissue, volume_fraction, over_bundles)


@dataclass(frozen=True, eq=False)
class Geometry:
    """A phantom before it is measured. What a point is made of, the first that holds:

    1. outside `outline`: nothing, without signal (None: there is no outside);
    2. inside regions that lie over bundles: their tissue, the first listed first;
    3. inside bundles (and inside `white_surface`, where there is one): fibres, each bundle an equal share;
    4. inside the other regions: their tissue;
    5. else `fill`, "gm" or "csf".

    extent: mm along the scanner axes of the box around the origin that holds the phantom.
    Raises SimulationError where there is no bundle, two have one name, or `fill` or the extent cannot be.
    """

    name: str
    bundles: tuple[Bundle, ...]
    extent: Float[np.ndarray, "3"]
    regions: tuple[Region, ...] = ()
    outline: Region | None = None
    white_surface: Region | None = None
    fill: str = "gm"

    def __post_init__(self) -> None:
        if not self.bundles:
            raise SimulationError(f"{self.name}: 0 bundles; a phantom needs at least 1")
        for kind, parts in (("bundles", self.bundles), ("regions", self.regions)):
            names = [part.name for part in parts]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise SimulationError(f"{self.name}: two {kind} share the name {twice[0]}; rename one")
        if self.fill not in REGION_TISSUES:
            raise SimulationError(f"{self.name}: fill {self.fill!r}; give one of {', '.join(REGION_TISSUES)}")
        if not (np.isfinite(self.extent).all() and (self.extent > 0).all()):
            raise SimulationError(f"{self.name}: extent {self.extent.tolist()} mm; it must be above 0")
