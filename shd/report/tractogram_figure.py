"""Tractograms of one phantom side by side: what joins the right ends, and what joins wrong ones."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from shd.evaluation.tractogram_scores import Streamlines, connections, end_labels
from shd.evaluation.truth import Truth
from shd.report.planes import anatomical_planes
from shd.report.streamline_figure import draw_background, draw_streamlines

__all__ = ["tractogram_figure"]

_MOST = 700  # streamlines a panel
_INCHES, _LEAST_WIDTH = 3.3, 5.0  # of a panel, of the picture


def tractogram_figure(path: Path, tractograms: Mapping[str, Streamlines], truth: Truth) -> None:
    """Write a column a tractogram as PNG: valid connections above, invalid ones below, seen from below (axial).

    Coloured by direction, over the slice of white matter with most of it. Of each tractogram every n-th streamline is
    drawn, the same n for both rows, so that the rows show the proportion.
    """
    white = truth.tissue_fractions[..., 0].astype(np.float64)
    plane = anatomical_planes(truth.affine, white, max(white.shape))[0]
    edge = max(_INCHES, _LEAST_WIDTH / len(tractograms))
    figure = Figure(figsize=(edge * len(tractograms), 2 * edge + 0.4), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    margins = {"right": 0.995, "bottom": 0.01, "top": 0.94, "wspace": 0.03, "hspace": 0.03}
    margins["left"] = 0.3 / figure.get_figwidth()
    panels = figure.subplots(2, len(tractograms), gridspec_kw=margins, squeeze=False)
    for column, (name, streamlines) in enumerate(tractograms.items()):
        valid, invalid = connections(end_labels(streamlines, truth))
        shown = np.arange(len(valid)) % max(1, len(valid) // _MOST) == 0
        for row, chosen in enumerate((valid, invalid)):
            axes = panels[row, column]
            draw_background(axes, plane, white)
            draw_streamlines(axes, plane, _selected(streamlines, chosen & shown))
        panels[0, column].set_title(
            f"{name}\nvalid {valid.mean():.0%}, invalid {invalid.mean():.0%}", loc="left", fontsize=10
        )
    for row, text in enumerate(("join both ends of one bundle", "join ends of different bundles")):
        panels[row, 0].set_ylabel(text, fontsize=10)
    figure.savefig(path, format="png", pil_kwargs={"optimize": True})


def _selected(streamlines: Streamlines, chosen: np.ndarray) -> Streamlines:
    return Streamlines(streamlines.points[np.repeat(chosen, streamlines.lengths)], streamlines.lengths[chosen])
