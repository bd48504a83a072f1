"""How long to train, and how large a network, when the user does not say."""

from dataclasses import replace

from shd.engines.choice import describe_engine
from shd.errors import number_of
from shd.graphs.spatial import distance_classes
from shd.training.losses.objective import LossWeights
from shd.training.settings import FitSettings, default_device

__all__ = ["START", "default_settings", "describe"]

START = "small"
"""The trained network that a fit adapts to its scan (docs/pretrained.md)."""

# On two cores a fit from nothing of a few thousand voxels stops improving after about a minute, a thousand steps
# (docs/method.md); larger scans get more, so that every voxel is seen some 25 times. A trained network has adapted
# after 60 steps, a quarter of a minute (docs/pretrained.md).
_SHORTEST, _LONGEST = 1.0, 10.0
_VOXELS_PER_MINUTE = 20_000
_ADAPTED = 0.25  # of these minutes
_CPU_WIDTH, _GPU_WIDTH = 8, 32
# A trained network is adapted by predicting a third of the directions from the others, and by nothing else: it knows
# more of fODFs than the regularisers do.
_PARTS, _DATA_ALONE, _ADAPTING = 3, LossWeights(support=0.0, likeness=0.0), 3e-4


def default_settings(
    voxels: int,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    width: int | None = None,
    device: str | None = None,
    start: str | None = None,
    **others: object,
) -> FitSettings:
    """Return settings for a mask of `voxels` voxels on this machine; what is given is kept.

    start: as in `FitSettings`; by default the packaged network, none where a width is asked for.
    """
    device = device or default_device()
    if start is None:
        start = START if width is None else "none"
    if minutes is None and steps is None:
        minutes = min(_LONGEST, max(_SHORTEST, voxels / _VOXELS_PER_MINUTE)) * (1.0 if start == "none" else _ADAPTED)
    if width is None:
        width = _GPU_WIDTH if device.startswith("cuda") else _CPU_WIDTH
    settings = FitSettings(minutes=minutes, steps=steps, width=width, device=device, start=start)
    if start != "none":
        settings = replace(settings, parts=_PARTS, weights=_DATA_ALONE, learning_rate=_ADAPTING)
    return replace(settings, **others)  # type: ignore[arg-type]


def describe(settings: FitSettings, voxels: int) -> str:
    """Return in one line what will be done and where."""
    budget = number_of(settings.steps, "step") if settings.steps is not None else f"{settings.minutes:.1f} minutes"
    place = f"{settings.threads} CPU threads" if settings.device == "cpu" else settings.device
    precision = "bfloat16" if settings.bfloat16 else "float32"
    engine = describe_engine(settings.engine, settings.device, len(distance_classes(settings.kernel)))
    work = f"training {budget} on {place} in {precision} (engine {engine})"
    network = f"a network of width {settings.width}" if settings.start == "none" else f"the network {settings.start}"
    return f"{number_of(voxels, 'voxel')}; {work}, {network}"
