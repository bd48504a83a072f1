"""Scans of random anatomy, protocol, tissue and noise, without end: what a network for any scan is trained on."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from shd.errors import SimulationError
from shd.signal.gradients import Gradients, Shell
from shd.signal.response import Response
from shd.simulation.centreline import trace
from shd.simulation.families import family_geometry
from shd.simulation.geometry import Geometry
from shd.simulation.phantoms import Measurement, Phantom, simulate
from shd.simulation.protocols import Protocol, protocol_gradients
from shd.simulation.tissues import Fibre
from shd.sphere.rotations import random_rotation

__all__ = ["BVALUES", "DIRECTIONS", "SNR", "VOXEL_MM", "random_protocol", "random_scan", "reaching"]

BVALUES = (500.0, 5000.0)
"""Range of b-values, s/mm²."""

DIRECTIONS = (6.0, 128.0)
"""Range of directions a shell."""

SNR = (7.0, 70.0)
"""Range of the b=0 signal over the noise's deviation."""

VOXEL_MM = (1.0, 3.0)
"""Range of voxel sizes, mm."""

_SHELLS = (0.5, 0.2, 0.2, 0.1)  # how often a protocol has 1, 2, 3 and 4 shells
_FEWEST_APART = 1.25  # ratio of b between neighbouring shells
_MOST_VOLUMES = 200  # more only cost time: their noise is that of fewer at a higher SNR
_FAMILIES = {"tangle": 0.6, "brain": 0.25, "crossing": 0.05, "fanning": 0.04, "kissing": 0.03, "bending": 0.03}
_LEAST_WHITE_MATTER = 0.1  # of the box
_TRIES = 50
_TISSUES_OF_ONE_SHELL = (slice(0, 1), slice(0, 3, 2), slice(0, 3))  # white matter; with CSF; all, each as often


def random_protocol(generator: np.random.Generator) -> Protocol:
    """Return 1 to 4 shells within `BVALUES` of as many directions as `DIRECTIONS` allows, at most 200 in all."""
    count = int(generator.choice(4, p=_SHELLS)) + 1
    while True:
        bvalues = np.sort(np.round(_log_uniform(generator, BVALUES, count) / 50) * 50)
        if (bvalues[1:] >= _FEWEST_APART * bvalues[:-1]).all():
            break
    directions = _log_uniform(generator, DIRECTIONS, count)
    directions = np.maximum(np.round(directions * min(1.0, _MOST_VOLUMES / directions.sum())), DIRECTIONS[0])
    shells = tuple((float(b), int(n)) for b, n in zip(bvalues, directions, strict=True))
    return Protocol("random", int(generator.integers(1, 9)), shells)


def random_scan(seed: int, side: int = 20) -> tuple[Phantom, tuple[Response, ...]]:
    """Return a random scan of side³ voxels, and responses such as one would estimate: near the true ones.

    Anatomy: mostly tangles and parts of brains, cut and turned at random. Voxels are cubes or a little longer along one
    axis. Two kinds of fibres differ a little in one scan. Noise is Rician, sometimes of four coils. Responses: of white
    matter alone, with CSF, or of all three tissues for one shell, of all three for more.
    """
    generator = np.random.default_rng([seed, 5])
    gradients = _turned(protocol_gradients(random_protocol(generator)), generator)
    snr = float(_log_uniform(generator, SNR, 1)[0])
    coils = 4 if generator.random() < 0.1 else 1
    stick, along = generator.uniform(0.4, 0.8), generator.uniform(1.3e-3, 2.3e-3)
    fibre = Fibre(stick, along, along * generator.uniform(0.1, 0.5))
    for _ in range(_TRIES):
        geometry, affine = _random_part(generator, side)
        kinds = (fibre, _changed(fibre, generator, 0.1))
        bundles = tuple(replace(b, fibre=kinds[int(generator.integers(2))]) for b in geometry.bundles)
        measurement = Measurement(snr, coils, seed, subsamples=3)
        try:
            phantom = simulate(replace(geometry, bundles=bundles), gradients, (side,) * 3, affine, measurement)
        except SimulationError:  # nothing but air in the box
            continue
        if phantom.tissue_fractions[..., 0].mean() >= _LEAST_WHITE_MATTER:
            return phantom, _estimated(phantom.responses, generator)
    raise SimulationError(f"seed {seed}: {_TRIES} boxes of {side} voxels a side held too little white matter")


