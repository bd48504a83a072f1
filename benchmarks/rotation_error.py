"""How well rotations commute: graph filters by kernel width and nside, then whole networks.

Signals are even and band-limited, so that their rotation is exact: coefficients c, rotated Dc, sampled on the grid Sc.
Filters: ‖h(L)·S·Dc − S·D·S⁺·h(L)·Sc‖ / ‖h(L)·S·Dc‖, for random Chebyshev filters h of order 5. Networks (random): the
same for the harmonic coefficients of their fODF, degree 2 to 8; every voxel is turned alike.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from shd.graphs.hemisphere import vertex_directions
from shd.graphs.hierarchy import sphere_hierarchy
from shd.graphs.laplacian import hemisphere_laplacian
from shd.models.config import ModelConfig
from shd.models.deconvolver import Deconvolver
from shd.models.normalisation import MaskedBatchNorm
from shd.sphere.harmonics import coefficient_degrees, even_harmonics
from shd.sphere.rotations import harmonic_rotation, random_rotation

WIDTHS = (0.05, 0.07, 0.08, 0.09, 0.1, 0.11, 0.12, 0.15, 0.2, 0.3)
CONFIG = ModelConfig(9, ("wm", "gm", "csf"), width=4, kernel=1, spatial_poolings=0)


def rotations(count: int, degree: int, seed: int = 0) -> list[np.ndarray]:
    """Return uniformly drawn rotations as matrices on harmonic coefficients."""
    generator = np.random.default_rng(seed)
    return [harmonic_rotation(random_rotation(generator), degree) for _ in range(count)]


def flat_spectrum(degree: int, columns: int, seed: int = 0) -> np.ndarray:
    """Return random coefficients with the same power in every degree."""
    degrees = coefficient_degrees(degree)
    return np.random.default_rng(seed).standard_normal((len(degrees), columns)) / np.sqrt(2 * degrees + 1)[:, None]


def filter_error(nside: int, width: float, degree: int, filters: int = 16) -> float:
    """Return the mean relative error of random filters on signals up to `degree`."""
    basis = sphere_hierarchy(nside, 1, True, width).levels[0].basis
    values, vectors = basis.eigenvalues, basis.eigenvectors
    weights = np.random.default_rng(1).standard_normal((5, filters))
    response = np.polynomial.chebyshev.chebvander(values, 4) @ weights
    sample = even_harmonics(vertex_directions(nside), degree)
    project, signal = np.linalg.pinv(sample), flat_spectrum(degree, filters)

    def filtered(x: np.ndarray) -> np.ndarray:
        return vectors @ (response * (vectors.T @ x))

    errors = []
    for turn in rotations(8, degree):
        first, last = filtered(sample @ turn @ signal), sample @ turn @ project @ filtered(sample @ signal)
        errors.append(np.linalg.norm(first - last, axis=0) / np.linalg.norm(first, axis=0))
    return float(np.mean(errors))


def multiplet_spread(nside: int, width: float, degree: int) -> float:
    """Return the standard deviation of L⁺'s eigenvalues within multiplets 2 … degree, relative to their means."""
    degrees = coefficient_degrees(degree)
    values = np.linalg.eigvalsh(hemisphere_laplacian(nside, width).toarray())[: len(degrees)]
    multiplets = [values[degrees == l] for l in range(2, degree + 1, 2)]
    return float(np.sqrt(np.mean([m.var() / m.mean() ** 2 for m in multiplets])))


def settled(config: ModelConfig, features: torch.Tensor, mask: torch.Tensor, seed: int) -> Deconvolver:
    """Return a random network whose running statistics have met these features, with a head that listens to it."""
    torch.manual_seed(seed)
    model = Deconvolver(config)
    with torch.no_grad():
        model.wm.linear.weight.normal_(std=0.3)
        for part in model.modules():
            if isinstance(part, MaskedBatchNorm):
                part.momentum = 0.5  # four passes then count as much as thirty
        for _ in range(4):
            model(features, mask)
    return model.eval()


def network_error(config: ModelConfig, degree: int = 8, networks: int = 4, turns: int = 4) -> float:
    """Return the mean relative error of the fODF's coefficients (degree 2 to 8) over random networks and rotations.

    The tissues' first estimates are constant over the sphere: they enter the answer directly and would hide the error.
    """
    directions = vertex_directions(config.nside, config.hemisphere)
    sample, project = even_harmonics(directions, degree), np.linalg.pinv(even_harmonics(directions, 8))
    estimates, grid = 2 * len(config.tissues), (1, 2, 2, 2)
    signal = flat_spectrum(degree, 8 * (config.input_channels - estimates))
    mask = torch.ones(*grid, 1)

    def features(coefficients: np.ndarray) -> torch.Tensor:
        shells = torch.tensor(sample @ coefficients, dtype=torch.float32).reshape(len(sample), *grid, -1)
        return torch.cat([torch.full((len(sample), *grid, estimates), 0.3), shells], dim=-1)

    errors = []
    for seed in range(networks):
        model = settled(config, features(signal), mask, seed)

        def answer(coefficients: np.ndarray, model: Deconvolver = model) -> np.ndarray:
            with torch.no_grad():
                return project @ model(features(coefficients), mask).wm.flatten(1).numpy().astype(np.float64)

        still = answer(signal)
        for turn, turn_out in zip(rotations(turns, degree), rotations(turns, 8), strict=True):
            turned = answer(turn @ signal)
            errors.append(np.linalg.norm((turned - turn_out @ still)[1:]) / np.linalg.norm(turned[1:]))
    return float(np.mean(errors))


def print_widths(nsides: Sequence[int]) -> None:
    """Print filter error and multiplet spread, a row a width."""
    for title, measure in (("filter error", filter_error), ("spread of multiplets", multiplet_spread)):
        for band in ("2·nside", "8"):
            columns = [(nside, 2 * nside if band == "2·nside" else min(8, 2 * nside)) for nside in nsides]
            print(f"\n{title}, degrees up to {band}")
            print("σ at nside 8 " + "".join(f"{f'nside {nside}':>12s}" for nside, _ in columns))
            for width in WIDTHS:
                numbers = [measure(nside, width, degree) for nside, degree in columns]
                print(f"{width:12.2f} " + "".join(f"{number:12.4f}" for number in numbers))


def print_networks(nsides: Sequence[int]) -> None:
    """Print the error of whole networks, a row a number of levels."""
    print("\nnetwork error (fODF coefficients, degrees 2 to 8), signals up to degree 4 | 8")
    print("levels       " + "".join(f"{f'nside {nside}':>18s}" for nside in nsides))
    for levels in (1, 2, 3, 4):
        row = ""
        for nside in nsides:
            config = replace(CONFIG, nside=nside, levels=min(levels, nside.bit_length()))
            fits = levels <= nside.bit_length()
            row += f"{network_error(config, 4):9.4f}{network_error(config, 8):9.4f}" if fits else f"{'–':>18s}"
        print(f"{levels:12d} {row}")


def main(options: Sequence[str] = ()) -> None:
    """Print the tables of docs/graphs.md and docs/equivariance.md."""
    print_widths((2, 4, 8, 16))
    print_networks((4, 8, 16))


if __name__ == "__main__":
    main(sys.argv[1:])
