"""The layers that `benchmarks.layer` and `benchmarks.scaling` time, built at any size with equal weights."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from benchmarks.harness.cases import Case, Work
from benchmarks.harness.floors import LayerWork, MachineRates
from benchmarks.harness.precision import built_in
from benchmarks.published.layout import from_published, to_published
from benchmarks.published.ponita import PonitaConvolution
from benchmarks.published.rt_esd import RecurrentConvolution
from benchmarks.published.shd_published import PublishedConvolution
from shd.engines import ENGINES, set_engine
from shd.graphs.hierarchy import Level, sphere_hierarchy
from shd.models.spatio_spherical import SpatioSphericalConvolution

__all__ = ["FAST_ENGINES", "RIVAL", "SYSTEMS", "TRUTH", "LayerProblem", "LayerSize", "System", "answers"]

ORDER, KERNEL = 5, 3
RIVAL = "published SHD, float32"

TIMED_ENGINES = tuple(name for name in ENGINES if name != "auto")
"""Every engine by its own name: "auto" is one of the others."""

FAST_ENGINES = tuple(name for name in TIMED_ENGINES if name != "reference")
"""The engines that whole networks are timed on: the reference is the definition written out, and slow."""

TRUTH = "torch"
"""The engine whose answers in double precision the others are compared with: exact there, and fast enough."""


@dataclass(frozen=True)
class LayerSize:
    """nside of the finest sphere, channels, voxels along each side of the cube."""

    nside: int = 8
    channels_in: int = 32
    channels_out: int = 64
    voxels: int = 8

    def __str__(self) -> str:
        """Return the size as titles have it."""
        return f"{self.channels_in}→{self.channels_out} channels, nside {self.nside}, {self.voxels}³ voxels"


@dataclass(frozen=True)
class System:
    """A way to compute a layer.

    build: from level and channels. to_own, from_own: between shd's order of axes and the system's. shared: whether it
    has shd's weights and so computes shd's function. dtype: of the products, by autocast where it is bfloat16.
    engine: shd's, if it is one.
    """

    name: str
    build: Callable[[Level, int, int], nn.Module]
    to_own: Callable[[Tensor], Tensor]
    from_own: Callable[[Tensor], Tensor]
    hemisphere: bool = True
    shared: bool = True
    dtype: str = "float32"
    engine: str | None = None


def _same(x: Tensor) -> Tensor:
    return x


def _published(level: Level, channels_in: int, channels_out: int) -> nn.Module:
    return PublishedConvolution(level, channels_in, channels_out, ORDER, KERNEL)


def _recurrent(level: Level, channels_in: int, channels_out: int) -> nn.Module:
    return RecurrentConvolution(level, channels_in, channels_out, ORDER, KERNEL)


def _ponita(level: Level, channels_in: int, channels_out: int) -> nn.Module:
    return PonitaConvolution(level.directions, channels_in, channels_out)


def _ours(engine: str) -> Callable[[Level, int, int], nn.Module]:
    def build(level: Level, channels_in: int, channels_out: int) -> nn.Module:
        layer = SpatioSphericalConvolution(level, channels_in, channels_out, ORDER, KERNEL)
        set_engine(layer, engine)
        return layer

    return build


def _channel_first(x: Tensor) -> Tensor:
    """Return (batch, channel, vertex, x, y, z) of (vertex, batch, x, y, z, channel)."""
    return x.permute(1, 5, 0, 2, 3, 4).contiguous()


def _channel_last(x: Tensor) -> Tensor:
    """Return (vertex, batch, x, y, z, channel) of (batch, channel, vertex, x, y, z)."""
    return x.permute(2, 0, 3, 4, 5, 1).contiguous()


SYSTEMS = (
    System(RIVAL, _published, to_published, from_published),
    System("published SHD, bfloat16", _published, to_published, from_published, dtype="bfloat16"),
    System("RT-ESD, float32", _recurrent, to_published, from_published, hemisphere=False),
    System("RT-ESD, bfloat16", _recurrent, to_published, from_published, hemisphere=False, dtype="bfloat16"),
    System("PONITA, float32", _ponita, _channel_first, _channel_last, shared=False),
    System("PONITA, bfloat16", _ponita, _channel_first, _channel_last, shared=False, dtype="bfloat16"),
    *(System(f"shd {name}, {dtype}", _ours(name), _same, _same, dtype=dtype, engine=name)
      for name in TIMED_ENGINES for dtype in ("float32", "bfloat16")),
)  # fmt: skip


_TRUTH = System("truth", _ours(TRUTH), _same, _same)


class LayerProblem:
    """Input, weights and the answers in double precision, shared by all systems of one size."""

    def __init__(self, size: LayerSize) -> None:
        self.size = size
        generator = torch.Generator().manual_seed(0)
        grid = (1, size.voxels, size.voxels, size.voxels)
        vertices = {half: self.level(half).vertices for half in (True, False)}
        self.inputs = {
            half: torch.randn(count, *grid, size.channels_in, generator=generator) for half, count in vertices.items()
        }
        self.cotangents = {
            half: torch.randn(count, *grid, size.channels_out, generator=generator) for half, count in vertices.items()
        }
        torch.manual_seed(0)
        ours = SpatioSphericalConvolution(self.level(True), size.channels_in, size.channels_out, ORDER, KERNEL)
        self.weights = {name: value.clone() for name, value in ours.state_dict().items()}
        self._known: dict[tuple[str, bool, bool], list[Tensor]] = {}

    def level(self, hemisphere: bool) -> Level:
        """Return the sphere or half-sphere."""
        return sphere_hierarchy(self.size.nside, 1, hemisphere).levels[0]

    def module(self, system: System, dtype: torch.dtype) -> nn.Module:
        """Return the system's layer with the shared weights, or with weights of its own that never change."""

        def build() -> nn.Module:
            return system.build(self.level(system.hemisphere), self.size.channels_in, self.size.channels_out)

        torch.manual_seed(0)
        weights = self.weights if system.shared else built_in(torch.float32, build).state_dict()
        return built_in(dtype, build, weights)

    def expected(self, system: System, backward: bool) -> list[Tensor]:
        """Return `answers` in double precision; shd's own where the system computes shd's function."""
        truth = replace(_TRUTH, hemisphere=system.hemisphere) if system.shared else replace(system, dtype="float32")
        key = (truth.name, truth.hemisphere, backward)
        if key not in self._known:
            x, cotangent = self.inputs[truth.hemisphere].double(), self.cotangents[truth.hemisphere].double()
            self._known[key] = answers(truth, self.module(truth, torch.float64), x, cotangent if backward else None)
        return self._known[key]

    def case(self, system: System, backward: bool, rates: MachineRates | None = None, check: bool = True) -> Case:
        """Return the row of one system: the forward pass, or with `backward` that and the gradients.

        rates: to give the floor, which is shd's function's for every system. check: against double precision, which
        takes longer than the timing.
        """
        return Case(system.name, lambda: self._work(system, backward, rates, check))

    def _work(self, system: System, backward: bool, rates: MachineRates | None, check: bool) -> Work:
        module = self.module(system, torch.float32)
        x, cotangent = self.inputs[system.hemisphere], self.cotangents[system.hemisphere] if backward else None
        own = system.to_own(x)
        own_cotangent = None if cotangent is None else system.to_own(cotangent)
        size = self.size
        work = LayerWork(size.nside, size.voxels**3, size.channels_in, size.channels_out)
        return Work(
            call=lambda: _passes(system, module, own, own_cotangent),
            answer=(lambda: answers(system, module, x, cotangent)) if check else None,
            expected=(lambda: self.expected(system, backward)) if check else None,
            floor=None if rates is None else work.floor(rates, backward, system.dtype),
            amount=float(size.voxels**3),
        )


def _passes(
    system: System, module: nn.Module, x: Tensor, cotangent: Tensor | None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return the answer, and with a cotangent the gradients of the input and all weights: what is timed."""
    x = x.detach().requires_grad_(cotangent is not None)
    precision = torch.autocast("cpu", torch.bfloat16, enabled=system.dtype == "bfloat16")
    with torch.set_grad_enabled(cotangent is not None), precision:
        y = module(x)
    if cotangent is None:
        return y, ()
    return y.detach(), torch.autograd.grad(y, [x, *module.parameters()], cotangent.to(y.dtype))


def answers(system: System, module: nn.Module, x: Tensor, cotangent: Tensor | None) -> list[Tensor]:
    """Return the answer and, with a cotangent, the gradients of the input (both in shd's order of axes) and weights."""
    own_cotangent = None if cotangent is None else system.to_own(cotangent)
    y, gradients = _passes(system, module, system.to_own(x), own_cotangent)
    return [system.from_own(y), *(system.from_own(g) for g in gradients[:1]), *gradients[1:]]
