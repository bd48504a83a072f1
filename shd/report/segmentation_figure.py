"""The curves of a segmentation: ROC, and precision against recall."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from shd.evaluation.segmentation_scores import Curves, VoxelScores

__all__ = ["curves_figure"]


def curves_figure(path: Path, drawn: Mapping[int, Curves], scores: Mapping[int, VoxelScores]) -> None:
    """Write both curves of each label as PNG, with what chance would give dotted."""
    figure = Figure(figsize=(9.6, 4.6), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    receiver, recall = figure.subplots(1, 2)
    for number, (label, each) in enumerate(drawn.items()):
        colour, score = f"C{number}", scores[label]
        name = f"label {label}: " if len(drawn) > 1 else ""
        receiver.plot(
            each.false_positive, each.true_positive, color=colour, label=f"{name}area {score.roc_auc:.3f}"
        )  # fmt: skip
        recall.plot(
            each.recall, each.precision, color=colour, label=f"{name}average precision {score.average_precision:.3f}"
        )  # fmt: skip
        recall.axhline(score.positives / score.voxels, color=colour, linestyle=":", linewidth=1.0)
    receiver.plot([0, 1], [0, 1], color="0.6", linestyle=":", linewidth=1.0)
    receiver.set(title="ROC", xlabel="false positive rate", ylabel="true positive rate")
    recall.set(title="precision and recall", xlabel="recall", ylabel="precision")
    for axes, place in ((receiver, "lower right"), (recall, "upper right")):
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        axes.legend(frameon=False, fontsize=9, loc=place)
        axes.grid(True, color="0.92")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="png")
