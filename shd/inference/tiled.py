"""Dense deconvolution of a whole volume: overlapping boxes, each voxel computed once, memory set by the box.

Every box is a core with a halo of real context. Neighbouring boxes are blended where they meet, so that no seam shows
although the network's deepest levels see further than the halo. Boxes start on multiples of the network's spatial
pooling, so a tiled pass pools the same voxels together as a whole-volume pass. What a box holds beyond the mask is left
away: voxels outside the mask have no influence, and around a small scan they would be most of the work.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float16, Int
from torch import Tensor

from shd.errors import ResourceError, is_out_of_memory
from shd.fodf.field import FodField
from shd.graphs.hemisphere import vertex_directions
from shd.models.deconvolver import Deconvolver
from shd.scans.features import SphericalFeatures, spherical_features
from shd.scans.first_estimate import estimate_scan
from shd.scans.normalisation import NormalisedScan
from shd.scans.tiles import Tile, covering_tiles, tile_rows
from shd.signal.forward_model import forward_model
from shd.signal.response import Response
from shd.sphere.harmonics import coefficient_count, even_harmonics

__all__ = ["deconvolve"]


def deconvolve(
    model: Deconvolver,
    scan: NormalisedScan,
    responses: tuple[Response, ...],
    *,
    degree: int,
    core: int = 16,
    halo: int = 8,
    estimates: Float16[np.ndarray, "voxel scale unknown"] | None = None,
    on_tile: Callable[[int], None] = lambda voxels: None,
) -> FodField:
    """Return the fODFs of every masked voxel, amplitudes per response (scanner axes, MRtrix3 basis).

    model: in evaluation mode; its device is used. degree: of the white-matter coefficients. core, halo: voxels a side;
    memory grows as (core + 2·halo)³. estimates: the scan's, if `estimate_scan` was called before. on_tile: told how
    many voxels each tile finished. Where a voxel's signal is zero so is its fODF. Raises ResourceError when a box does
    not fit into memory.
    """
    device = next(model.parameters()).device
    vertices = vertex_directions(model.config.nside, model.config.hemisphere)
    features = spherical_features(scan.gradients, vertices, device)
    if estimates is None:
        estimates = estimate_scan(scan, responses, vertices, device)
    project = torch.from_numpy((even_harmonics(vertices, degree) / len(vertices)).astype(np.float32)).to(device)
    per_unit = forward_model(responses, scan.gradients, vertices).b0.numpy()
    wm = np.zeros((len(scan.b0), coefficient_count(degree)), dtype=np.float32)
    isotropic = np.zeros((len(scan.b0), len(responses) - 1), dtype=np.float32)
    total = np.zeros(len(scan.b0), dtype=np.float32)
    for tile, inner in covering_tiles(scan.rows, core, halo, model.config.spatial_factor):
        rows = tile_rows(scan.rows, tile)
        box = _occupied(rows, model.config.spatial_factor)
        rows = rows[box]
        inside = rows >= 0
        weight = _blending_weights(tile, inner)[box][inside]
        window = np.flatnonzero(weight)
        kept, weight = rows[inside][window], weight[window]
        try:
            fractions = _fractions(model, features, scan, estimates, rows)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise ResourceError(
                f"a box of {' × '.join(map(str, rows.shape))} voxels does not fit into memory; use a smaller core and "
                f"halo than {core} and {halo} voxels"
            ) from error
        wm[kept] += (fractions[0][:, window].T @ project).cpu().numpy() * weight[:, None]
        isotropic[kept] += fractions[1][window].cpu().numpy() * weight[:, None]
        total[kept] += weight
        on_tile(int(np.count_nonzero(_core_of(tile, inner)[box][inside])))
    wm *= (scan.b0 / (per_unit[0] * total))[:, None]
    isotropic *= (scan.b0 / total)[:, None] / (per_unit[1:] * np.sqrt(4 * np.pi))
    return _on_grid(scan, responses, wm, isotropic)


def _occupied(rows: Int[np.ndarray, "tx ty tz"], factor: int) -> tuple[slice, slice, slice]:
    """Return the smallest box that holds every voxel of the mask and starts and ends on multiples of `factor`."""
    spans = [np.flatnonzero((rows >= 0).any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    x, y, z = (slice(int(s[0]) // factor * factor, (int(s[-1]) // factor + 1) * factor) for s in spans)
    return x, y, z


def _blending_weights(tile: Tile, inner: Tile) -> Float[np.ndarray, "tx ty tz"]:
    """Return weights that are one deep inside the core and fall to zero a quarter of a halo outside it.

    Weights of neighbouring boxes add up to one; the outer three quarters of the halo are context alone.
    """
    weights = np.ones(tile.shape, dtype=np.float32)
    for axis in range(3):
        halo = inner.start[axis] - tile.start[axis]
        place = np.arange(tile.shape[axis]) - halo
        outside = np.maximum(-place, place - (inner.shape[axis] - 1))  # 0 on the core's last voxel, negative inside
        reach = halo // 4
        ramp = np.clip((reach + 1 - outside) / (2 * reach + 1), 0, 1)
        weights *= np.expand_dims(ramp.astype(np.float32), tuple(other for other in range(3) if other != axis))
    return weights


def _core_of(tile: Tile, inner: Tile) -> Bool[np.ndarray, "tx ty tz"]:
    core = np.zeros(tile.shape, dtype=bool)
    first = [inner.start[axis] - tile.start[axis] for axis in range(3)]
    core[tuple(slice(f, f + n) for f, n in zip(first, inner.shape, strict=True))] = True
    return core


@torch.no_grad()
def _fractions(
    model: Deconvolver,
    features: SphericalFeatures,
    scan: NormalisedScan,
    estimates: Float16[np.ndarray, "voxel scale unknown"],
    rows: Int[np.ndarray, "tx ty tz"],
) -> tuple[Tensor, Tensor]:
    """Return the fractions of the tile's masked voxels: (vertex, voxel) and (voxel, tissue)."""
    inside = rows >= 0
    device = features.shells.device
    signal = torch.from_numpy(scan.signal[rows[inside]]).to(device)
    mask = torch.from_numpy(inside.astype(np.float32))[None].to(device)
    first = torch.from_numpy(estimates[rows[inside]]).to(device).float()
    fractions = model(features(signal, first, mask), mask.unsqueeze(-1))
    chosen = mask.flatten() > 0
    return fractions.wm.flatten(1)[:, chosen], fractions.isotropic.flatten(0, 3)[chosen]


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
