"""A small CNN over the raw volumes of a scan, and the same network with its layers swapped for p-q-space layers.

    python examples/swap_layers.py

Both get random weights, see a real scan, and then the same scan turned by a quarter, q-vectors and all, as if the head
had been turned in the scanner. The answer should turn with it: that of the swapped network does.
"""

import warnings

import numpy as np
import torch
from dipy.data import get_fnames
from torch import Tensor, nn

import shd
from shd.models.pq.check import check_nonlinearities
from shd.models.pq.convolution import PQConvolution
from shd.models.pq.fields import FieldType
from shd.models.pq.gate import Gate
from shd.models.pq.normalisation import FieldBatchNorm
from shd.models.pq.pooling import QLengthPool
from shd.models.pq.q_space import q_coordinates


def plain(volumes: int) -> nn.Module:
    """Return the CNN: (batch, volume, x, y, z) to one number a voxel."""
    return nn.Sequential(
        nn.Conv3d(volumes, 12, 3, padding=1),
        nn.BatchNorm3d(12),
        nn.ReLU(),
        nn.Conv3d(12, 1, 3, padding=1),
    )


def swapped(q: Tensor) -> nn.Module:
    """Return the network of p-q-space layers: the same shapes in and out."""
    fields = FieldType((6, 2))  # six scalars and two vectors: 12 numbers, for each q-space sample
    gate = Gate(fields)
    return nn.Sequential(
        nn.Unflatten(1, (len(q), 1)),  # the measured signal is one scalar at each q
        PQConvolution((1,), gate.type_in, 3, q, q),  # Conv3d
        FieldBatchNorm(gate.type_in),  # BatchNorm3d
        gate,  # ReLU
        QLengthPool(fields, q),  # q-space is averaged away
        PQConvolution(fields, (1,), 3),  # Conv3d
        nn.Flatten(1, 2),
    )


def turned(image: Tensor) -> Tensor:
    """Return the image turned by 90° about z: x goes to y, y to −x."""
    return image.transpose(-3, -2).flip(-3)


def change(network: nn.Module, network_of_turned: nn.Module, signal: Tensor) -> float:
    """Return how far the turned scan's answer is from the turned answer, relative to the answer."""
    network_of_turned.load_state_dict(network.state_dict())
    with torch.no_grad():
        answer, found = turned(network(signal)), network_of_turned(turned(signal))
    return float((found - answer).norm() / answer.norm())


def main() -> None:
    """Print both networks' errors on the human scan in the dipy package."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no mask is given: this crop lies inside the brain
        scan = shd.read_scan(*get_fnames(name="small_64D"))
    q = q_coordinates(scan.gradients, scan.affine)
    q_turned = q @ torch.from_numpy(np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])).T
    volumes = np.moveaxis(np.asarray(scan.data, dtype=np.float32), 3, 0)
    signal = torch.from_numpy(volumes / volumes[scan.gradients.b0_volumes].mean()).unsqueeze(0)

    check_nonlinearities(swapped(q))  # warns of a ReLU or an ordinary norm on vectors
    print(f"{signal.shape[1]} volumes of {tuple(signal.shape[2:])} voxels, turned by 90° with their q-vectors")
    print(f"plain CNN:         answer off by {change(plain(len(q)), plain(len(q)), signal):.1e}")
    print(f"p-q-space layers:  answer off by {change(swapped(q), swapped(q_turned), signal):.1e}")


if __name__ == "__main__":
    main()
