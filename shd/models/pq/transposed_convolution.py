"""The transpose of the p-q-space convolution in p: from a coarse voxel grid to a finer one."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from shd.models.pq.convolution import PQLinear

__all__ = ["PQTransposedConvolution"]


class PQTransposedConvolution(PQLinear):
    """Transposed convolution: every input voxel lays the kernel, times its field, around it on the finer grid.

    y(p, q_out) = Σ_{q_in} Σ_{p_in} K(p − stride·p_in, q_out, q_in) x(p_in, q_in) + bias of the scalars: with stride 1
    that of `PQConvolution` with the same weights. Arguments are those of `PQLinear`, and stride: outputs between input
    voxels; padding: voxels cut off at every side, by default (kernel_size − stride)/2 rounded down. A kernel of
    2·stride voxels makes an extent of n one of stride·n, exactly centred; `nn.ConvTranspose3d`'s `output_padding`,
    which adds at one side alone, would break the symmetry and is not there.
    """

    @staticmethod
    def usual_padding(kernel_size: int, stride: int) -> int:
        """Return what centres the finer grid on the coarse one."""
        return max(0, kernel_size - stride) // 2

    def forward(self, x: Float[Tensor, "batch q_in in x y z"]) -> Float[Tensor, "batch q_out out x2 y2 z2"]:
        """Return the field on the finer grid."""
        x = self.checked(x)
        kernel = self.dense_kernel()
        samples, components = kernel.shape[:2]
        # conv_transpose3d counts its taps along p_out − p_in, conv3d against it
        weight = kernel.flip(-1).permute(2, 3, 0, 1, 4).flatten(2, 3).flatten(0, 1)
        weight = weight.unflatten(-1, (self.geometry.size,) * 3)
        y = functional.conv_transpose3d(x.flatten(1, 2), weight, stride=self.stride, padding=self.padding)
        return self.with_bias(y.unflatten(1, (samples, components)))