def _random_part(generator: np.random.Generator, side: int) -> tuple[Geometry, Float[np.ndarray, "4 4"]]:
    """Return a geometry with those bundles that reach a random box of it, and the box as an affine."""
    family = str(generator.choice(list(_FAMILIES), p=list(_FAMILIES.values())))
    seed = int(generator.integers(1 << 40, 1 << 41))  # no seed that anyone types
    size = float(_log_uniform(generator, VOXEL_MM, 1)[0])
    choices: dict[str, float | int] = {}
    if family == "tangle":
        choices = {"bundles": int(generator.integers(4, 21)), "extent": size * side * generator.uniform(0.9, 1.8)}
    elif family != "brain":
        choices = {"angle": generator.uniform(25.0, 90.0)}
        size = generator.uniform(1.5, 2.2)
    geometry = family_geometry(family, seed=seed, **choices)
    sizes = np.full(3, size)
    if generator.random() < 0.2:
        sizes[int(generator.integers(3))] *= generator.uniform(1.0, 1.5)
    rotation = random_rotation(generator)
    slack = np.maximum(geometry.extent - sizes.min() * side, 0.0) / 2
    centre = 0.8 * slack * generator.uniform(-1, 1, 3)
    affine = np.eye(4)
    affine[:3, :3] = rotation * sizes
    affine[:3, 3] = centre - affine[:3, :3] @ np.full(3, (side - 1) / 2)
    return reaching(geometry, affine, side), affine


def reaching(geometry: Geometry, affine: Float[np.ndarray, "4 4"], side: int) -> Geometry:
    """Return a geometry with those bundles alone whose middle enters a box of side³ voxels; with all if none does."""
    reached = tuple(bundle for bundle in geometry.bundles if _enters(trace(bundle).points, affine, side))
    return replace(geometry, bundles=reached) if reached else geometry


def _enters(points: Float[np.ndarray, "sample 3"], affine: Float[np.ndarray, "4 4"], side: int) -> bool:
    at = (points - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    return bool(((at >= -0.5) & (at <= side - 0.5)).all(axis=1).any())


def _estimated(
    responses: tuple[Response, ...], generator: np.random.Generator
) -> tuple[Response, ...]:
    """Return the responses as estimated from a scan: a few per cent beside the truth, and not always of all tissues."""
    shells = len(responses[0].bvalues) - 1
    kept = responses if shells > 1 else responses[_TISSUES_OF_ONE_SHELL[int(generator.integers(3))]]
    return tuple(_off(response, generator) for response in kept)


def _off(response: Response, generator: np.random.Generator) -> Response:
    """Return a response with each shell's signal up to some per cent higher or lower, and the l > 0 part as well."""
    factors = np.exp(0.02 * generator.standard_normal(response.coefficients.shape))
    factors[:, 1:] *= np.exp(0.05 * generator.standard_normal())
    factors[0] = 1.0  # the unit of everything
    decay = np.exp(0.05 * generator.standard_normal() * response.bvalues / 3000.0)
    return replace(response, coefficients=response.coefficients * factors * decay[:, None])


def _changed(fibre: Fibre, generator: np.random.Generator, share: float) -> Fibre:
    stick, parallel, perpendicular = np.exp(share * generator.uniform(-1, 1, 3))
    return Fibre(
        min(1.0, fibre.stick_fraction * stick),
        fibre.parallel * parallel,
        min(fibre.perpendicular * perpendicular, fibre.parallel * parallel),
    )


def _turned(gradients: Gradients, generator: np.random.Generator) -> Gradients:
    """Return the table turned as a whole, each direction moved by some degrees: even sets are not the only ones."""
    directions = gradients.directions @ random_rotation(generator).T
    moved = directions + generator.uniform(0.0, 0.15) * generator.standard_normal(directions.shape)
    norms = np.linalg.norm(moved, axis=1, keepdims=True)
    weighted = (gradients.bvalues > 0)[:, None]
    directions = np.where(weighted, moved / np.maximum(norms, 1e-12), 0.0)
    shells = tuple(Shell(shell.bvalue, shell.volumes) for shell in gradients.shells)
    return Gradients(gradients.bvalues, directions, shells)


def _log_uniform(
    generator: np.random.Generator, ends: tuple[float, float], count: int
) -> Float[np.ndarray, " count"]:
    return np.exp(generator.uniform(np.log(ends[0]), np.log(ends[1]), count))
