"""Responses as curves: over the angle to the fibre, and over b."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from scipy.special import eval_legendre

from shd.signal.response import Response

__all__ = ["draw_angles", "draw_decay", "signal_at_angles"]

_COLOURS = {"wm": "black", "gm": "tab:gray", "csf": "tab:blue"}
_NAMES = {"wm": "white matter, mean", "gm": "grey matter", "csf": "CSF"}


def signal_at_angles(response: Response, degrees: Float[np.ndarray, " angle"]) -> Float[np.ndarray, "shell angle"]:
    """Return the signal of gradients at an angle to the fibre, Σ_l r_l √((2l+1)/4π) P_l(cos θ), in scan intensity."""
    l = np.arange(0, response.degree + 1, 2)
    legendre = eval_legendre(l[:, None], np.cos(np.radians(degrees)))
    return response.coefficients @ (np.sqrt((2 * l + 1) / (4 * np.pi))[:, None] * legendre)


def draw_angles(axes: Axes, response: Response) -> None:
    """Draw white matter's signal over the angle to the fibre, a curve a shell, divided by its b=0 signal."""
    degrees = np.linspace(0.0, 90.0, 91)
    curves = signal_at_angles(response, degrees) / response.mean_signal[0]
    for number, (bvalue, curve) in enumerate(zip(response.bvalues, curves, strict=True)):
        axes.plot(degrees, curve, color=f"C{number % 10}", label=f"b = {bvalue:.0f}")
    axes.set(title="white-matter response", xlabel="angle to the fibre (°)", ylabel="signal / b=0 signal")
    axes.set(xlim=(0, 90), xticks=(0, 30, 60, 90), ylim=(min(0.0, float(curves.min())), None))
    _finish(axes)


def draw_decay(axes: Axes, responses: Sequence[Response]) -> None:
    """Draw each tissue's mean signal over b."""
    for response in responses:
        name, colour = _NAMES[response.tissue], _COLOURS[response.tissue]
        axes.plot(response.bvalues, response.mean_signal, color=colour, marker="o", markersize=4, label=name)
    axes.set(title="signal of each tissue", xlabel="b (s/mm²)", ylabel="scan intensity", ylim=(0, None))
    _finish(axes)


def _finish(axes: Axes) -> None:
    axes.legend(frameon=False, fontsize=8)
    axes.grid(True, color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
