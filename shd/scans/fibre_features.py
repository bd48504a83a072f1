"""What is known of a voxel's fibres, as functions on the sphere that mean the same whatever was measured.

Everything is in units of fODFs or of the noise: no channel belongs to a shell, so one network takes any protocol. The
channels, T tissues of the network in its order:

- T of the voxel's own estimate and T of the coherent one: white matter a vertex, the others constant over vertices,
  zero where the scan has no such tissue;
- the linear estimate, which keeps what is hidden in the noise, as sign·log(1 + |·|);
- what the coherent estimate leaves unexplained of the signal, as the score of a fibre at each vertex: correlation of
  residual and fibre signal in units of its deviation, divided by 4;
- how plainly a fibre at each vertex would show: log₁₀ of its signal's norm over the noise;
- which part of the degrees 2, 4, 6 and 8 the gradients see at this noise, four constants;
- for each tissue beyond white matter whether the scan has it, 1 or 0.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from shd.scans.coherent_estimate import SCALES
from shd.scans.features import spread_over_grid
from shd.scans.first_estimate import design
from shd.scans.linear_estimate import DEGREE, linear_estimate
from shd.signal.gradients import Gradients
from shd.signal.noise import rician_bias
from shd.signal.response import Response

__all__ = ["FibreFeatures", "fibre_feature_count", "fibre_features"]

_BLOCK = 256  # voxels at a time: their fields stay in the processor's cache
_SCORE_UNIT = 4.0


def fibre_feature_count(tissues: tuple[str, ...]) -> int:
    """Return how many channels `FibreFeatures` makes for a network of these tissues."""
    return SCALES * len(tissues) + 3 + DEGREE // 2 + len(tissues) - 1


@dataclass(frozen=True, eq=False)
class FibreFeatures:
    """Places what is known of each voxel on the vertices; the same for all voxels of a scan.

    matrix, offset: of the linear estimate. columns: (unknown, volume) prediction of S/S₀ from fractions. weighted: 1
    for the volumes whose noise floor counts. score: (volume, vertex) a fibre's signal, of norm 1, without its mean over
    vertices. plainness: log₁₀ of that norm before. constants: resolution, then presence of tissues. places: channel of
    each of the scan's tissues among the network's. tissues: of the network.
    """

    matrix: Float[Tensor, "volume vertex"]
    offset: Float[Tensor, " vertex"]
    columns: Float[Tensor, "unknown volume"]
    weighted: Float[Tensor, " volume"]
    score: Float[Tensor, "volume vertex"]
    plainness: Float[Tensor, " vertex"]
    constants: Float[Tensor, " constant"]
    places: tuple[int, ...]
    tissues: int

    @property
    def answers(self) -> tuple[int, ...]:
        """Which of the network's isotropic tissues the scan has."""
        return tuple(place - 1 for place in self.places)

    def __call__(
        self,
        signal: Float[Tensor, "voxel volume"],
        estimates: Float[Tensor, "voxel scale unknown"],
        noise: Float[Tensor, " voxel"],
        mask: Float[Tensor, "batch x y z"],
    ) -> Float[Tensor, "vertex batch x y z channel"]:
        """Return features of the masked voxels (in C order of `mask`) on their grid, zero elsewhere.

        noise: deviation of S/S₀ in each voxel.
        """
        inside = mask.flatten() > 0
        spread = [spread_over_grid(rows, inside) for rows in (signal, estimates, noise[:, None])]
        vertices, block = len(self.offset), _BLOCK if signal.device.type == "cpu" else len(inside)
        channels = SCALES * self.tissues + 3 + len(self.constants)
        out = signal.new_zeros((vertices, len(inside), channels))
        for start in range(0, len(inside), block):
            part = slice(start, start + block)
            self._write(out[:, part], spread[0][part], spread[1][part], spread[2][part], inside[part])
        return out.reshape(vertices, *mask.shape, channels)

    def _write(
        self,
        out: Float[Tensor, "vertex voxel channel"],
        signal: Float[Tensor, "voxel volume"],
        estimates: Float[Tensor, "voxel scale unknown"],
        noise: Float[Tensor, "voxel 1"],
        inside: Bool[Tensor, " voxel"],
    ) -> None:
        """Write the channels of some voxels."""
        vertices = len(out)
        for scale in range(SCALES):
            first = scale * self.tissues
            out[..., first] = estimates[:, scale, :vertices].T
            for unknown, place in enumerate(self.places, start=vertices):
                out[..., first + place] = estimates[:, scale, unknown]
        next_channel = SCALES * self.tissues
        kept = inside.to(out.dtype)
        linear = torch.addmm(self.offset, signal, self.matrix)
        out[..., next_channel] = (linear.sign() * linear.abs().log1p()).T * kept
        predicted = (estimates[:, 1] @ self.columns).clamp_(min=0)
        noise = torch.where(inside[:, None], noise, 1.0)
        rest = self.weighted * (signal - rician_bias(predicted, noise) - predicted) / noise
        out[..., next_channel + 1] = (rest @ self.score).T / _SCORE_UNIT * kept
        out[..., next_channel + 2] = (self.plainness[:, None] - noise.log10().T) * kept
        out[..., next_channel + 3 :] = kept[:, None] * self.constants


def fibre_features(
    responses: tuple[Response, ...],
    gradients: Gradients,
    vertices: Float[np.ndarray, "vertex 3"],
    noise: Float[np.ndarray, " voxel"],
    tissues: tuple[str, ...],
    device: torch.device | str = "cpu",
) -> FibreFeatures:
    """Return the features of a scan with these responses (white matter first) and gradients (scanner axes).

    noise: deviation of S/S₀ in the scan's voxels, whose median is the linear estimate's. tissues: of the network.
    """
    model = design(responses, gradients, vertices)
    typical = float(np.median(noise)) if len(noise) else 1.0
    linear = linear_estimate(model, vertices, typical)
    columns = (model.columns / model.scale).numpy()
    weighted = np.zeros(len(columns))
    weighted[model.volumes] = 1.0
    fibres = weighted[:, None] * columns[:, : len(vertices)] * len(vertices)
    fibres -= fibres.mean(axis=1, keepdims=True)
    norm = np.maximum(np.linalg.norm(fibres, axis=0), 1e-6)
    given = [response.tissue for response in responses]
    present = [float(tissue in given) for tissue in tissues[1:]]

    def single(values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)

    return FibreFeatures(
        single(linear.matrix.T), single(linear.offset), single(columns.T), single(weighted), single(fibres / norm),
        single(np.log10(norm)), single(np.array([*linear.resolution, *present])),
        tuple(tissues.index(tissue) for tissue in given[1:]), len(tissues),
    )  # fmt: skip
