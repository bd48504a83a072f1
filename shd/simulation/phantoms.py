"""Simulated scans with their truth."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

from shd.errors import SimulationError
from shd.scans.scan import Scan
from shd.signal.gradients import Gradients
from shd.signal.noise import add_magnitude_noise
from shd.signal.response import Response
from shd.simulation.geometry import Geometry
from shd.simulation.lesions import Lesion, LesionPlan, draw_lesions, with_lesions
from shd.simulation.protocols import RESEARCH, Protocol, protocol_gradients
from shd.simulation.sampling import SUBSAMPLES, Samples, sample
from shd.simulation.tissues import B0_INTENSITY, WHITE_MATTER, tissue_responses

__all__ = ["Measurement", "Phantom", "centred_grid", "measured", "simulate"]

Grid = tuple[tuple[int, int, int], Float[np.ndarray, "4 4"]]
_LESIONS = 11  # apart from the random numbers of geometry and noise, so that these stay as they are without lesions
_LARGEST = 512  # voxels along an edge: a truth beyond that fills the memory of any machine


@dataclass(frozen=True)
class Measurement:
    """How a phantom was measured. snr: b=0 intensity over σ of the noise in each channel; None is without noise. coils:
    1 is Rician noise, more is non-central χ. seed: of the noise. subsamples: points per voxel along each axis.

    Raises SimulationError for an SNR not above zero, or no coil or no point.
    """

    snr: float | None = 20.0
    coils: int = 1
    seed: int = 0
    subsamples: int = SUBSAMPLES

    def __post_init__(self) -> None:
        if self.snr is not None and not self.snr > 0:
            raise SimulationError(f"snr {self.snr:g}: the signal-to-noise ratio is above 0, or none without noise")
        if self.coils < 1:
            raise SimulationError(f"coils {self.coils}: a scan is measured with at least 1")
        if not 1 <= self.subsamples <= 16:
            raise SimulationError(f"subsamples {self.subsamples}: give 1 to 16 points along each axis of a voxel")
        if self.seed < 0:
            raise SimulationError(f"seed {self.seed}: give 0 or more")


@dataclass(frozen=True, eq=False)
class Phantom:
    """A simulated scan and everything that is true of it.

    scan: with noise; its mask is what is at least half tissue. noise_free: the same volumes without noise. directions,
    fractions, bundles: of the bundles present in each voxel, largest first: the mean of its fibres there (unit vector,
    scanner axes), its share of the voxel's volume, and its number in the geometry; beyond them zeros and −1.
    tissue_fractions: white matter, grey matter, CSF (sum 1, less where the phantom ends). fods: the distribution of the
    fibres at all points of the voxel, cut at degree 12, not smoothed: MRtrix3 basis, scanner axes, per response (a
    voxel full of fibres has l=0 coefficient 1/√4π). endpoints: 2·bundle + 1 where a bundle starts, 2·bundle + 2 where
    it ends, 0 elsewhere. responses: exact, of the same three tissues. lesions: those drawn; lesion_fractions: their
    share of each voxel, None where none were asked for.
    """

    scan: Scan
    noise_free: Float32[np.ndarray, "x y z volume"]
    directions: Float[np.ndarray, "x y z fibre 3"]
    fractions: Float[np.ndarray, "x y z fibre"]
    bundles: Int[np.ndarray, "x y z fibre"]
    tissue_fractions: Float[np.ndarray, "x y z tissue"]
    fods: Float[np.ndarray, "x y z coeff"]
    endpoints: Int[np.ndarray, "x y z"]
    responses: tuple[Response, ...]
    geometry: Geometry
    measurement: Measurement
    lesions: tuple[Lesion, ...] = ()
    lesion_fractions: Float[np.ndarray, "x y z"] | None = None


def simulate(
    geometry: Geometry,
    gradients: Gradients,
    shape: tuple[int, int, int],
    affine: Float[np.ndarray, "4 4"],
    measurement: Measurement | None = None,
    advance: Callable[[float], None] | None = None,
    lesions: LesionPlan | None = None,
) -> Phantom:
    """Return the scan of a geometry and its truth.

    Every voxel is the mean over points inside it (4×4×4 by default): the mean of their signals, not the signal of their
    mean, so fibres that bend or fan inside a voxel disperse as they would in tissue. Signals are those of stick and
    zeppelin along the fibres, by harmonics of a degree that is right to a millionth of b=0, and of free diffusion in
    grey matter and CSF. Equal seeds give equal phantoms, on any number of threads.

    shape: voxels along each axis. affine: voxel index → scanner RAS mm. measurement: noise and points; SNR 20 by
    default. advance: told the share of the voxels that is done. lesions: drawn by the measurement's seed. Raises
    SimulationError where a bundle lies outside the volume, the volume cannot be, or lesions find no room.
    """
    measurement = measurement or Measurement()
    _check_grid(shape, affine)
    samples = sample(geometry, gradients, shape, np.asarray(affine, dtype=np.float64), measurement.subsamples, advance)
    inside = samples.tissue_fractions.sum(axis=-1) >= 0.5
    if not inside.any():
        raise SimulationError(f"{geometry.name}: 0 of {inside.size} voxels hold tissue; give another affine or shape")
    drawn: tuple[Lesion, ...] = ()
    lesioned = None
    if lesions is not None:
        chance = np.random.default_rng([measurement.seed, _LESIONS])
        drawn = draw_lesions(lesions, samples.tissue_fractions, affine, chance)
        samples, lesioned = with_lesions(samples, drawn, gradients, affine, measurement.subsamples)
    data = samples.noise_free
    if measurement.snr is not None:
        generator = np.random.default_rng(measurement.seed)
        data = add_magnitude_noise(data, B0_INTENSITY / measurement.snr, measurement.coils, generator)
    scan = Scan(data, np.asarray(affine, dtype=np.float64), gradients, inside, geometry.name)
    return Phantom(
        scan=scan,
        noise_free=samples.noise_free,
        directions=samples.directions,
        fractions=samples.fractions,
        bundles=samples.bundles,
        tissue_fractions=samples.tissue_fractions,
        fods=samples.fods,
        endpoints=samples.endpoints,
        responses=_responses(geometry, gradients, samples),
        geometry=geometry,
        measurement=measurement,
        lesions=drawn,
        lesion_fractions=lesioned,
    )


def measured(
    geometry: Geometry,
    *,
    voxel_mm: float = 2.0,
    protocol: Protocol = RESEARCH,
    snr: float | None = 20.0,
    coils: int = 1,
    seed: int = 0,
) -> Phantom:
    """Return the scan of a geometry on a grid of cubic voxels around the origin; the rest as in `simulate`."""
    shape, affine = centred_grid(geometry.extent, voxel_mm)
    return simulate(geometry, protocol_gradients(protocol), shape, affine, Measurement(snr, coils, seed))


def centred_grid(extent: Float[np.ndarray, "3"], voxel_mm: float) -> Grid:
    """Return shape and affine of cubic voxels along the scanner axes that cover a box (mm) around the origin."""
    if not voxel_mm > 0:
        raise SimulationError(f"voxel size {voxel_mm:g} mm: it must be above 0")
    counts = np.ceil(np.asarray(extent) / voxel_mm - 1e-6).astype(int)
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = -voxel_mm * (counts - 1) / 2
    x, y, z = (int(count) for count in counts)
    _check_grid((x, y, z), affine)
    return (x, y, z), affine


def _check_grid(shape: tuple[int, int, int], affine: Float[np.ndarray, "4 4"]) -> None:
    if min(shape) < 1 or max(shape) > _LARGEST:
        raise SimulationError(
            f"a volume of {' × '.join(map(str, shape))} voxels: give 1 to {_LARGEST} along each axis, by shape or "
            "voxel size"
        )
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise SimulationError(f"the affine {np.round(affine[:3, :3], 4).tolist()} has no inverse; correct it")


def _responses(geometry: Geometry, gradients: Gradients, samples: Samples) -> tuple[Response, ...]:
    """Return the exact responses; where bundles differ in diffusivities, white matter's is the mean over its volume."""
    bvalues = np.array([shell.bvalue for shell in gradients.shells])
    present = samples.bundles >= 0
    volumes = np.bincount(samples.bundles[present], samples.fractions[present], minlength=len(geometry.bundles))
    weights = {bundle.fibre: 0.0 for bundle in geometry.bundles}
    for bundle, volume in zip(geometry.bundles, volumes, strict=True):
        weights[bundle.fibre] += float(volume)
    total = sum(weights.values())
    if total == 0.0:
        return tissue_responses(bvalues, fibre=WHITE_MATTER)
    white = sum(
        weight / total * tissue_responses(bvalues, fibre=fibre)[0].coefficients for fibre, weight in weights.items()
    )
    _, grey, csf = tissue_responses(bvalues)
    return Response("wm", bvalues, np.asarray(white)), grey, csf
