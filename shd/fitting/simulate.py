"""A phantom end to end: what is simulated, on which grid, how it is measured, and the folder it is written to."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from shd.errors import SimulationError, number_of
from shd.fitting.output_folder import OutputFolder
from shd.fitting.progress import Progress, Report, silent
from shd.io.geometry import read_geometry
from shd.io.gradients import read_fsl, read_mrtrix
from shd.io.images import read_grid
from shd.io.mif import is_mif
from shd.io.phantoms import write_phantom
from shd.report.phantom_figure import phantom_figure
from shd.signal.gradients import Gradients, gradient_table
from shd.simulation.families import FAMILIES, family_geometry
from shd.simulation.geometry import Geometry
from shd.simulation.lesions import LesionPlan
from shd.simulation.phantoms import Grid, Measurement, Phantom, centred_grid
from shd.simulation.phantoms import simulate as simulate_geometry
from shd.simulation.protocols import CLINICAL, HARDI, RESEARCH, Protocol, protocol_gradients
from shd.sphere.rotations import random_rotation

__all__ = ["PROTOCOLS", "gradients_of", "grid_of", "plan_of", "read_affine", "simulate", "write_simulation"]

PROTOCOLS = {protocol.name: protocol for protocol in (RESEARCH, HARDI, CLINICAL)}
_VOXEL_MM = 2.0  # of a geometry file
_ORIENTATION = 13  # apart from the random numbers of geometry, lesions and noise


def simulate(
    what: str | Path | Geometry,
    *,
    protocol: str | Protocol | Gradients = "research",
    snr: float | None = 20.0,
    coils: int = 1,
    seed: int = 0,
    voxel_mm: float | None = None,
    shape: tuple[int, int, int] | None = None,
    affine: Float[np.ndarray, "4 4"] | None = None,
    subsamples: int = 4,
    lesions: int | LesionPlan | None = None,
    rotate: bool = False,
    report: Report = silent,
    **choices: float | int | None,
) -> Phantom:
    """Return a simulated scan and its truth.

    what: a family ("crossing", "tangle", "brain", …: `shd.simulation.families`), a geometry file, or a geometry.
    protocol: "research", "hardi" or "clinical", or a gradient table. snr: b=0 intensity over σ of the noise in each of
    the `coils`; None is without noise. seed: of geometry and noise. voxel_mm, shape: cubic voxels around the origin; or
    shape and affine (voxel index → scanner RAS mm). subsamples: points of a voxel along each axis. lesions: how many,
    or a plan. rotate: the head lies at a random orientation in the scanner: grid and gradients together are turned
    around it, so that the gradients along the grid's axes stay as they are. choices: angle, bundles or extent (mm),
    where the family has them. report: told the progress.
    Raises SimulationError where something cannot be.

    Example: `simulate("crossing", angle=45.0, snr=30.0).scan` is what `shd.fit` takes.
    """
    measurement = Measurement(snr, coils, seed, subsamples)  # a wrong number is an error before anything is computed
    if isinstance(protocol, str) and protocol not in PROTOCOLS:
        raise SimulationError(f"protocol {protocol!r}: give one of {', '.join(PROTOCOLS)}, or a gradient table")
    plan = LesionPlan(lesions) if isinstance(lesions, int) else lesions
    geometry, usual = _geometry(what, seed, choices)
    room = replace(geometry, extent=np.full(3, geometry.extent.max())) if rotate else geometry
    grid_shape, grid_affine = grid_of(room, usual if voxel_mm is None and affine is None else voxel_mm, shape, affine)
    if isinstance(protocol, str):
        protocol = PROTOCOLS[protocol]
    gradients = protocol if isinstance(protocol, Gradients) else protocol_gradients(protocol)
    if rotate:
        rotation = random_rotation(np.random.default_rng([seed, _ORIENTATION]))
        gradients = Gradients(gradients.bvalues, gradients.directions @ rotation.T, gradients.shells)
        grid_affine = np.vstack([rotation @ grid_affine[:3], grid_affine[3:]])
    report(Progress("simulating", 0.0))
    return simulate_geometry(
        geometry, gradients, grid_shape, grid_affine, measurement, lambda done: report(Progress("simulating", done)),
        plan,
    )  # fmt: skip


def _geometry(what: str | Path | Geometry, seed: int, choices: Mapping[str, Any]) -> tuple[Geometry, float]:
    """Return the geometry and its usual voxel size."""
    if isinstance(what, Geometry):
        geometry = what
    elif isinstance(what, str) and what in FAMILIES:
        return family_geometry(what, seed=seed, **choices), FAMILIES[what].voxel_mm
    elif not Path(what).is_file() and Path(what).suffix == "":
        return family_geometry(str(what), seed=seed), _VOXEL_MM  # which says what families there are
    else:
        geometry = read_geometry(what)
    given = [key for key, value in choices.items() if value is not None]
    if given:
        raise SimulationError(f"{geometry.name}: {given[0]} can be chosen of a family, not of a geometry file")
    return geometry, _VOXEL_MM


def grid_of(
    geometry: Geometry,
    voxel_mm: float | None,
    shape: tuple[int, int, int] | None,
    affine: Float[np.ndarray, "4 4"] | None,
) -> Grid:
    """Return shape and affine: those given, or cubic voxels that cover the geometry.

    Raises SimulationError where an affine comes without shape, or with a voxel size.
    """
    if affine is not None:
        if shape is None:
            raise SimulationError("an affine without shape: give the voxels along each axis as well")
        if voxel_mm is not None:
            raise SimulationError(f"an affine and a voxel size of {voxel_mm:g} mm: the affine has one; give either")
        return shape, affine
    size = _VOXEL_MM if voxel_mm is None else voxel_mm
    return centred_grid(geometry.extent if shape is None else size * np.array(shape, dtype=np.float64), size)


def gradients_of(
    protocol: str, bval: Path | None, bvec: Path | None, grad: Path | None, affine: Float[np.ndarray, "4 4"] | None
) -> Gradients:
    """Return the gradient table of files, or of the named protocol where there are none.

    affine: of the grid, along whose axes FSL's directions are; None is along the scanner's. Raises SimulationError
    for half a pair of files, both kinds of files, or an unknown protocol; GradientError for files that cannot be used.
    """
    if grad is not None and (bval is not None or bvec is not None):
        raise SimulationError(f"both {grad} and FSL files: give either --grad, or --bval and --bvec")
    if (bval is None) != (bvec is None):
        raise SimulationError(f"{bval or bvec} alone: FSL gradients are a pair; give both --bval and --bvec")
    if grad is not None:
        return gradient_table(*read_mrtrix(grad))
    if bval is not None and bvec is not None:
        return gradient_table(*read_fsl(bval, bvec, np.eye(4) if affine is None else affine))
    if protocol not in PROTOCOLS:
        raise SimulationError(f"protocol {protocol!r}: give one of {', '.join(PROTOCOLS)}, or gradient files")
    return protocol_gradients(PROTOCOLS[protocol])


def plan_of(lesions: int | None, radius_mm: tuple[float, float] | None) -> LesionPlan | None:
    """Return the plan of so many lesions. Raises SimulationError for radii without lesions, or that cannot be."""
    if lesions is None:
        if radius_mm is not None:
            raise SimulationError(f"radii {radius_mm[0]:g} to {radius_mm[1]:g} mm of 0 lesions; give --lesions as well")
        return None
    return LesionPlan(lesions) if radius_mm is None else LesionPlan(lesions, radius_mm=radius_mm)


def read_affine(path: Path) -> tuple[Float[np.ndarray, "4 4"], tuple[int, int, int] | None]:
    """Return the affine of an image, with its shape, or of a text file of 3 or 4 rows of 4 numbers, without.

    Raises SimulationError where the file holds neither, ScanError for a damaged image.
    """
    if is_mif(path) or path.name.endswith((".nii", ".nii.gz")):
        shape, affine = read_grid(path)
        x, y, z = (*shape, 1, 1)[:3]
        return affine, (x, y, z)
    try:
        rows = np.atleast_2d(np.loadtxt(path, dtype=np.float64))
    except (OSError, ValueError) as error:
        raise SimulationError(f"{path}: not an affine ({error}); give 4 rows of 4 numbers, or an image") from None
    if rows.shape not in ((3, 4), (4, 4)) or not np.isfinite(rows).all():
        raise SimulationError(
            f"{path}: {number_of(rows.shape[0], 'row')} of {rows.shape[1]} numbers; an affine has 4 of 4"
        )
    return np.vstack([rows[:3], [0.0, 0.0, 0.0, 1.0]]), None


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def write_simulation(
    folder: OutputFolder, phantom: Phantom, choices: Mapping[str, Any], report: Report = silent
) -> list[Path]:
    """Write the files of a phantom and its picture; return them in their final place."""
    report(Progress("writing", 0.0))
    write_phantom(folder.partial, phantom, choices)
    shells = ", ".join(f"{len(s.volumes)} at b={s.bvalue:.0f}" for s in phantom.scan.gradients.shells)
    noise = phantom.measurement
    kind = "without noise" if noise.snr is None else f"SNR {noise.snr:g}, {_counted(noise.coils, 'coil')}"
    phantom_figure(folder.partial / "phantom.png", phantom, f"{shells} s/mm² · {kind} · seed {noise.seed}")
    return folder.publish()
