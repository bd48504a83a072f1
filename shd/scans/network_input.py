"""Which features a network takes of a scan."""

import numpy as np
import torch
from jaxtyping import Float

from shd.errors import ResponseError, number_of
from shd.models.config import ModelConfig
from shd.scans.features import SphericalFeatures, feature_count, spherical_features
from shd.scans.fibre_features import FibreFeatures, fibre_features
from shd.signal.gradients import Gradients
from shd.signal.response import Response

__all__ = ["network_input"]


def network_input(
    config: ModelConfig,
    responses: tuple[Response, ...],
    gradients: Gradients,
    vertices: Float[np.ndarray, "vertex 3"],
    noise: Float[np.ndarray, " voxel"],
    device: torch.device | str = "cpu",
) -> SphericalFeatures | FibreFeatures:
    """Return what makes the network's features of a scan: `config.features`.

    responses: white matter first. noise: deviation of S/S₀ in the scan's voxels. Raises ResponseError where a scan has
    other tissues than the network can answer with.
    """
    given = tuple(response.tissue for response in responses)
    listed, known = ", ".join(given), ", ".join(config.tissues)
    if config.features == "fibre":
        if not set(given) <= set(config.tissues):
            raise ResponseError(
                f"the scan has {number_of(len(given), 'tissue')} ({listed}), the network {known}; leave out others"
            )
        return fibre_features(responses, gradients, vertices, noise, config.tissues, device)
    channels = feature_count(responses, gradients)
    if given != config.tissues or channels != config.input_channels:
        raise ResponseError(
            f"the scan has tissues {listed} and {channels} channels, the network {known} and {config.input_channels}; "
            "it was made for another protocol: fit this scan itself (shd fit)"
        )
    return spherical_features(gradients, vertices, len(responses) - 1, device)
