"""Dense deconvolution of a whole volume: overlapping boxes, each voxel answered once, memory set by the box.

Every box is a core with a halo of real context. The network's last stage, which costs most, is computed on the core and
the little that its convolutions see around it. Boxes start on multiples of the network's spatial pooling, so a tiled
pass pools the same voxels together as a whole-volume pass. What a box holds beyond the mask is left away: voxels
outside the mask have no influence, and around a small scan they would be most of the work.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float16, Int
from torch import Tensor

from shd.engines.choice import choose_engine
from shd.errors import ResourceError, is_out_of_memory
from shd.fodf.field import FodField
from shd.graphs.hemisphere import vertex_directions
from shd.graphs.spatial import distance_classes
from shd.inference.amounts import Amounts, amounts_by_signal
from shd.inference.memory import best_cores, voxels_that_fit
from shd.models.config import ModelConfig
from shd.models.deconvolver import Deconvolver
from shd.scans.coherent_estimate import estimate_scan, relative_noise
from shd.scans.features import SphericalFeatures
from shd.scans.fibre_features import FibreFeatures
from shd.scans.first_estimate import design
from shd.scans.network_input import network_input
from shd.scans.normalisation import NormalisedScan
from shd.scans.tiles import Tile, covering_tiles, mask_spans, tile_rows
from shd.signal.forward_model import forward_model
from shd.signal.response import Response
from shd.sphere.harmonics import coefficient_count, even_harmonics, gaussian_factors

__all__ = ["HALO", "deconvolve"]


HALO = 6
"""Voxels around a core. On two real scans boxes with this halo answer as one pass does (5e-7 of the largest fODF)."""

_PIXEL_DEGREES = {"shells": 3.0, "fibre": 5.0}
"""Width (σ) of what stands at a vertex in the fODFs written. Pixels at nside 8 are 7° wide; without any width the side
lobes of the harmonics make small peaks beside large ones (docs/accuracy.md). Networks that were trained with truth put
a fibre on fewer vertices than the estimate does: with 3° peaks from a tenth of the highest have an F1 .01 lower."""


def deconvolve(
    model: Deconvolver,
    scan: NormalisedScan,
    responses: tuple[Response, ...],
    *,
    degree: int,
    core: int | None = None,
    halo: int = HALO,
    estimates: Float16[np.ndarray, "voxel scale unknown"] | None = None,
    noise: Float[np.ndarray, " voxel"] | None = None,
    bfloat16: bool = False,
    on_tile: Callable[[int], None] = lambda voxels: None,
) -> FodField:
    """Return the fODFs of every masked voxel, amplitudes per response (scanner axes, MRtrix3 basis).

    model: in evaluation mode; its device is used. degree: of the white-matter coefficients. core, halo: voxels a side;
    memory grows as (core + 2·halo)³; without `core` boxes are what `voxels_that_fit` allows. estimates,
    noise: the scan's, if `estimate_scan` and `relative_noise` were called before. bfloat16: products of the network in
    half precision, a third quicker for wide networks; fODFs then differ by 0.3 %. on_tile: told how many voxels each
    tile finished. Where a voxel's signal is zero so is its fODF. Raises ResourceError when a box does not fit into
    memory.
    """
    device = next(model.parameters()).device
    config = model.config
    vertices = vertex_directions(config.nside, config.hemisphere)
    noise = relative_noise(scan) if noise is None else noise
    features = network_input(config, responses, scan.gradients, vertices, noise, device)
    if estimates is None:
        estimates = estimate_scan(scan, responses, vertices, device, noise=noise)
    by_truth = config.features == "fibre"  # other networks are trained by the signal: amounts are its already
    amounts = amounts_by_signal(design(responses, scan.gradients, vertices), device) if by_truth else None
    project = torch.from_numpy(_harmonics_of_pixels(vertices, degree, _PIXEL_DEGREES[config.features])).to(device)
    per_unit = forward_model(responses, scan.gradients, vertices).b0.numpy()
    wm = np.zeros((len(scan.b0), coefficient_count(degree)), dtype=np.float32)
    isotropic = np.zeros((len(scan.b0), len(responses) - 1), dtype=np.float32)
    engine = choose_engine(model.unet.engine, project[:0], len(distance_classes(config.kernel))).name
    spans, voxels = mask_spans(scan.rows, config.spatial_factor), voxels_that_fit(config, device, engine)
    cores = core or best_cores(spans, halo, config.spatial_factor, voxels)
    for tile, inner in covering_tiles(scan.rows, cores, halo, config.spatial_factor):
        box, window = _box_and_window(scan.rows, tile, inner, config)
        rows = tile_rows(scan.rows, box)
        try:
            fractions = _fractions(model, features, amounts, scan, estimates, noise, rows, window, bfloat16)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise ResourceError(
                f"a box of {' × '.join(map(str, rows.shape))} voxels does not fit into memory; use a smaller core and "
                f"halo than {cores} and {halo} voxels"
            ) from error
        chosen = np.flatnonzero(_core_of(box, window, inner)[rows[window] >= 0])
        kept = rows[window][rows[window] >= 0][chosen]
        wm[kept] = (fractions[0][:, chosen].T @ project).cpu().numpy()
        isotropic[kept] = fractions[1][chosen].cpu().numpy()
        del fractions
        on_tile(len(kept))
    wm *= (scan.b0 / per_unit[0])[:, None]
    isotropic *= scan.b0[:, None] / (per_unit[1:] * np.sqrt(4 * np.pi))
    return _on_grid(scan, responses, wm, isotropic)


def _harmonics_of_pixels(
    vertices: Float[np.ndarray, "vertex 3"], degree: int, width: float
) -> Float[np.ndarray, "vertex coeff"]:
    """Return the harmonics of one unit at each vertex: a Gaussian, narrower than its pixel."""
    harmonics = even_harmonics(vertices, degree) * gaussian_factors(degree, width)
    return (harmonics / len(vertices)).astype(np.float32)


def _box_and_window(
    rows: Int[np.ndarray, "x y z"], tile: Tile, inner: Tile, config: ModelConfig
) -> tuple[Tile, tuple[slice, slice, slice]]:
    """Return the part of the tile that holds mask, and where in it the core lies with what the last stage sees."""
    factor, sight = config.spatial_factor, config.convolutions * (config.kernel // 2)
    held = tile_rows(rows, tile) >= 0
    start, shape, window = [], [], []
    for axis in range(3):
        span = np.flatnonzero(held.any(axis=tuple({0, 1, 2} - {axis})))
        first = tile.start[axis] + int(span[0]) // factor * factor
        last = tile.start[axis] + (int(span[-1]) // factor + 1) * factor
        low = (inner.start[axis] - sight) // factor * factor
        high = -(-(inner.start[axis] + inner.shape[axis] + sight) // factor) * factor
        start.append(first)
        shape.append(last - first)
        window.append(slice(max(low, first) - first, min(high, last) - first))
    return Tile((start[0], start[1], start[2]), (shape[0], shape[1], shape[2])), (window[0], window[1], window[2])


def _core_of(box: Tile, window: tuple[slice, slice, slice], inner: Tile) -> Bool[np.ndarray, "wx wy wz"]:
    """Return which voxels of the window belong to the core."""
    core = np.zeros([part.stop - part.start for part in window], dtype=bool)
    spans = []
    for axis, part in enumerate(window):
        first = inner.start[axis] - box.start[axis] - part.start
        spans.append(slice(max(first, 0), max(first + inner.shape[axis], 0)))
    core[tuple(spans)] = True
    return core


@torch.no_grad()
def _fractions(
    model: Deconvolver,
    features: SphericalFeatures | FibreFeatures,
    amounts: Amounts | None,
    scan: NormalisedScan,
    estimates: Float16[np.ndarray, "voxel scale unknown"],
    noise: Float[np.ndarray, " voxel"],
    rows: Int[np.ndarray, "tx ty tz"],
    window: tuple[slice, slice, slice],
    bfloat16: bool,
) -> tuple[Tensor, Tensor]:
    """Return the fractions of the window's masked voxels: (vertex, voxel) and (voxel, tissue)."""
    inside = rows >= 0
    device = next(model.parameters()).device
    mask = torch.from_numpy(inside.astype(np.float32))[None].to(device)
    parts = scan.signal, estimates, noise
    signal, first, deviation = (torch.from_numpy(part[rows[inside]]).to(device) for part in parts)
    given = [features(signal, first.float(), deviation, mask)]  # held there alone: their memory serves the network
    del signal, first, deviation
    with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):  # what surrounds the network stays exact
        fractions = model.consume(given, mask.unsqueeze(-1), window).of(features.answers)
    chosen = mask[0][window].flatten() > 0
    wm, isotropic = fractions.wm.flatten(1)[:, chosen], fractions.isotropic.flatten(0, 3)[chosen]
    if amounts is None:
        return wm, isotropic
    kept = rows[window][inside[window]]
    measured, deviation = (torch.from_numpy(part[kept]).to(device) for part in (scan.signal, noise))
    return amounts(wm.float(), isotropic.float(), measured, deviation)


def _on_grid(
    scan: NormalisedScan,
    responses: tuple[Response, ...],
    wm: Float[np.ndarray, "voxel coeff"],
    isotropic: Float[np.ndarray, "voxel tissue"],
) -> FodField:
    mask = scan.rows >= 0
    field = np.zeros((*mask.shape, wm.shape[1]), dtype=np.float32)
    field[mask] = wm
    volumes = {}
    for index, response in enumerate(responses[1:]):
        volumes[response.tissue] = np.zeros(mask.shape, dtype=np.float32)
        volumes[response.tissue][mask] = isotropic[:, index]
    return FodField(field, volumes, scan.affine, mask)
