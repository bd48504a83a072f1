"""Small networks in any dtype, with running statistics and weights that are no longer those of the start."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from shd.engines.statistics import measured
from shd.graphs.hemisphere import vertex_count
from shd.models.config import ModelConfig
from shd.models.deconvolver import Deconvolver
from shd.models.normalisation import MaskedBatchNorm, Normalisation
from tests.support.symmetries import permuting_vertices

SHELLS = 2


def config(tissues=("wm", "gm", "csf"), nside=4, width=3, levels=2, **others) -> ModelConfig:
    return ModelConfig(2 * len(tissues) + SHELLS, tissues, nside, width, levels, **others)


# Every kind of network: the three published systems, fewer tissues, other norms, depths, kernels and orders.
CONFIGS = {
    "SHD": config(nside=8, levels=4, spatial_poolings=1),
    "RT-ESD": config(hemisphere=False),
    "ESD": config(kernel=1, spatial_poolings=0, hemisphere=False),
    "hemispherical ESD": config(kernel=1, spatial_poolings=0),
    "white matter alone": config(("wm",)),
    "two tissues": config(("wm", "csf")),
    "voxel norm": config(normalisation="voxel"),
    "no norm": config(normalisation="none"),
    "one level": config(levels=1, spatial_poolings=0),
    "three levels, two poolings": config(levels=3, spatial_poolings=2),
    "kernel 5": config(kernel=5),
    "order 1": config(order=1),
    "one convolution": config(convolutions=1),
}


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def settled(module: nn.Module, passes: Callable[[], object], count: int = 5) -> nn.Module:
    """Give biases, gains and heads random values, run passes in training mode, return the module in evaluation mode.

    The running statistics follow quickly to what the features are: an unsettled network would amplify rounding.
    """
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim <= 2:  # convolutions start random
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.add_(0.2 * noise.to(parameter))
        for part in module.modules():
            if isinstance(part, MaskedBatchNorm):
                part.momentum = 0.5
        module.train()
        for _ in range(count):
            passes()
    return module.eval()


def some_mask(grid: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> Tensor:
    """Return (batch, x, y, z, 1) with a ragged border: about three quarters of the voxels."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(*grid, 1, generator=generator) < 0.75).to(dtype)


def some_features(shape: ModelConfig, grid: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> Tensor:
    """Return features of every voxel, outside the mask too; none is negative, as amounts and signals are."""
    generator = torch.Generator().manual_seed(seed)
    size = (vertex_count(shape.nside, shape.hemisphere), *grid, shape.input_channels)
    return torch.randn(size, generator=generator, dtype=torch.float64).abs().to(dtype)


def grid_for(shape: ModelConfig) -> tuple[int, int, int, int]:
    """Return a small (batch, x, y, z) with unequal sides, which the network can pool."""
    if shape.nside == 8:
        return 1, 2, 4, 2
    return (1, 4, 8, 4) if shape.spatial_factor == 4 else (2, 4, 6, 2)


@lru_cache(maxsize=64)
def _settled_deconvolver(shape: ModelConfig, dtype: torch.dtype) -> Deconvolver:
    torch.manual_seed(0)
    grid = grid_for(shape)
    with default_dtype(dtype):
        model = Deconvolver(shape)
    mask = some_mask(grid, dtype, seed=5)
    seeds = iter(range(10, 100))
    settled(model, lambda: model(some_features(shape, grid, dtype, next(seeds)), mask))
    return model


def settled_deconvolver(shape: ModelConfig, dtype: torch.dtype) -> Deconvolver:
    """Return a network of the caller's own."""
    return deepcopy(_settled_deconvolver(shape, dtype))


def normalised(norm: Normalisation, x: Tensor, mask: Tensor) -> Tensor:
    """Return what a normalisation makes of a field: its own answer to the field's statistics, multiplied and added."""
    statistics = None
    if norm.needs is not None:
        statistics = measured(x, torch.ones(len(x), dtype=x.dtype), mask, len(x), norm.needs == "channel")
    scale, shift = norm(statistics, mask)
    return x * scale + shift


def packed(features: Tensor, mask: Tensor) -> Tensor:
    """Return features and mask as one tensor, so that one transform acts on both."""
    return torch.cat([features, mask.expand(len(features), *mask.shape)], dim=-1)


def answering(model: Deconvolver) -> Callable[[Tensor], Tensor]:
    """Return the map from packed input to the answer (row, batch, x, y, z): vertices, then isotropic tissues."""

    def answer(x: Tensor) -> Tensor:
        with torch.no_grad():
            found = model(x[..., :-1], x[0, ..., -1:])
        return torch.cat([found.wm, found.isotropic.movedim(-1, 0)])

    return answer


def turning_white_matter(permutation: np.ndarray, tissues: tuple[str, ...]) -> Callable[[Tensor], Tensor]:
    """Return what a rotation on the sphere does to an answer: vertices move, the rows of isotropic tissues stay."""
    count = len(permutation)
    return permuting_vertices(np.concatenate([permutation, np.arange(count, count + len(tissues) - 1)]))
