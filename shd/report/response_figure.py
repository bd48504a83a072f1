"""The picture of a group's responses: how alike they are once brought to one intensity, and how far they were apart."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from shd.report.outliers import OUTLYING, modified_z_scores
from shd.signal.response import Response

__all__ = ["far_from_others", "response_figure"]

_TITLES = {"wm": "white matter", "gm": "grey matter", "csf": "CSF"}


def response_figure(
    path: Path,
    means: Sequence[Response],
    own: Mapping[str, Sequence[Response]],
    gains: Mapping[str, Float[np.ndarray, " scan"]],
    names: Sequence[str],
) -> None:
    """Write a PNG: a panel a tissue with the mean signal of every scan's response over b, and one with the gains.

    means: of the group. own: by tissue, in the order of `names`. gains: the factors that bring each scan's response to
    the group's intensity. Scans far from the others are named.
    """
    figure = Figure(figsize=(4.2 * (len(means) + 1), 4.4), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)  # no display, no global state
    panels = figure.subplots(1, len(means) + 1)
    for panel, mean in zip(panels, means, strict=False):
        _draw_tissue(panel, mean, own[mean.tissue], gains[mean.tissue])
    _draw_gains(panels[-1], gains, names)
    figure.savefig(path, format="png")


def far_from_others(values: Float[np.ndarray, " scan"]) -> list[int]:
    """Return the places of values whose logarithm is an outlier."""
    return [int(place) for place in np.flatnonzero(np.abs(modified_z_scores(np.log(values))) > OUTLYING)]


def _draw_tissue(axes: Axes, mean: Response, own: Sequence[Response], gains: Float[np.ndarray, " scan"]) -> None:
    for response, gain in zip(own, gains, strict=True):
        axes.plot(mean.bvalues, gain * response.mean_signal, color="0.6", linewidth=0.8)
    axes.plot(mean.bvalues, mean.mean_signal, color="black", linewidth=2, marker="o", label="mean")
    axes.set(title=_TITLES[mean.tissue], xlabel="b (s/mm²)", yscale="log")
    axes.set_ylabel("mean signal, at the group's intensity")
    _plain_numbers(axes)
    axes.legend(frameon=False)


def _draw_gains(axes: Axes, gains: Mapping[str, Float[np.ndarray, " scan"]], names: Sequence[str]) -> None:
    """Draw each scan's factors over its place in the table; name those far from the others."""
    for tissue, values in gains.items():
        axes.plot(np.arange(1, len(values) + 1), values, "o", markersize=4, label=tissue, alpha=0.8)
    far = sorted({place for values in gains.values() for place in far_from_others(values)})
    for place in far:
        height = float(gains["wm"][place])
        axes.annotate(names[place], (place + 1, height), xytext=(4, 4), textcoords="offset points", fontsize=8)
    axes.axhline(1.0, color="0.6", linewidth=0.8)
    axes.set(title="factor to the group's intensity", xlabel="scan, in the order of responses.tsv", yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _plain_numbers(axes)
    axes.legend(frameon=False)


def _plain_numbers(axes: Axes) -> None:
    """Write 300 beside a logarithmic axis, not 3 × 10²."""
    for set_formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        set_formatter("{x:g}")
