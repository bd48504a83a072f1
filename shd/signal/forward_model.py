"""From tissue fractions to the signal: fibres on the sphere's vertices, convolved with the response, at the gradients.

A fibre population at direction u gives, at gradient g of shell b, K_b(g·u) = Σ_lm √(4π/(2l+1))·r_l(b)·Y_lm(g)·Y_lm(u)
(Tournier et al. 2004, eq. 2; Jeurissen et al. 2014, eq. 1 for several tissues). White matter is a sum over vertices, so
the model is one matrix a tissue, with no harmonic truncation beyond the response's own.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from shd.errors import ResponseError, number_of
from shd.signal.gradients import Gradients
from shd.signal.response import Response
from shd.sphere.harmonics import even_harmonics, zonal_factors

__all__ = ["ForwardModel", "fibre_signal", "forward_model"]


def fibre_signal(
    response: Response, gradients: Gradients, fibres: Float[np.ndarray, "fibre 3"]
) -> Float[np.ndarray, "volume fibre"]:
    """Return the signal of unit amounts of tissue with fibres along unit vectors (scanner axes), in scan intensity.

    Raises ResponseError where the response has not one row a shell.
    """
    if len(response.bvalues) != len(gradients.shells):
        raise ResponseError(
            f"the {response.tissue} response has {number_of(len(response.bvalues), 'b-value')} "
            f"({_listed(response.bvalues)}) but the scan has {number_of(len(gradients.shells), 'shell')} "
            f"({_listed([s.bvalue for s in gradients.shells])}); estimate it from this scan or leave it out"
        )
    signal = np.zeros((len(gradients.bvalues), len(fibres)))
    at_fibres = even_harmonics(fibres, response.degree)
    for shell, zonal in zip(gradients.shells, response.coefficients, strict=True):
        factors = zonal_factors(zonal, response.degree)
        directions = gradients.directions[shell.volumes]
        if not np.any(directions):  # b=0: no direction, only the mean counts
            signal[shell.volumes] = zonal[0] / np.sqrt(4 * np.pi)
            continue
        signal[shell.volumes] = (even_harmonics(directions, response.degree) * factors) @ at_fibres.T
    return signal


def _listed(bvalues: object) -> str:
    return ", ".join(f"{b:.0f}" for b in np.asarray(bvalues, dtype=float))


@dataclass(frozen=True, eq=False)
class ForwardModel:
    """Signal per unit of b=0 signal: columns are vertices (white matter) and isotropic tissues.

    wm: (volume, vertex), for fractions whose mean over vertices is the tissue's part. isotropic: (volume, tissue).
    b0: the b=0 signal of a unit of each tissue, in scan intensity, white matter first; it turns fractions into amounts.
    """

    tissues: tuple[str, ...]
    wm: Float[Tensor, "volume vertex"]
    isotropic: Float[Tensor, "volume tissue"]
    b0: Float[Tensor, " all_tissues"]

    def to(self, device: torch.device | str) -> "ForwardModel":
        """Return the same model on another device."""
        return ForwardModel(self.tissues, self.wm.to(device), self.isotropic.to(device), self.b0.to(device))

    def at(self, volumes: Int[Tensor, " chosen"]) -> "ForwardModel":
        """Return the model of some of the volumes."""
        return ForwardModel(self.tissues, self.wm[volumes], self.isotropic[volumes], self.b0)

    def __call__(
        self, wm: Float[Tensor, "vertex *grid"], isotropic: Float[Tensor, "*grid tissue"]
    ) -> Float[Tensor, "volume *grid"]:
        """Return the signal, divided by the b=0 signal, of fractions on the vertices and of the isotropic tissues."""
        signal = self.wm @ wm.reshape(wm.shape[0], -1)
        if isotropic.shape[-1]:
            signal = torch.addmm(signal, self.isotropic, isotropic.reshape(-1, isotropic.shape[-1]).T)
        return signal.reshape(self.wm.shape[0], *wm.shape[1:])


def forward_model(
    responses: tuple[Response, ...], gradients: Gradients, vertices: Float[np.ndarray, "vertex 3"]
) -> ForwardModel:
    """Return the forward model of white matter (first) and isotropic tissues at the scan's gradients."""
    wm, *others = responses
    if wm.tissue != "wm" or any(not other.isotropic for other in others):
        raise ResponseError(
            f"responses {', '.join(r.tissue for r in responses)}: give white matter first, then isotropic tissues"
        )
    b0 = np.array([r.mean_signal[0] for r in responses])
    if np.any(b0 <= 0):
        raise ResponseError(f"a response has b=0 signal {b0.min():.3g}, which must be positive; estimate it again")
    fibres = fibre_signal(wm, gradients, vertices) / (b0[0] * len(vertices))
    pole = np.array([[0.0, 0.0, 1.0]])
    columns = [fibre_signal(r, gradients, pole) / scale for r, scale in zip(others, b0[1:], strict=True)]
    isotropic = np.concatenate(columns, axis=1) if columns else np.zeros((len(gradients.bvalues), 0))

    def single(values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))

    return ForwardModel(tuple(r.tissue for r in responses), single(fibres), single(isotropic), single(b0))
