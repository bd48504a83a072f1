"""Convolutions of every size and kind, run with an engine and compared with the reference."""

from dataclasses import dataclass

import torch
from hypothesis import strategies as st

from shd.engines.choice import choose_engine
from shd.graphs.hierarchy import sphere_hierarchy


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


RADII = {1: 1, 3: 4}
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


@dataclass(frozen=True)
class Case:
    """One mix, and what surrounds it: sources, their sizes and places, and what is asked for."""

    nside: int = 2
    hemisphere: bool = True
    batch: int = 1
    grid: tuple[int, int, int] = (2, 4, 3)
    channels: tuple[int, ...] = (3,)
    outputs: int = 4
    order: int = 5
    size: int = 3
    halved: tuple[bool, ...] = (False,)
    lifted: bool = False  # the first source comes from the next coarser level
    statistics: str | None = "channel"
    seed: int = 0

    @property
    def levels(self):
        return sphere_hierarchy(self.nside, 2 if self.lifted else 1, self.hemisphere).levels

    def tensors(self, dtype):
        """Return (sources, weight, scale, shift, mask), all but the mask waiting for their gradients."""
        generator = torch.Generator().manual_seed(self.seed)

        def noise(*shape):
            return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()

        half = tuple(side // 2 for side in self.grid)
        sources = []
        for index, (count, halved) in enumerate(zip(self.channels, self.halved, strict=True)):
            level = self.levels[1 if self.lifted and index == 0 else 0]
            sources.append(noise(level.vertices, self.batch, *(half if halved else self.grid), count))
        weight = noise(self.order, RADII[self.size], sum(self.channels), self.outputs)
        columns = (self.batch, *self.grid, self.outputs)
        mask = (torch.rand(self.batch, *self.grid, 1, generator=generator) < 0.7).to(dtype)
        return sources, weight, noise(*columns), noise(*columns), mask


@st.composite
def cases(draw):
    count = draw(st.integers(1, 2))
    halved = [draw(st.booleans()) for _ in range(count)]
    sides = st.sampled_from([2, 4]) if any(halved) else st.integers(1, 5)
    nside = draw(st.sampled_from([1, 2, 4]))
    # around the widths of vectors and tiles, and anything else
    channels = st.one_of(st.sampled_from([1, 7, 8, 9, 15, 16, 17, 31, 32, 33]), st.integers(1, 40))
    return Case(
        nside,
        draw(st.booleans()),
        draw(st.integers(1, 2)),
        (draw(sides), draw(sides), draw(sides)),
        tuple(draw(channels) for _ in range(count)),
        draw(channels),
        draw(st.integers(1, 6)),
        draw(st.sampled_from([1, 3])),
        tuple(halved),
        draw(st.booleans()) and nside > 1,
        draw(st.sampled_from([None, "voxel", "channel"])),
        draw(st.integers(0, 1000)),
    )


def enter(engine, case, sources):
    """Return the sources in the engine's representation, the first of them lifted to the finest level if need be."""
    entered = [engine.enter(source, case.levels[int(case.lifted and not i)]) for i, source in enumerate(sources)]
    if case.lifted:
        entered[0] = engine.lift(entered[0], case.levels[1], case.levels[0])
    return entered


def run(name, case, dtype):
    """Return everything that comes out: fields, activations, statistics, and the gradients of all that went in."""
    sources, weight, scale, shift, mask = case.tensors(dtype)
    engine, level = choose_engine(name, sources[0], weight.shape[1]), case.levels[0]
    assert engine.name == name
    z, statistics = engine.mix(enter(engine, case, sources), level, weight, mask, case.statistics)
    columns = scale * mask, shift * mask
    found = {
        "field": engine.leave(z, level),
        "activations": engine.leave(z, level, *columns),
        "turned": engine.leave(engine.turn(z, level, *columns), level),
    }
    if case.statistics is not None:
        assert statistics.vertices == level.vertices
        found["voxel power"] = statistics.voxel_power
        if case.statistics == "channel":
            found |= {"channel power": statistics.channel_power, "channel total": statistics.channel_total}
    else:
        assert statistics is None
    total = sum((probe(value, index) for index, value in enumerate(found.values())), start=torch.zeros(()))
    inputs = {**{f"source {i}": s for i, s in enumerate(sources)}, "weight": weight, "scale": scale, "shift": shift}
    gradients = torch.autograd.grad(total, list(inputs.values()))
    return {**found, **{f"gradient of {n}": g for n, g in zip(inputs, gradients, strict=True)}}


def probe(value, seed):
    """Return a random linear function of a result, so that its gradient reaches every element by another number."""
    direction = torch.randn(value.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (value * direction.to(value.dtype)).sum() / max(float(value.detach().abs().max()), 1e-3)


def assert_equals_reference(engine, case, dtype):
    """Compare an engine with the reference in double precision, relative to the largest element.

    An activation within rounding of zero may be cut off by one engine and not by the other, which changes its gradient
    by more than rounding: then only the values are compared.
    """
    found, expected = run(engine, case, dtype), run("reference", case, torch.float64)
    assert found.keys() == expected.keys()
    cut_otherwise = bool(((expected["activations"] > 0) != (found["activations"] > 0)).any())
    for name, value in expected.items():
        if name.startswith("gradient") and cut_otherwise:
            continue
        assert found[name].shape == value.shape, name
        assert found[name].dtype == dtype, name
        largest = float(value.detach().abs().max())
        if name == "channel total":  # terms of both signs, which leave little beside their size
            terms = expected["field"].detach()
            largest = float(terms.square().sum(dim=(0, 1, 2, 3, 4)).max() * (terms.numel() / len(value))) ** 0.5
        error = float((found[name] - value).detach().abs().max())
        tolerance = TOLERANCE[dtype]
        if name.startswith("gradient"):  # a sum over every voxel and vertex, in single precision
            tolerance *= 10
        assert error <= tolerance * max(largest, 1e-3), (name, error, largest)


# Where work is cut into parts: long lines, more lines than a part holds, odd parts of a halved source, many channels.
CUTS = {
    "one long line": Case(1, grid=(1, 1, 130), channels=(3,)),
    "lines in parts": Case(1, grid=(2, 30, 9), channels=(5,), outputs=7),
    "lines in odd parts of a halved source": Case(1, grid=(2, 22, 10), channels=(5, 2), halved=(True, False)),
    "many channels in": Case(1, grid=(2, 7, 5), channels=(150, 70), outputs=3, halved=(False, False)),
    "many channels out": Case(1, grid=(2, 7, 5), channels=(3,), outputs=200),
    "many voxels, one channel": Case(1, grid=(3, 40, 3), channels=(1,), outputs=1),
    "voxel by voxel": Case(2, grid=(7, 9, 5), channels=(6, 5), halved=(False, False), size=1),
    "the finest grid": Case(8, grid=(2, 2, 2), channels=(9,), outputs=5, lifted=True, halved=(True,)),
    "the whole finest sphere": Case(8, False, grid=(1, 3, 2), channels=(4,), outputs=5),
}
