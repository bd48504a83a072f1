"""The loss terms over the steps of training."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["HistoryRow", "draw_curves", "loss_figure"]

HistoryRow = Mapping[str, float | int | None]

_WHOLE = {"loss": "black", "held_out": "tab:red", "on_learned": "tab:red"}
_TERMS = ("tab:blue", "tab:orange", "tab:green", "tab:purple", "tab:brown", "tab:cyan")
_ABSCISSAE = ("step", "seconds")


def loss_figure(path: Path, history: Sequence[HistoryRow], title: str, shares: Sequence[str] = ()) -> None:
    """Write the curves of `draw_curves` as PNG.

    shares: names of terms from 0 to 1, which stand in a panel of their own below.
    """
    figure = Figure(figsize=(9, 9 if shares else 6), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)  # no display, no global state
    upper, *lower = figure.subplots(1 + bool(shares), squeeze=False)[:, 0]
    draw_curves(upper, [{name: row[name] for name in row if name not in shares} for row in history])
    upper.set_title(title)
    for axes in lower:
        for name in shares:
            step, value = np.array([(row["step"], row[name]) for row in history if name in row]).reshape(-1, 2).T
            axes.plot(step, value, "o-", markersize=3.5, label=name.replace("_", " "))
        axes.set(xlabel="step", ylim=(0, 1))
        _finish(axes)
    figure.savefig(path, format="png")


def draw_curves(axes: Axes, history: Sequence[HistoryRow]) -> None:
    """Draw every term of `history` against its step, on a logarithmic axis.

    Each row holds "step", "seconds" and any of the terms; rows may lack a term (held-out values come seldom). Values
    that a logarithm cannot show (zero, negative, NaN) are left out.
    """
    names = [name for name in dict.fromkeys(key for row in history for key in row) if name not in _ABSCISSAE]
    terms = sorted(name for name in names if name not in _WHOLE)
    colours = _WHOLE | dict(zip(terms, cycle(_TERMS), strict=False))
    for name in [name for name in _WHOLE if name in names] + terms:
        step, value = _series(history, name)
        if len(value) == 0:
            continue
        few = name in ("held_out", "on_learned") and len(value) <= 60
        axes.plot(
            step,
            value,
            label=name.replace("_", " "),
            color=colours[name],
            linewidth=1.8 if name in _WHOLE else 1.0,
            marker="o" if few or len(value) == 1 else None,
            markersize=3.5,
            zorder=3 if name in _WHOLE else 2,
        )
    if not axes.lines:
        axes.text(0.5, 0.5, "no training history", ha="center", va="center", transform=axes.transAxes, color="0.5")
        axes.set_axis_off()
        return
    axes.set_xlabel("step" + _duration(history))
    axes.set_ylabel("loss")
    axes.set_yscale("log")
    _finish(axes)


def _finish(axes: Axes) -> None:
    axes.legend(frameon=False, fontsize=9, ncols=2)
    axes.grid(True, color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _series(history: Sequence[HistoryRow], name: str) -> tuple[Float[np.ndarray, " row"], Float[np.ndarray, " row"]]:
    """Return steps and values of the rows that hold a value of `name` a logarithm can show."""
    rows = [(row["step"], row[name]) for row in history if row.get(name) is not None]
    pairs = np.array(rows, dtype=np.float64).reshape(-1, 2)
    shown = np.isfinite(pairs[:, 1]) & (pairs[:, 1] > 0)
    return pairs[shown, 0], pairs[shown, 1]


def _duration(history: Sequence[HistoryRow]) -> str:
    """Return how long the steps took, as part of the axis label."""
    seconds = max((row.get("seconds") or 0.0 for row in history), default=0.0)
    if seconds <= 0:
        return ""
    return f"  ({seconds / 60:.1f} min)" if seconds >= 60 else f"  ({seconds:.0f} s)"
